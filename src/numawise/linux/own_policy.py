"""The memory policy this process has, also where a container refuses get_mempolicy: procfs says it as well."""

from __future__ import annotations

import errno
import re

from numawise.linux import syscalls
from numawise.linux.cpuset import CPUSet
from numawise.linux.procfs import read_text

# mm/mempolicy.c, mpol_to_str: the mode, flags after "=", nodes after ":".
_WORDS = {
    "default": "default",
    "prefer": "preferred",
    "bind": "bind",
    "interleave": "interleave",
    "local": "local",
    "prefer (many)": "preferred-many",
    "weighted interleave": "weighted-interleave",
}
_LINE = re.compile(
    rf"[0-9a-f]+ ({'|'.join(map(re.escape, sorted(_WORDS, reverse=True)))})(?:=[^ :]*)?(?::([\d,-]+))?(?= |$)"
)
_REFUSALS = (errno.EPERM, errno.EACCES)


def own_policy() -> tuple[str, tuple[int, ...]]:
    """Mode and nodes, by get_mempolicy(2) or else by `/proc/self/numa_maps`, which no seccomp profile knows of.

    Raises OSError when neither may be asked.

    >>> own_policy() == syscalls.get_mempolicy()
    True
    """
    try:
        return syscalls.get_mempolicy()
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        found = policy_of_stack(read_text("/proc/self/numa_maps"))
        if found is None:
            raise
        return found


def policy_of_stack(text: str) -> tuple[str, tuple[int, ...]] | None:
    """The policy in the stack's line of a numa_maps: nobody gives the stack one of its own, so it is the process's.

    >>> policy_of_stack("7ffc0000 prefer (many):0-1,3 stack anon=9 dirty=9 N0=9 kernelpagesize_kB=4")
    ('preferred-many', (0, 1, 3))
    """
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and "stack" in line[found.end() :].split():
            mode, nodes = found.groups()
            return _WORDS[mode], tuple(sorted(CPUSet.parse(nodes))) if nodes else ()
    return None
