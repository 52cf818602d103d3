"""Finding and loading the compiled library of kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path

from numawise.errors import NumawiseError

LIBRARY_NAME = "libnumawise_kernels.so"
ABI = 4  # of kernels/engine/table.c

_REINSTALL = (
    "install numawise again (pip install --force-reinstall numawise; from a checkout: pip install -e .)"
)


class CKernel(ctypes.Structure):
    """`struct numawise_kernel` of kernels/kernel.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("summary", ctypes.c_char_p),
        ("passes", ctypes.c_void_p * 4),
        ("prepare", ctypes.c_void_p),
        ("buffers", ctypes.c_uint32),
        ("writes", ctypes.c_uint32),
        ("element_bytes", ctypes.c_uint32),
        ("bytes_per_element", ctypes.c_uint32),
        ("whole", ctypes.c_uint32),
    ]


class CRun(ctypes.Structure):
    """`struct numawise_run` of kernels/engine/table.c."""

    _fields_ = [
        ("passes", ctypes.c_uint64),
        ("started_ns", ctypes.c_uint64),
        ("ended_ns", ctypes.c_uint64),
        ("result", ctypes.c_uint64),
    ]


CBuffers = ctypes.c_void_p * 3  # NUMAWISE_BUFFERS


class CStamp(ctypes.Structure):
    """`struct numawise_stamp` of kernels/engine/team.c."""

    _fields_ = [("started_ns", ctypes.c_uint64), ("ended_ns", ctypes.c_uint64)]


class CTask(ctypes.Structure):
    """`struct numawise_task` of kernels/engine/team.c."""

    _fields_ = [
        ("kernel", ctypes.POINTER(CKernel)),
        ("buffers", CBuffers),
        ("bytes", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("pause", ctypes.c_uint64),
        ("cpu", ctypes.c_int32),
        ("background", ctypes.c_int32),
        ("failed", ctypes.c_int32),
        ("pinning", ctypes.c_int32),
        ("ran_on", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        ("worked_ns", ctypes.c_uint64),
        ("ran_ns", ctypes.c_uint64),
        ("result", ctypes.c_uint64),
        ("repeats", ctypes.c_uint64),
        ("stamps", ctypes.POINTER(CStamp)),
    ]


class CPlan(ctypes.Structure):
    """`struct numawise_plan` of kernels/engine/team.c."""

    _fields_ = [
        ("repeats", ctypes.c_uint64),
        ("least_ns", ctypes.c_uint64),
        ("warmups", ctypes.c_uint64),
        ("isa", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
    ]


class COutcome(ctypes.Structure):
    """`struct numawise_outcome` of kernels/engine/team.c."""

    _fields_ = [
        ("passes", ctypes.c_uint64),
        ("background_bytes", ctypes.c_uint64),
        ("background_ns", ctypes.c_uint64),
        ("complete", ctypes.c_int32),
        ("unused", ctypes.c_int32),
    ]


def load(folders: Iterable[str]) -> ctypes.CDLL:
    """Load the library from the first of `folders` that holds it, with its functions' types declared.

    Raises NumawiseError when no folder holds it, when the system refuses to load it, or when it was built
    from another version of the sources.
    """
    tried = [Path(folder) for folder in folders]
    path = next((f / LIBRARY_NAME for f in tried if (f / LIBRARY_NAME).is_file()), None)
    if path is None:
        raise NumawiseError(f"{LIBRARY_NAME} is not in {_listed(tried)}; {_REINSTALL}")
    try:
        library = ctypes.CDLL(str(path))
        abi: int = library.numawise_abi()
        _declare(library)
    except (OSError, AttributeError) as error:
        raise NumawiseError(
            f"cannot load {path}: {error}. If its file system is mounted noexec, install numawise on another "
            f"one; if the file is damaged or built for another machine, {_REINSTALL}"
        ) from None
    if abi != ABI:
        raise NumawiseError(f"{path} is of another version (its ABI is {abi}, wanted is {ABI}); {_REINSTALL}")
    return library


def _declare(library: ctypes.CDLL) -> None:
    size, word, handle = ctypes.c_size_t, ctypes.c_uint64, ctypes.c_void_p
    to = ctypes.POINTER
    library.numawise_kernel_count.restype = size
    library.numawise_kernel_at.argtypes = [size]
    library.numawise_kernel_at.restype = to(CKernel)
    library.numawise_elements.argtypes = [to(CKernel), size]
    library.numawise_elements.restype = size
    library.numawise_isa_name.argtypes = [ctypes.c_uint32]
    library.numawise_isa_name.restype = ctypes.c_char_p
    library.numawise_isa_here.argtypes = [ctypes.c_uint32]
    library.numawise_run_kernel.argtypes = [
        to(CKernel),
        ctypes.c_uint32,
        CBuffers,
        size,
        word,
        word,
        word,
        to(CRun),
    ]
    library.numawise_team_start.argtypes = [to(CTask), size, to(CPlan), to(handle)]
    library.numawise_team_wait.argtypes = [handle, word]
    library.numawise_team_stop.argtypes = [handle, to(COutcome)]
    library.numawise_team_stop.restype = None
    library.numawise_team_free.argtypes = [handle]
    library.numawise_team_free.restype = None
    cpu = ctypes.c_int32
    library.numawise_pingpong_start.argtypes = [cpu, cpu, word, word, to(word), to(cpu), to(handle)]
    library.numawise_pingpong_wait.argtypes = [handle, word]
    library.numawise_pingpong_end.argtypes = [handle, to(word), to(word)]
    library.numawise_pingpong_end.restype = None


def _listed(folders: Iterable[Path]) -> str:
    return " or ".join(str(folder) for folder in folders) or "any folder"
