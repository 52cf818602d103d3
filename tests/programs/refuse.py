"""Run a command with some system calls answered by EPERM, as a container's seccomp profile does.

    python tests/programs/refuse.py set_mempolicy,mbind -- COMMAND ...

The filter is inherited by every child of the command and cannot be taken off again. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

# arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h
SYSTEM_CALLS = {
    "x86_64": {
        "mbind": 237,
        "set_mempolicy": 238,
        "get_mempolicy": 239,
        "migrate_pages": 256,
        "move_pages": 279,
        "perf_event_open": 298,
        "sched_setaffinity": 203,
        "set_mempolicy_home_node": 450,
    },
    "aarch64": {
        "mbind": 235,
        "get_mempolicy": 236,
        "set_mempolicy": 237,
        "migrate_pages": 238,
        "move_pages": 239,
        "perf_event_open": 241,
        "sched_setaffinity": 122,
        "set_mempolicy_home_node": 450,
    },
}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # include/uapi/linux/audit.h

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
OFFSET_NUMBER, OFFSET_ARCH = 0, 4  # struct seccomp_data


class Instruction(ctypes.Structure):
    """struct sock_filter"""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(Instruction)))


def main(arguments: list[str]) -> None:
    if len(arguments) < 3 or arguments[1] != "--":
        sys.exit("usage: refuse.py CALL[,CALL...] -- COMMAND ...")
    machine = os.uname().machine
    names = arguments[0].split(",")
    unknown = [name for name in names if name not in SYSTEM_CALLS[machine]]
    if unknown:
        sys.exit(f"refuse.py: unknown system call {unknown[0]!r}; known: {', '.join(SYSTEM_CALLS[machine])}")
    refuse([SYSTEM_CALLS[machine][name] for name in names], AUDIT_ARCH[machine])
    os.execvp(arguments[2], arguments[2:])


def refuse(numbers: list[int], arch: int) -> None:
    """Answer EPERM to these system calls, in this process and all it starts."""
    rows = [
        (LOAD_WORD, 0, 0, OFFSET_ARCH),
        (JUMP_IF_EQUAL, 1, 0, arch),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),  # a 32-bit program: not ours to judge
        (LOAD_WORD, 0, 0, OFFSET_NUMBER),
    ]
    for number in numbers:
        rows += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM)]
    rows.append((RETURN, 0, 0, SECCOMP_RET_ALLOW))
    program = Program(len(rows), (Instruction * len(rows))(*rows))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


def prctl(option: int, argument: int, pointer: object = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    third = ctypes.c_ulong(pointer) if isinstance(pointer, int) else pointer
    if libc.prctl(option, ctypes.c_ulong(argument), third, ctypes.c_ulong(0), ctypes.c_ulong(0)) < 0:
        sys.exit(f"refuse.py: prctl({option}): {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main(sys.argv[1:])
