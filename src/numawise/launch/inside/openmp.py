"""OpenMP in this process: runtimes that are loaded, the CPUs they have taken, and what undoes a binding later.

A runtime that is told to bind its threads (OMP_PROC_BIND and its kin) makes a list of places when it is loaded, binds
the initial thread to the first of them there and then, and every thread that it starts later to one of the others,
whatever the affinity of the process has become. So where such a runtime is loaded, the affinity of the initial thread
is not what this process may use, and threads started after a binding leave it again.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from numawise.linux import procfs
from numawise.linux.cpuset import CPUSet

_RUNTIME = re.compile(r"lib(gomp|iomp5|omp)[-.0-9a-f]*\.so")
_BLAS = re.compile(r"lib(scipy_)?openblas[^/]*\.so")
_BLAS_THREADS = (
    "scipy_openblas_get_num_threads64_",
    "scipy_openblas_get_num_threads",
    "openblas_get_num_threads64_",
    "openblas_get_num_threads",
)
_OFF = ("", "false", "none", "disabled", "norespect,none")
BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Settings that have a runtime bind its threads by itself."""


class Runtime(NamedTuple):
    """An OpenMP runtime in this process."""

    name: str
    library: Any


def runtimes() -> list[Runtime]:
    """The OpenMP runtimes that are loaded; none is loaded for asking."""
    return [Runtime(os.path.basename(path), library) for path, library in _loaded(_RUNTIME)]  # noqa: PTH119


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set and have a runtime bind its threads.

    >>> settings({"OMP_PROC_BIND": "false", "KMP_AFFINITY": "granularity=fine,compact,1,0", "OMP_PLACES": "cores"})
    {'KMP_AFFINITY': 'granularity=fine,compact,1,0'}
    """
    given = {name: environ[name] for name in BINDING if environ.get(name, "").strip().lower() not in _OFF}
    if environ.get("OMP_PROC_BIND", "").strip().lower() == "false":  # it alone decides where it is set
        given.pop("OMP_PLACES", None)
        given.pop("GOMP_CPU_AFFINITY", None)
    return given


def places(found: list[Runtime]) -> CPUSet:
    """The CPUs that the runtimes share out among threads they bind; empty where they bind none."""
    cpus: set[int] = set()
    for runtime in found:
        try:
            for place in range(runtime.library.omp_get_num_places()):
                count = runtime.library.omp_get_place_num_procs(place)
                ids = (ctypes.c_int * max(count, 1))()
                runtime.library.omp_get_place_proc_ids(place, ids)
                cpus.update(ids[:count])
        except AttributeError:
            continue  # older than OpenMP 4.5
    return CPUSet(cpus)


def notes(cpus: CPUSet, environ: Mapping[str, str], threads: int | None = None) -> Iterator[str]:
    """What of OpenMP, MKL and OpenBLAS goes against being bound to `cpus`, and what to do about it.

    `threads`: how many compute threads the placement asks for; None: no number.
    """
    found = runtimes()
    given = settings(environ)
    said = " ".join(f"{name}={value}" for name, value in given.items())
    taken = places(found)
    if found and given and not (taken and taken <= cpus):
        where = f", to its places on CPUs {taken}," if taken else ""
        yield (
            f"{said}: {found[0].name} is loaded already and binds threads that it starts from now on{where} "
            "whatever was bound here; unset it before the program starts, or bind before the library is imported"
        )
    elif given and not found:
        yield from _named_elsewhere(given, cpus)
    most = threads or len(cpus)
    for who, count, remedy in _thread_counts(found):
        if count > most:
            what = f"{most} threads are asked for" if threads else f"CPUs {cpus} are only {len(cpus)}"
            yield f"{who} uses {count} threads, but {what}: {remedy.format(most)}"


def _named_elsewhere(given: Mapping[str, str], cpus: CPUSet) -> Iterator[str]:
    """Lists of CPUs, which a runtime that is loaded later will follow; other settings begin from our affinity then."""
    for name, value in given.items():
        text = value.lower()
        if name == "KMP_AFFINITY" and "proclist" not in text:
            continue
        if name in ("OMP_PLACES", "KMP_AFFINITY", "OMP_PROC_BIND") and not any(c in text for c in "{["):
            continue
        named = {int(n) for n in re.findall(r"(?<![:\d])\d{1,6}(?!\d)", text)}
        if not named <= set(cpus):
            yield f"{name}={value} names CPUs beyond {cpus} for the threads of libraries loaded later: unset it"


def _thread_counts(found: list[Runtime]) -> Iterator[tuple[str, int, str]]:
    """Who computes with how many threads, and how that is changed ({} stands for the number)."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        yield "torch", torch.get_num_threads(), "torch.set_num_threads({})"
    else:
        for runtime in found:
            yield (
                runtime.name,
                runtime.library.omp_get_max_threads(),
                "set OMP_NUM_THREADS={} before it is loaded",
            )
    for _, library in _loaded(_BLAS):
        ask = next((getattr(library, name) for name in _BLAS_THREADS if hasattr(library, name)), None)
        if ask is not None:
            yield "OpenBLAS (NumPy)", ask(), "set OPENBLAS_NUM_THREADS={} before NumPy is imported"


def _loaded(pattern: re.Pattern[str]) -> Iterator[tuple[str, Any]]:
    paths = {mapping.path for mapping in procfs.read_mappings(os.getpid()) if ".so" in mapping.path}
    for path in sorted(paths):
        if pattern.match(os.path.basename(path)):  # noqa: PTH119
            try:
                yield path, ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
            except OSError:
                continue  # mapped as a file, not loaded as a library
