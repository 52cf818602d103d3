"""NVIDIA GPUs: copies between pinned memory of each node and each GPU, and what links the GPUs."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import combinations
from typing import Any

import msgspec

from numawise.errors import NumawiseError
from numawise.machine.topology import Device, Topology
from numawise.measure.bench import summed_up
from numawise.measure.buffer import ENOUGH_ON_TARGET, Placed, Seen
from numawise.measure.device_cuda import Copier, Cuda, CudaDevice
from numawise.measure.device_driver import Unavailable
from numawise.measure.device_links import LinkEnd, link_between, same_address
from numawise.measure.device_nvml import Nvml
from numawise.measure.device_values import DeviceLink, DeviceReading, Direction
from numawise.measure.device_vendors.vendor import Links, Readings, Vendor
from numawise.measure.figure import Figure
from numawise.measure.places import cores_of, memory_nodes
from numawise.measure.room import fit, look

BUFFER_KIB, LEAST_KIB = 512 << 10, 32 << 10
"""Bytes of one copy, where there is room; as much as nvbandwidth takes."""
DIRECTIONS: tuple[Direction, ...] = ("host-to-device", "device-to-host")
_LEAST_S, _MOST_S = 0.1, 2.0
_PATIENCE = 1.5
_SAMPLES = 5
_SAMPLE_S = 0.02
_MOST_COPIES = 16
_PATTERN = 1 << 20


def host_nodes(topology: Topology) -> tuple[int, ...]:
    """The allowed nodes whose memory is the host's: memory of a GPU that shows as a node never is.

    >>> from numawise.machine.published import get
    >>> host_nodes(get("gh200").topology())
    (0,)
    """
    own = {device.memory_node for device in topology.devices}
    gpu = {node.id for node in topology.nodes if node.kind == "gpu"}
    return tuple(node for node in memory_nodes(topology) if node not in own | gpu)


def match(
    devices: Sequence[Device], shown: Sequence[CudaDevice]
) -> tuple[list[tuple[Device, CudaDevice]], list[str]]:
    """Devices of the machine with what CUDA shows at their addresses, and lines about those without a partner.

    CUDA's order means nothing here. Of several MIG instances of one card, the first stands for its link.
    """
    found: list[tuple[Device, CudaDevice]] = []
    lines = []
    for device in devices:
        partner = next((one for one in shown if same_address(one.address, device.address)), None)
        if partner is None:
            lines.append(
                f"{device.address}: CUDA does not show this GPU to this process ({_hidden_by()}), so copies to it are "
                "not measured"
            )
        else:
            found.append((device, partner))
    known = [device.address for device in devices]
    lines += [
        f"CUDA shows a GPU at {one.address}, where the kernel shows none: left out"
        for one in shown
        if not any(same_address(one.address, address) for address in known)
    ]
    return found, lines


def measure(topology: Topology, devices: Sequence[Device], seconds: float) -> Readings:
    """A reading for each device that CUDA shows, each node with host memory, and each direction."""
    try:
        cuda = Cuda()
        found, lines = match(devices, cuda.devices())
    except NumawiseError as error:
        return (), (_there(devices, error),)
    nodes = host_nodes(topology)
    if not nodes:
        lines.append("no node with host memory is allowed to this process, so no copies are measured")
    readings: list[DeviceReading] = []
    clock = _Clock(seconds, len(found) * len(nodes))
    for device, shown in found:
        readings += _of_device(cuda, topology, device, shown, nodes, clock)
    return tuple(readings), tuple(lines)


class _Clock:
    """Divides the time over what is left to do."""

    def __init__(self, seconds: float, pairs: int) -> None:
        now = time.monotonic()
        self._end, self._last, self._left = now + seconds, now + _PATIENCE * seconds, pairs

    def next_direction(self) -> float | None:
        """Seconds for each direction of the next device and node; None when there is no time left at all."""
        now, left = time.monotonic(), self._left
        self._left -= 1
        if now > self._last:
            return None
        return min(max((self._end - now) / (left * len(DIRECTIONS)), _LEAST_S), _MOST_S)


def _of_device(
    cuda: Cuda, topology: Topology, device: Device, shown: CudaDevice, nodes: Sequence[int], clock: _Clock
) -> list[DeviceReading]:
    wanted = [
        DeviceReading(device.address, node, direction, None, device_node=device.node, name=shown.name)
        for node in nodes
        for direction in DIRECTIONS
    ]
    found: list[DeviceReading] = []
    try:
        with cuda.context(shown):
            for node in nodes:
                blank = wanted[len(found) : len(found) + len(DIRECTIONS)]
                found += _pair(cuda, topology, node, blank, clock.next_direction())
    except NumawiseError as error:
        found += [_without(one, str(error)) for one in wanted[len(found) :]]
    return found


def _pair(
    cuda: Cuda, topology: Topology, node: int, blank: Sequence[DeviceReading], seconds: float | None
) -> list[DeviceReading]:
    """The readings of one device and one node; what fails keeps its blank, with the reason."""
    if seconds is None:
        return [_without(one, "no time left; give more with --seconds") for one in blank]
    found: list[DeviceReading] = []
    try:
        for reading in _copies(cuda, topology, node, blank, seconds):
            found.append(reading)
    except NumawiseError as error:
        found += [_without(one, str(error)) for one in blank[len(found) :]]
    return found


def _copies(
    cuda: Cuda, topology: Topology, node: int, blank: Sequence[DeviceReading], seconds: float
) -> Iterator[DeviceReading]:
    with ExitStack() as stack:
        free_kib = cuda.free_bytes() // 2 >> 10
        kib = min(fit(BUFFER_KIB, LEAST_KIB, [node], look()), free_kib)
        if kib < LEAST_KIB:
            raise NumawiseError(
                f"the GPU has {free_kib >> 9} MiB free, and {LEAST_KIB >> 9} MiB is the least"
            )
        cores = cores_of(topology, node)
        placed = stack.enter_context(Placed([node], kib, huge=True, cpu=cores[0] if cores else None))
        stack.enter_context(cuda.pinned(placed.address, placed.length))
        before = _verified(placed, node)
        copier = stack.enter_context(cuda.copier(placed.address, placed.length))
        _check(copier)
        for one in blank:
            pcie = _pcie_while_copying(copier, one)
            figure = _timed(copier, one.direction, seconds)
            seen = min(before, _verified(placed, node), key=lambda each: each.on_target)
            yield DeviceReading(
                one.device,
                one.memory_node,
                one.direction,
                figure,
                device_node=one.device_node,
                name=one.name,
                buffer_kib=placed.length >> 10,
                on_target=seen.on_target,
                sampled_pages=seen.sampled_pages,
                pcie_generation=pcie[0] if pcie else None,
                pcie_width=pcie[1] if pcie else None,
            )


def _timed(copier: Copier, direction: Direction, seconds: float) -> Figure:
    once = copier.seconds(direction, 1)
    count = min(max(1, round(_SAMPLE_S / max(once, 1e-9))), _MOST_COPIES)
    rates: list[float] = []
    end = time.monotonic() + seconds
    while len(rates) < _SAMPLES or time.monotonic() < end:
        took = copier.seconds(direction, count)
        if took <= 0:
            raise NumawiseError("the GPU's clock did not advance over a copy: its driver answers nonsense")
        rates.append(count * copier.length / took / 1e9)
    return summed_up(rates, lower_is_better=False)


def _check(copier: Copier) -> None:
    """What goes to the device and comes back must be what it was: else nothing was copied, and no time counts."""
    pattern = os.urandom(_PATTERN)
    offsets = range(0, copier.length, _PATTERN)
    for offset in offsets:
        ctypes.memmove(copier.host + offset, pattern, _PATTERN)
    copier.to_device()
    copier.wait()
    ctypes.memset(copier.host, 0, copier.length)
    copier.to_host()
    copier.wait()
    for offset in offsets:
        if ctypes.string_at(copier.host + offset, _PATTERN) != pattern:
            raise NumawiseError(f"a copy to the GPU and back did not bring the same bytes (byte {offset})")


def _verified(placed: Placed, node: int) -> Seen:
    seen = placed.look()
    if seen.on_target < ENOUGH_ON_TARGET:
        raise NumawiseError(
            f"{seen.on_target:.1%} of the pinned buffer's pages were on node {node}, less than "
            f"{ENOUGH_ON_TARGET:.0%}: no figure"
        )
    return seen


def _pcie_while_copying(copier: Copier, reading: DeviceReading) -> tuple[int, int] | None:
    """Generation and lanes with copies under way: an idle link runs slower. None where NVML is not to be had."""
    try:
        with Nvml() as nvml:
            handle = nvml.handle(reading.device)
            for _ in range(4):
                (copier.to_device if reading.direction == "host-to-device" else copier.to_host)()
            found = nvml.pcie(handle)
            copier.wait()
            return found
    except NumawiseError:
        copier.wait()
        return None


def links(devices: Sequence[Device]) -> Links:
    """How each two of these GPUs are linked, by NVML."""
    if len(devices) < 2:
        return (), ()  # nothing to link, whatever the driver says
    lines: list[str] = []
    try:
        with Nvml() as nvml:
            found: dict[str, tuple[Any, Sequence[LinkEnd]]] = {}
            for device in devices:
                try:
                    handle = nvml.handle(device.address)
                    found[device.address] = (handle, nvml.link_ends(handle))
                except NumawiseError as error:
                    lines.append(f"{device.address}: its links are not known: {error}")
            pairs = tuple(_link(nvml, found, *pair) for pair in combinations([d.address for d in devices], 2))
    except NumawiseError as error:
        return (), (_there(devices, error),)
    return pairs, tuple(lines)


def _link(nvml: Nvml, found: Mapping[str, tuple[Any, Sequence[LinkEnd]]], one: str, other: str) -> DeviceLink:
    missing = next((address for address in (one, other) if address not in found), None)
    if missing is not None:
        return DeviceLink(one, other, "unknown", why=f"NVML does not tell of {missing}")
    (first, near), (second, far) = found[one], found[other]
    try:
        return link_between(
            one, other, nvml.level(first, second), (near, far), reaches=nvml.reaches(first, second)
        )
    except NumawiseError as error:
        return DeviceLink(one, other, "unknown", why=str(error))


def _without(reading: DeviceReading, why: str) -> DeviceReading:
    return msgspec.structs.replace(reading, figure=None, why=why)


def _there(devices: Sequence[Device], error: NumawiseError) -> str:
    """One line about GPUs that cannot be spoken to."""
    count = len(devices)
    addresses = ", ".join(device.address for device in devices[:2]) + (", ..." if count > 2 else "")
    who = f"{count} NVIDIA GPUs are here" if count > 1 else "an NVIDIA GPU is here"
    refuses = f"but {'their' if count > 1 else 'its'} driver refuses: "
    joint = "but " if isinstance(error, Unavailable) else refuses
    return f"{who} ({addresses}), {joint}{error}"


def _hidden_by() -> str:
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return f"CUDA_VISIBLE_DEVICES={given}"
    return "no CUDA_VISIBLE_DEVICES is set: is the driver bound to it, is it in MIG mode without an instance?"


VENDOR = Vendor("NVIDIA", "0x10de", measure, links)
