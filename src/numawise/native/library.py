"""Finding and loading the compiled library of kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path

from numawise.errors import NumawiseError

LIBRARY_NAME = "libnumawise_kernels.so"
ABI = 2  # of kernels/table.c

_REINSTALL = (
    "install numawise again (pip install --force-reinstall numawise; from a checkout: pip install -e .)"
)


class CKernel(ctypes.Structure):
    """`struct numawise_kernel` of kernels/kernel.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("summary", ctypes.c_char_p),
        ("pass_", ctypes.c_void_p),
        ("prepare", ctypes.c_void_p),
        ("buffers", ctypes.c_uint32),
        ("writes", ctypes.c_uint32),
        ("element_bytes", ctypes.c_uint32),
        ("bytes_per_element", ctypes.c_uint32),
    ]


class CRun(ctypes.Structure):
    """`struct numawise_run` of kernels/table.c."""

    _fields_ = [
        ("passes", ctypes.c_uint64),
        ("started_ns", ctypes.c_uint64),
        ("ended_ns", ctypes.c_uint64),
        ("result", ctypes.c_uint64),
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
    library.numawise_kernel_count.restype = ctypes.c_size_t
    library.numawise_kernel_at.argtypes = [ctypes.c_size_t]
    library.numawise_kernel_at.restype = ctypes.POINTER(CKernel)
    library.numawise_run_kernel.argtypes = [
        ctypes.POINTER(CKernel),
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_uint64,
        ctypes.c_uint64,
        ctypes.c_uint64,
        ctypes.POINTER(CRun),
    ]


def _listed(folders: Iterable[Path]) -> str:
    return " or ".join(str(folder) for folder in folders) or "any folder"
