"""`save`: a machine into a `.tar.gz`, with nothing in it that this package does not read.

The tree is read through a recorder, so the archive holds exactly what was looked at: no list of files to keep
in step with the reader. What could tell who or where the machine is never gets in: lines of no use are cut,
and the process's cgroup is replaced by what it allows.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable

from numawise.linux.cpuset import format_list
from numawise.linux.files import write_file
from numawise.linux.sysfs import embeds_mac_address
from numawise.machine.allowed import asked
from numawise.machine.reader import FACTS, FACTS_VERSION, LIMITS, Facts, read_tree
from numawise.machine.root import READ_LIMIT, Root, open_root
from numawise.machine.topology import Topology

_STATUS = "proc/self/status"
# Read to find out what is allowed; they name users, sessions, jobs and mounted disks. `_STATUS` stands for
# them.
_PERSONAL = re.compile(r"^(proc/self/|proc/mounts$|dev/|sys/fs/|proc/hwloc-nofile-info$|numawise\.json$)")

_CPUINFO_KEYS = frozenset(
    ("processor", "model name", "vendor_id", "physical id", "core id", "cpu", "Processor", "CPU architecture")
)

_MEMINFO_KEYS = frozenset(("MemTotal", "MemFree", "Active(file)", "Inactive(file)", "SReclaimable"))


def save(path: str | os.PathLike[str], root: str | os.PathLike[str] = "/") -> Topology:
    """Write the machine behind `root` to `path` (a `.tar.gz`) and return it; `read(path)` gives the same
    value.

    The file appears whole or not at all. Raises what `read` raises, and UsageError, NotPermittedError or
    NumawiseError when `path` cannot be written.
    """
    recorder = _Recorder(open_root(root))
    topology = read_tree(recorder)
    write_file(path, _archive(recorder, topology))
    return topology


class _Recorder(Root):
    """Passes everything on to another tree and remembers the answers."""

    def __init__(self, inner: Root) -> None:
        super().__init__(inner.name)
        self.live = inner.live
        self.escapes = inner.escapes
        self.files: dict[str, str] = {}
        self.folders: set[str] = set()
        self._inner = inner

    def read(self, path: str, limit: int = READ_LIMIT) -> str | None:
        text = self._inner.read(path, limit)
        if text is not None and not _PERSONAL.match(path):
            text = _without_the_rest(path, text)
            if len(text) >= len(self.files.get(path, "")):  # the head of a file may be read before the whole
                self.files[path] = text
        return text

    def names(self, path: str, prefix: str = "") -> list[str]:
        found = self._inner.names(path, prefix)
        if not _PERSONAL.match(path):
            self.folders.update(f"{path}/{name}" for name in found if not embeds_mac_address(name))
        return found


def _lines(text: str, keep: Callable[[str], bool]) -> str:
    return "\n".join(line for line in text.splitlines() if keep(line))


def _without_the_rest(path: str, text: str) -> str:
    """The lines that the reader uses, of files that hold others (serial numbers, addresses, usage)."""
    if path == "proc/cpuinfo":
        return _lines(text, lambda line: line.partition(":")[0].strip() in _CPUINFO_KEYS)
    if path == "proc/stat":
        return _lines(text, lambda line: line.startswith("cpu"))
    if path.endswith("/meminfo"):
        return _lines(text, lambda line: line.partition(":")[0].rpartition(" ")[2] in _MEMINFO_KEYS)
    if path.endswith("/uevent"):
        return _lines(text, lambda line: line.startswith(("PCI_CLASS=", "PCI_ID=")))
    if path.endswith("/numa_status"):
        return _lines(text, lambda line: line.startswith("Node"))
    return text


def _archive(recorder: _Recorder, topology: Topology) -> bytes:
    import gzip
    import tarfile

    from numawise.machine.codec import to_json

    limits = {name: getattr(topology.allowed, name) for name in LIMITS}
    facts = Facts(FACTS_VERSION, topology.architecture, topology.page_size_kib, **limits)
    files = {path: text + "\n" for path, text in recorder.files.items()}
    files[FACTS] = to_json(facts).decode() + "\n"
    allowed = zip(("Cpus_allowed_list", "Mems_allowed_list"), asked(recorder), strict=True)
    files[_STATUS] = "".join(f"{name}:\t{format_list(ids)}\n" for name, ids in allowed if ids is not None)
    folders = recorder.folders - files.keys()
    buffer = io.BytesIO()
    # No time, owner or file name in the headers: the same machine gives the same bytes.
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(folders | files.keys()):
            member = tarfile.TarInfo(name)
            if name in files:
                content = files[name].encode()
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
            else:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
    return buffer.getvalue()
