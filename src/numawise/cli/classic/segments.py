"""What numactl's options do to shared memory: `--shm KEYFILE` and `--file FILE`, and all that may follow them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TypeVar

from numawise.cli.classic.complaint import Complaint, refused
from numawise.cli.classic.numactl_options import POLICIES
from numawise.errors import UsageError
from numawise.linux import shared_memory, syscalls
from numawise.linux.cpuset import format_list
from numawise.linux.shared_memory import Segment

_Value = TypeVar("_Value")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_AT_ONCE = 1 << 16  # pages asked for in one call


class Shared:
    """Shared memory that is being described, then opened, then given a policy and looked at."""

    def __init__(self, shape: dict[str, str], *, strict: bool) -> None:
        """`shape`: the options that describe it, as given; `strict`: pages on other nodes are an error."""
        self.shape = shape
        self.strict = strict
        self.segment: Segment | None = None
        self._offset = self._length = 0
        self._asked: tuple[str, frozenset[int]] | None = None
        self._held = ExitStack()

    def close(self) -> None:
        """Unmap it; it stays, with its policy."""
        self._held.close()

    def open_segment(self, path: str) -> None:
        """`--shm`: find or create the System V segment whose key ftok(3) makes of `path`. Raises Complaint."""
        number = self._number("shmid", 0)
        mode = self._number("shmmode", 0o600, 8)
        try:
            if not os.path.exists(path):  # noqa: PTH110 - pathlib starts slowly
                print(f"numactl: Creating shm key file {path} mode {mode:04o}", file=sys.stderr)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, mode))
            key = shared_memory.key_of(path, number)
        except OSError as error:
            raise refused(f"cannot create key for shm {path}", error) from None
        try:
            found = shared_memory.find_segment(key) or self._create(path, number, key, mode)
            self._take_range(found[1])
            self.segment = self._held.enter_context(shared_memory.attached(*found))
        except OSError as error:
            raise refused(f"shared memory segment of {path}", error) from None

    def open_file(self, path: str) -> None:
        """`--file`: open a file of tmpfs or hugetlbfs, or create it when a length is given. Raises Complaint."""
        offset, length = self._size("offset", 0), self._size("length", 0)
        descriptor, new = self._open(path, create=length > 0)
        try:
            shared_memory.check_keeps_policy(descriptor, path)
            self._check_aligned(offset, length, shared_memory.page_size(descriptor))
            if os.fstat(descriptor).st_size < offset + length:
                os.ftruncate(descriptor, offset + length)
            size = os.fstat(descriptor).st_size
            self._take_range(size)
            self.segment = self._held.enter_context(shared_memory.mapped(descriptor, size))
            new = False
        except UsageError as error:
            raise Complaint(str(error)) from None
        except OSError as error:
            raise refused(f"file {path}", error) from None
        finally:
            os.close(descriptor)
            if new:
                os.unlink(path)  # noqa: PTH108  (of a file that cannot be used, nothing stays)

    def _open(self, path: str, *, create: bool) -> tuple[int, bool]:
        """A descriptor, and whether the file was made just now."""
        mode = self._number("shmmode", 0o600, 8)
        flags = os.O_RDWR | os.O_CLOEXEC
        try:
            return os.open(path, flags), False
        except FileNotFoundError:
            if not create:
                raise Complaint("need a --length to create a shared file") from None
        except OSError as error:
            raise refused(f"cannot open file {path}", error) from None
        try:
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, mode), True
        except OSError as error:
            raise refused(f"cannot create file {path}", error) from None

    def set_policy(self, option: str, nodes: frozenset[int]) -> None:
        """Give the range a memory policy, which stays with it. Raises Complaint."""
        segment = self._opened(option)
        mode, doing = POLICIES[option]
        flags = syscalls.MPOL_MF_STRICT if self.strict else 0
        try:
            syscalls.mbind(segment.address + self._offset, self._length, mode, nodes, flags)
        except OSError as error:
            hint = "is there memory on these nodes, and does this kernel know the policy?"
            raise refused(doing, error, hint) from None
        self._asked = mode, nodes

    def touch(self) -> None:
        """`--touch`: have every page exist now. Raises Complaint."""
        segment = self._opened("touch")
        try:
            shared_memory.touch(segment, self._offset, self._length)
        except OSError as error:
            raise refused("touching the pages", error) from None

    def dump(self) -> Iterator[str]:
        """`--dump`: the policy of each part of the range."""
        for start, end, (mode, nodes) in self._runs(self._policies()):
            yield f"{start:016x}-{end:016x}: {mode} : {''.join(f'{node} ' for node in nodes)}"

    def dump_nodes(self) -> Iterator[str]:
        """`--dump-nodes`: the node of each page, equal neighbours taken together. Has every page exist first."""
        self.touch()
        for start, end, node in self._runs(self._nodes()):
            yield f"{start:016x}-{end:016x}: {node}"

    def verify(self) -> Iterator[str]:
        """`--verify`: where the range's policy or pages are not what the policy option before it asked for."""
        if self._asked is None:
            raise Complaint("Need a policy first to verify")
        mode, wanted = self._asked
        for start, end, (found, nodes) in self._runs(self._policies()):
            if (found, frozenset(nodes)) != (mode, wanted):
                asked, has = f"{mode} {format_list(wanted)}", f"{found} {format_list(nodes)}"
                yield f"{start:016x}-{end:016x}: policy is {has.strip()}, not {asked.strip()}"
        if mode in ("bind", "interleave", "weighted-interleave"):
            self.touch()  # a page that others made is not looked at before it is mapped here
            for start, end, node in self._runs(self._nodes()):
                if node >= 0 and node not in wanted:
                    yield f"{start:016x}-{end:016x}: pages on node {node}, not on {format_list(wanted)}"

    def _create(self, path: str, number: int, key: int, mode: int) -> tuple[int, int]:
        length = self._size("length", 0)
        if not length:
            raise Complaint("need a --length to create a sysv shared memory segment")
        print(
            f"numactl: Creating shared memory segment {path} id {number} mode {mode:04o} length {length >> 20}MB",
            file=sys.stderr,
        )
        return shared_memory.create_segment(key, length, mode, huge="huge" in self.shape), length

    def _take_range(self, size: int) -> None:
        self._offset = self._size("offset", 0)
        self._length = self._size("length", 0) or size - self._offset
        if self._length <= 0 or self._offset + self._length > size:
            raise Complaint(f"the region ends past the shared memory's end ({size} bytes)")
        self._check_aligned(self._offset, self._length, 1 << 12)

    def _check_aligned(self, offset: int, length: int, page: int) -> None:
        if offset % page or length % page:
            raise Complaint(f"policy region not page aligned (pages have {page} bytes)")

    def _opened(self, option: str) -> Segment:
        if self.segment is None:
            raise Complaint(f"--{option} must be after shared memory specification", usage=True)
        return self.segment

    def _policies(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        segment = self._opened("dump")
        for offset in range(self._offset, self._offset + self._length, segment.page):
            try:
                yield syscalls.get_mempolicy_at(segment.address + offset)
            except OSError as error:
                raise refused("reading the memory policy", error) from None

    def _nodes(self) -> Iterator[int]:
        segment = self._opened("dump-nodes")
        pages = range(self._offset, self._offset + self._length, segment.page)
        for first in range(0, len(pages), _AT_ONCE):
            part = [segment.address + offset for offset in pages[first : first + _AT_ONCE]]
            try:
                yield from syscalls.move_pages(0, part)
            except OSError as error:
                raise refused("looking at the pages", error) from None

    def _runs(self, values: Iterator[_Value]) -> Iterator[tuple[int, int, _Value]]:
        """Equal neighbours as one: where they start and end, and what they have."""
        page = self._opened("dump").page
        place = start = self._offset
        last: _Value | None = None
        for value in values:
            if last is not None and value != last:
                yield start, place, last
                start = place
            last = value
            place += page
        if last is not None:
            yield start, place, last

    def _size(self, option: str, default: int) -> int:
        text = self.shape.get(option)
        if text is None:
            return default
        digits = text.rstrip("kKmMgGbB")
        unit = text[len(digits) :].lower().rstrip("b")
        if not (digits.isascii() and digits.isdigit()) or unit not in _UNITS:
            raise Complaint(
                f"--{option} {text!r} is no size; write bytes, or a number with k, m or g", usage=True
            )
        return int(digits) * _UNITS[unit]

    def _number(self, option: str, default: int, base: int = 0) -> int:
        text = self.shape.get(option)
        try:
            return default if text is None else int(text, base)
        except ValueError:
            raise Complaint(f"--{option} {text!r} is not a number", usage=True) from None
