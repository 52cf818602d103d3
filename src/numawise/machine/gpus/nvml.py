"""What NVIDIA's management library (NVML) knows, through the package pynvml (nvidia-ml-py) where it is installed.

Imported only when an NVIDIA GPU is asked for on the running machine: the import alone takes longer than `run` does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

_WORDS = 16  # 1024 nodes, the most Linux can be built for (CONFIG_NODES_SHIFT)


class Card(NamedTuple):
    """One GPU as NVML sees it. `nodes`: those whose memory is nearest; `instances`: its MIG ids."""

    uuid: str
    nodes: tuple[int, ...]
    instances: tuple[str, ...]


class Answer(NamedTuple):
    """PCI address -> Card; and what went wrong (pynvml not being installed is no fault)."""

    cards: dict[str, Card]
    trouble: str = ""


def ask() -> Answer:
    """Everything at once: starting NVML is what takes the time."""
    pynvml = _package()
    if pynvml is None:
        return Answer({})
    try:
        pynvml.nvmlInit()
        try:
            return Answer(dict(_cards(pynvml)))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return Answer({}, f"NVML answered: {error}")


def _package() -> Any:
    """The package pynvml, or None."""
    # It imports ctypes.util, which brings subprocess, tempfile and random along and takes longer than all the rest, for
    # a function that it needs on other systems only. Whoever calls that gets the real one.
    name = "ctypes.util"
    ours = None if name in sys.modules else ModuleType(name)
    if ours is not None:
        vars(ours)["find_library"] = _find_library
        sys.modules[name] = ours
    try:
        import pynvml
    except ImportError:
        return None
    finally:
        if ours is not None:
            del sys.modules[name]
    return pynvml


def _find_library(name: str) -> str | None:
    from ctypes.util import find_library

    return find_library(name)


def _cards(pynvml: Any) -> Iterator[tuple[str, Card]]:
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError:
            continue  # lost, or not permitted: CUDA will not count it either
        info = pynvml.nvmlDeviceGetPciInfo(handle)
        yield (
            f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}.0",
            Card(
                _text(pynvml.nvmlDeviceGetUUID(handle)),
                _nodes(pynvml, handle),
                tuple(_instances(pynvml, handle)),
            ),
        )


def _nodes(pynvml: Any, handle: Any) -> tuple[int, ...]:
    # Not nvmlDeviceGetNumaNodeId: that is the node which is the GPU's own memory (Grace).
    try:
        words = pynvml.nvmlDeviceGetMemoryAffinity(handle, _WORDS, pynvml.NVML_AFFINITY_SCOPE_NODE)
    except pynvml.NVMLError:
        return ()  # older drivers, virtual machines: NOT_SUPPORTED
    return tuple(64 * i + bit for i, word in enumerate(words) for bit in range(64) if word >> bit & 1)


def _instances(pynvml: Any, handle: Any) -> Iterator[str]:
    try:
        most = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except pynvml.NVMLError:
        return  # a GPU without MIG
    for index in range(most):
        try:
            yield _text(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)))
        except pynvml.NVMLError:
            continue  # not every slot holds an instance


def _text(said: str | bytes) -> str:
    return said.decode() if isinstance(said, bytes) else said
