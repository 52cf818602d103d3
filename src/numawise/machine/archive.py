"""A machine in a `.tar.gz`: read into memory, never unpacked onto the disk.

The headers are read here and not by `tarfile`, which takes 30 us for each: a captured machine of 1 024 CPUs
has tens of thousands of members, and one wants to plan for it without waiting. Formats: ustar, GNU long
names, pax paths (POSIX.1-2008, pax; GNU tar manual, "Basic Tar Format").
"""

from __future__ import annotations

import zlib

from numawise.errors import SnapshotError
from numawise.machine.root import READ_LIMIT, Root, text_of

_BLOCK = 512
_STREAM_LIMIT = 512 << 20
_STREAMS_LIMIT = 1000  # concatenated; gzip itself writes one
_MEMBER_LIMIT = 500_000
_GZIP = b"\x1f\x8b"


class ArchiveRoot(Root):
    """The `/sys` and `/proc` files in a tar archive, plain or gzipped.

    Raises SnapshotError, naming the archive, when it is truncated, is no tar archive, has a member whose name
    leads out of it, or unpacks to more than any machine's description could be.
    """

    def __init__(self, name: str, raw: bytes) -> None:
        super().__init__(name)
        self._data = _gunzip(name, raw) if raw.startswith(_GZIP) else raw
        self._files: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        self._folders: dict[str, set[str]] = {"": set()}
        self._resolved: dict[str, str | None] = {}
        self._index()
        self._top = self._find_top()

    def read(self, path: str, limit: int = READ_LIMIT) -> str | None:
        parent, _, leaf = path.rpartition("/")
        folder = self._folder(parent)
        if folder is None:
            return None
        full = f"{folder}/{leaf}" if folder else leaf
        if full in self._links:
            full = self._resolve(full) or ""
        span = self._files.get(full)
        if span is None or span[1] - span[0] > READ_LIMIT:
            return None
        return text_of(self._data[span[0] : min(span[1], span[0] + limit)])

    def names(self, path: str, prefix: str = "") -> list[str]:
        folder = self._folder(path)
        entries = self._folders.get(folder, ()) if folder is not None else ()
        return sorted(name for name in entries if name.startswith(prefix))

    def real(self, path: str) -> str | None:
        return self._folder(path)

    def _folder(self, path: str) -> str | None:
        if path not in self._resolved:
            self._resolved[path] = self._resolve(self._top + path)
        return self._resolved[path]

    def _link(self, path: str) -> str | None:
        target = self._links.get(path)
        return f"/{self._top}{target}" if target and target.startswith("/") else target

    def _find_top(self) -> str:
        """Where sys/ and proc/ are: at the top of the archive, or in the one folder that it holds."""
        top = self._folders[""]
        if {"sys", "proc"} & top:
            return ""
        if len(top) == 1:
            (only,) = top
            if {"sys", "proc"} & self._folders.get(only, set()):
                return only + "/"
        raise SnapshotError(f"{self.name}: holds neither sys/ nor proc/, so it describes no machine")

    def _index(self) -> None:
        data, position, long_name, long_link = self._data, 0, "", ""
        pax: dict[str, str] = {}
        members = 0
        while True:
            header = data[position : position + _BLOCK]
            if len(header) < _BLOCK:
                raise self._broken("truncated: it ends without an end-of-archive mark" if position else None)
            if not header.strip(b"\0"):
                return
            members += 1
            size = self._checked_size(header, first=position == 0)
            kind = header[156:157]
            if kind in b"\007" and "size" in pax:
                size = int(pax["size"]) if pax["size"].isdigit() else 0
            start = position + _BLOCK
            position = start + -(-size // _BLOCK) * _BLOCK
            if start + size > len(data):
                raise self._broken("truncated in the middle of a file")
            if members > _MEMBER_LIMIT:
                raise self._broken(f"more than {_MEMBER_LIMIT} members")
            if kind == b"L":
                long_name = _string(data[start : start + size])
            elif kind == b"K":
                long_link = _string(data[start : start + size])
            elif kind == b"x":
                pax = _pax(data[start : start + size])
            elif kind != b"g":
                path = self._safe(pax.get("path") or long_name or _ustar_name(header))
                link = pax.get("linkpath") or long_link or _string(header[157:257])
                self._add(kind, path, link, (start, start + size))
                long_name, long_link, pax = "", "", {}

    def _add(self, kind: bytes, path: str, link: str, span: tuple[int, int]) -> None:
        if kind in (b"\0", b"0", b"7"):
            self._files[path] = span
        elif kind == b"2":
            self._links[path] = link
        elif kind == b"1":  # a hard link: the same file under a second name, which must have come before
            earlier = self._files.get(self._safe(link))
            if earlier is not None:
                self._files[path] = earlier
        elif kind == b"5":
            self._folders.setdefault(path, set())
        else:  # a device, a pipe: nothing to read
            return
        while path:
            parent, _, leaf = path.rpartition("/")
            siblings = self._folders.get(parent)
            if siblings is None:
                siblings = self._folders[parent] = set()
            elif leaf in siblings:
                break
            siblings.add(leaf)
            path = parent

    def _safe(self, path: str) -> str:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/") or ".." in parts:
            raise self._broken(f"refused: its member {path!r} leads out of the archive")
        return "/".join(parts)

    def _checked_size(self, header: bytes, *, first: bool) -> int:
        stored = _number(header[148:156])
        if stored != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            raise self._broken(None if first else "damaged: a header's checksum is wrong")
        size = _number(header[124:136])
        if size is None or size < 0:
            raise self._broken("damaged: a member has no size")
        return size

    def _broken(self, why: str | None) -> SnapshotError:
        return SnapshotError(f"{self.name}: {why or 'not a tar archive, a folder or a topology in JSON'}")


def _gunzip(name: str, raw: bytes) -> bytes:
    pieces, total, streams = [], 0, 0
    while raw.startswith(_GZIP):
        streams += 1
        if streams > _STREAMS_LIMIT:
            raise SnapshotError(f"{name}: refused, {_STREAMS_LIMIT} gzip streams in one file")
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            try:
                piece = stream.decompress(raw, 16 << 20)
            except zlib.error as error:
                raise SnapshotError(f"{name}: damaged gzip data ({error})") from None
            raw = stream.unconsumed_tail
            total += len(piece)
            if total > _STREAM_LIMIT:
                raise SnapshotError(f"{name}: refused, unpacks to more than {_STREAM_LIMIT >> 20} MiB")
            if not piece and not raw and not stream.eof:
                raise SnapshotError(f"{name}: truncated: its gzip data ends too early")
            pieces.append(piece)
        raw = stream.unused_data
    return b"".join(pieces)


def _number(field: bytes) -> int | None:
    if field[0] & 0x80:  # GNU: base 256 for what octal digits cannot hold
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        return None


def _string(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _ustar_name(header: bytes) -> str:
    name = _string(header[:100])
    # The prefix exists in POSIX ustar only; GNU's magic ends in a blank and keeps other things there.
    prefix = _string(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _pax(raw: bytes) -> dict[str, str]:
    """The records of a pax header, each `LENGTH key=value` and a newline."""
    records, position = {}, 0
    while position < len(raw):
        length_text, blank, _ = raw[position : position + 24].partition(b" ")
        if not blank or not length_text.isdigit() or int(length_text) <= len(length_text):
            break
        record = raw[position + len(length_text) + 1 : position + int(length_text) - 1]
        key, _, value = record.partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        position += int(length_text)
    return records
