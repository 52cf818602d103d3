"""The memory of a reading, a piece for each thread: fitted to what is free, placed, and kept for the next reading."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from numawise.machine.topology import Topology
from numawise.measure.buffer import Placed
from numawise.measure.places import cores_of, cpu_nodes
from numawise.measure.room import SHARE, Room, fit, look
from numawise.measure.wanted import Wanted

_PAGE = 4096
_LEAST_KIB = 64
"""Of one buffer of one thread: less measures the loop, not the memory."""

_Key = tuple[tuple[int, ...], bool, bool]  # nodes, huge pages, interleaved


class Piece(NamedTuple):
    """So much of a buffer, for one thread. Its slices must not be used once the buffer is closed."""

    buffer: Placed
    offset: int
    length: int

    def whole(self) -> ctypes.Array[ctypes.c_char]:
        """All of it, for a kernel."""
        return self.buffer.slice(self.offset, self.length)

    def split(self, parts: int) -> tuple[ctypes.Array[ctypes.c_char], ...]:
        """As `parts` equal buffers, each from a page on."""
        each = whole_pages(self.length // parts)
        return tuple(self.buffer.slice(self.offset + i * each, each) for i in range(parts))


class Buffers:
    """Buffers in use; those that the next reading does not want are given back when it asks for its own."""

    def __init__(self, topology: Topology, buffer_kib: int | None = None) -> None:
        """For this machine, `buffer_kib` a reading instead of what is wanted."""
        self._topology = topology
        self._size = buffer_kib
        self._held: dict[_Key, Placed] = {}

    def close(self) -> None:
        """Give all memory back."""
        self._keep_only(())

    def pieces(self, wanted: Wanted, parts: int) -> list[Piece]:
        """A piece for each thread of `wanted`, whose kernel takes `parts` buffers.

        Smaller than wanted where there is not so much room. Raises NoRoom when there is next to none, NotPermittedError
        when memory may not be placed.
        """
        threads = len(wanted.cpus)
        least = _LEAST_KIB * parts * max(threads, len(wanted.injectors) + 1)
        nodes = tuple(dict.fromkeys(wanted.homes)) or wanted.memory
        size = max(self._size or wanted.buffer_kib, least)
        places: list[tuple[int, ...]] = [(home,) for home in wanted.homes] or [wanted.memory] * threads
        interleaved = wanted.layout == "interleaved"
        self._keep_only({(place, wanted.huge, interleaved) for place in places})
        if not self._holds(places, wanted, whole_pages(size * 1024 // threads), interleaved):
            size = fit(size, least, nodes, self._room())
        each = whole_pages(size * 1024 // threads)
        found = {
            place: self._placed(place, each * places.count(place), wanted, interleaved)
            for place in dict.fromkeys(places)
        }
        used = dict.fromkeys(found, 0)
        pieces = []
        for place in places:
            pieces.append(Piece(found[place], used[place], each))
            used[place] += each
        return pieces

    def _holds(self, places: Sequence[tuple[int, ...]], wanted: Wanted, each: int, interleaved: bool) -> bool:
        """Whether all of it is held already, so that nobody need ask what is free."""
        held = ((place, self._held.get((place, wanted.huge, interleaved))) for place in dict.fromkeys(places))
        return all(buffer and buffer.length >= each * places.count(place) for place, buffer in held)

    def _room(self) -> Room:
        """What may be taken, as if what is held were free: it is used again, or given back."""
        room, held = look(), dict[int, int]()
        for buffer in self._held.values():
            for node in buffer.nodes:
                mine = round(SHARE * (buffer.length >> 10)) // len(buffer.nodes)
                held[node] = held.get(node, 0) + mine
        limit = None if room.limit_kib is None else room.limit_kib + sum(held.values())
        return Room({node: kib + held.get(node, 0) for node, kib in room.nodes.items()}, limit)

    def _placed(self, nodes: tuple[int, ...], size: int, wanted: Wanted, interleaved: bool) -> Placed:
        key = (nodes, wanted.huge, interleaved)
        found = self._held.get(key)
        if found is not None and found.length >= size:
            return found
        if found is not None:
            self._held.pop(key).close()
        cpu = self._near(nodes, wanted)
        self._held[key] = Placed(nodes, -(-size // 1024), huge=wanted.huge, interleaved=interleaved, cpu=cpu)
        return self._held[key]

    def _near(self, nodes: tuple[int, ...], wanted: Wanted) -> int | None:
        """A CPU of these nodes, to touch the memory first; None where none is allowed."""
        mine = [node for node in cpu_nodes(self._topology) if node in nodes]
        cpus = [cpu for node in mine for cpu in cores_of(self._topology, node)]
        return next((cpu for cpu in wanted.cpus if cpu in cpus), cpus[0] if cpus else None)

    def _keep_only(self, keys: Iterable[_Key]) -> None:
        wanted = set(keys)
        for key in [key for key in self._held if key not in wanted]:
            self._held.pop(key).close()


def distinct(pieces: Sequence[Piece]) -> list[Placed]:
    """The buffers that these pieces lie in, each once."""
    return list({id(piece.buffer): piece.buffer for piece in pieces}.values())


def whole_pages(length: int) -> int:
    """`length`, rounded down to pages of 4 KiB."""
    return length // _PAGE * _PAGE
