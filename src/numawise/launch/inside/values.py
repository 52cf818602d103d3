"""What binding a running process did: frozen values with one JSON form."""

from __future__ import annotations

import msgspec

from numawise.placement.values import Placement


class Pages(msgspec.Struct, frozen=True):
    """What became of memory that had been touched before, in base pages (a huge page counts for its size)."""

    near: int = 0
    """Were on the right node already."""
    moved: int = 0
    """Were elsewhere, and are on the right node now: looked at after the move."""
    unseen: int = 0
    """The shared page of zeros, or freed meanwhile: on no node that matters."""
    left: dict[str, int] = {}
    """Reason -> how many are still elsewhere."""

    @property
    def left_behind(self) -> int:
        """How many are still elsewhere, whatever the reason.

        >>> Pages(near=10, moved=5, left={"busy (EBUSY)": 2}).left_behind
        2
        """
        return sum(self.left.values())


class Threads(msgspec.Struct, frozen=True):
    """What became of the threads of the process, the calling one included."""

    seen: int = 0
    moved: int = 0
    """Were free to run elsewhere, and are not any more."""
    outside: int = 0
    """Can still leave the placement's CPUs: looked at afterwards."""
    own_policy: int = 0
    """Follow another memory policy than the calling thread: the kernel lets a thread set its own alone."""


class Bound(msgspec.Struct, frozen=True):
    """What was asked of a running process, what was done, and what was seen afterwards."""

    asked: str
    """Such as `node=0` or `gpu=1`."""
    pid: int
    placement: Placement
    """`env` holds what was set in `os.environ`, not what else a new process would have been given."""
    steps: tuple[str, ...] = ()
    """Steps taken down the permission ladder, in words: each is something that was asked for and not done."""
    threads: Threads = Threads()
    pages: Pages = Pages()
    notes: tuple[str, ...] = ()
    """What may undo the placement later, or was left as it is on purpose."""
