"""What numactl says when it will not or cannot."""

from __future__ import annotations

import errno


class Complaint(Exception):  # noqa: N818 - reads as what happened
    """One line for standard error, without the program's name; always exit code 1."""

    def __init__(self, message: str, *, usage: bool = False) -> None:
        """`usage`: the options are explained below the line."""
        super().__init__(message)
        self.usage = usage


_HINTS = {
    errno.EPERM: "refused by seccomp or for want of CAP_SYS_NICE; in Docker, --cap-add SYS_NICE allows it",
    errno.ENOSYS: "this kernel was built without NUMA",
}


def refused(doing: str, error: OSError, hint: str = "") -> Complaint:
    """What the system answered while `doing` it; `hint`: what EINVAL means there."""
    code = errno.errorcode.get(error.errno or 0, "?")
    known = hint if error.errno == errno.EINVAL else _HINTS.get(error.errno or 0, "")
    return Complaint(f"{doing}: {error.strerror} ({code}){known and '; ' + known}")
