"""What can stand in the way of looking at a process, in one clear line each."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from numawise.errors import NotPermittedError, NumawiseError
from numawise.linux.container import how_to_allow


class ProcessGone(NumawiseError):  # noqa: N818 - reads as what happened
    """The process does not exist, or ended while it was looked at. Exit code 2: the pid named nothing."""

    exit_code = 2


@contextmanager
def looking_at(pid: int) -> Iterator[None]:
    """Turn what the system answers while process `pid` (0: this one) is looked at into a clear error."""
    try:
        yield
    except OSError as error:
        raise _explained(pid, error) from None


def _explained(pid: int, error: OSError) -> NumawiseError:
    who = f"process {pid}" if pid else "this process"
    call = error.filename or str(error.strerror).split(":", maxsplit=1)[0]
    name = errno.errorcode.get(error.errno or 0, "?")
    of_call = call == "move_pages"
    # Of a process that is just ending, move_pages answers EINVAL once its memory has gone (mm/migrate.c,
    # find_mm_struct) and mountinfo once its namespaces have (fs/proc_namespace.c, mounts_open_common).
    ending = error.errno == errno.EINVAL and (of_call or str(call).endswith("/mountinfo"))
    if error.errno in (errno.ENOENT, errno.ESRCH) or ending:
        return ProcessGone(f"{who} does not exist or has ended ({call}: {name}); check the process id")
    if of_call and error.errno == errno.ENOSYS:
        return NotPermittedError(
            f"looking at the pages of {who}: {error.strerror} (ENOSYS); it needs a NUMA kernel"
        )
    if of_call and error.errno in (errno.EPERM, errno.EACCES):
        return NotPermittedError(
            f"looking at the pages of {who}: move_pages was refused ({name}; {how_to_allow('move_pages')}); for a "
            "process of somebody else, look as its user or as root; or read numa_maps instead (exact=True)"
        )
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermittedError(
            f"looking at {who}: reading {call} was refused ({name}); look as the user who started it, or as "
            "root (in a container: with --cap-add SYS_PTRACE)"
        )
    return NumawiseError(
        f"looking at {who}: {call}: {name} ({error.strerror}); try again, or look at another process"
    )
