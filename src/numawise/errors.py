"""What can go wrong, and the exit code that says so.

Every message says what was tried, what the system answered, and what to do next. The command line prints the
message as one line and leaves with `exit_code`; nobody sees a traceback for a condition that has a name.
"""

from __future__ import annotations


class NumawiseError(Exception):
    """Base of everything numawise raises on purpose. Exit code 4: it broke."""

    exit_code = 4


class UsageError(NumawiseError):
    """The request itself cannot be meant: an unknown node, a CPU list that runs backwards. Exit code 2."""

    exit_code = 2


class NotPermittedError(NumawiseError):
    """The system refuses: seccomp, cpuset, missing capability. Exit code 3."""

    exit_code = 3


class SnapshotError(NumawiseError):
    """A file that should describe a machine (or a profile, or a run) cannot be read as one. Exit code 2."""

    exit_code = 2
