"""Devices: which GPU is which, what is said where none can be measured, and how links are told."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import machines
import msgspec
import pytest

from numawise.machine import read
from numawise.machine.published import get
from numawise.machine.topology import Device, Node, Topology
from numawise.measure.device import gpus, measure_devices, read_links
from numawise.measure.device_cuda import CudaDevice
from numawise.measure.device_links import LinkEnd, link_between, parsed, same_address
from numawise.measure.device_vendors.nvidia import host_nodes, match
from numawise.report.measurements_devices import link_matrix

ADDRESSES = ("0000:17:00.0", "0000:65:00.0", "0000:b1:00.0", "0000:e3:00.0")
HAVE_CUDA = (
    importlib.util.find_spec("cuda") is not None and importlib.util.find_spec("cuda.bindings") is not None
)
HAVE_NVML = importlib.util.find_spec("pynvml") is not None
HAVE_GPU = Path("/dev/nvidiactl").exists()
no_gpu = pytest.mark.skipif(HAVE_GPU, reason="is about machines without an NVIDIA GPU")


def with_gpus(topology: Topology, *addresses: str, vendor: str = "0x10de") -> Topology:
    devices = tuple(Device(address, "gpu", i % 2, vendor) for i, address in enumerate(addresses))
    return msgspec.structs.replace(topology, devices=devices)


def shown(*addresses: str) -> list[CudaDevice]:
    return [CudaDevice(i, address, "GPU") for i, address in enumerate(addresses)]


def test_a_machine_without_a_gpu_gets_one_line() -> None:
    topology = with_gpus(read())
    assert measure_devices(topology, 1.0) == ((), ("no NVIDIA GPU here",))
    assert read_links(topology) == ((), ("no NVIDIA GPU here",))


def test_displays_nics_and_gpus_of_others_are_no_nvidia_gpus() -> None:
    devices = (
        Device("0000:03:00.0", "display", 0, "0x10de"),
        Device("0000:04:00.0", "nic", 0, "0x15b3"),
        Device("0000:05:00.0", "gpu", 0, "0x1002"),
    )
    topology = msgspec.structs.replace(machines.one_node(), devices=devices)
    assert measure_devices(topology, 1.0) == (
        (),
        ("no NVIDIA GPU here", "not measured, being no GPU of NVIDIA: 0000:05:00.0"),
    )


@no_gpu
def test_a_gpu_without_packages_or_driver_gets_one_line_that_says_what_to_do() -> None:
    topology = with_gpus(read(), *ADDRESSES)
    readings, (line,) = measure_devices(topology, 1.0)
    assert readings == ()
    assert line.startswith("4 NVIDIA GPUs are here (0000:17:00.0, 0000:65:00.0, ...), but the ")
    assert ("driver (libcuda" if HAVE_CUDA else "pip install 'numawise[nvidia]'") in line
    assert "\n" not in line
    links, (same,) = read_links(topology)
    assert links == ()
    assert ("driver (libcuda" if HAVE_NVML else "pip install 'numawise[nvidia]'") in same
    if HAVE_CUDA == HAVE_NVML:
        assert line == same


@no_gpu
def test_one_gpu_has_no_links_and_needs_no_driver_for_that() -> None:
    assert read_links(with_gpus(read(), ADDRESSES[0])) == ((), ())


def test_gpus_come_by_address() -> None:
    topology = with_gpus(machines.one_node(), "10000:01:00.0", "0000:e3:00.0", "0000:17:00.0")
    assert [device.address for device in gpus(topology)] == ["0000:17:00.0", "0000:e3:00.0", "10000:01:00.0"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0000:17:00.0", "0000:17:00.0"),
        ("0000:b1:00.0", "00000000:B1:00.0"),
        ("10000:01:00.0", "00010000:01:00.0"),
        ("17:00.0", "0000:17:00.0"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert same_address(one, other)


@pytest.mark.parametrize(
    "text", ["", "GPU-17", "17", "0000:17:00.9", "xx:17:00.0", "0000:17:00.0\n0000:18:00.0"]
)
def test_what_is_no_address_is_like_nothing(text: str) -> None:
    assert parsed(text) is None
    assert not same_address(text, text)


def test_gpus_are_matched_by_address_whatever_cudas_order() -> None:
    devices = with_gpus(machines.two_sockets(), *ADDRESSES).devices
    found, lines = match(devices, shown(*reversed(ADDRESSES)))
    assert [(device.address, partner.handle) for device, partner in found] == [
        (address, 3 - i) for i, address in enumerate(ADDRESSES)
    ]
    assert lines == []


def test_a_gpu_that_cuda_hides_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    devices = with_gpus(machines.two_sockets(), *ADDRESSES).devices
    found, lines = match(devices, shown(ADDRESSES[2], ADDRESSES[0]))
    assert [device.address for device, _ in found] == [ADDRESSES[0], ADDRESSES[2]]
    assert [line.split(":00.0")[0] for line in lines] == ["0000:65", "0000:e3"]
    assert all("CUDA_VISIBLE_DEVICES=2,0" in line for line in lines)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "no CUDA_VISIBLE_DEVICES is set" in match(devices, [])[1][0]


def test_mig_instances_of_one_card_are_one_device_and_strangers_are_left_out() -> None:
    devices = with_gpus(machines.two_sockets(), ADDRESSES[0]).devices
    found, lines = match(devices, shown("00000000:17:00.0", "0000:17:00.0", "0000:99:00.0"))
    assert [(device.address, partner.handle) for device, partner in found] == [(ADDRESSES[0], 0)]
    assert lines == ["CUDA shows a GPU at 0000:99:00.0, where the kernel shows none: left out"]


def test_memory_of_gpus_is_never_host_memory() -> None:
    assert host_nodes(get("gh200").topology()) == (0,)
    topology = machines.two_sockets(cpuless=True)
    assert host_nodes(topology) == (0, 1, 2)
    power9 = msgspec.structs.replace(
        topology, devices=(Device(ADDRESSES[0], "gpu", 0, "0x10de", memory_node=2),)
    )
    assert host_nodes(power9) == (0, 1)
    empty = msgspec.structs.replace(
        topology, nodes=(*topology.nodes, Node(9, topology.nodes[0].cpus, 0, "dram"))
    )
    assert host_nodes(empty) == (0, 1, 2)
    assert host_nodes(machines.two_sockets(allowed_nodes=(1,))) == (1,)


# Links, from what `nvidia-smi topo -m` printed on real machines

PCIE_8 = """
 X  PIX PXB PXB SYS SYS SYS SYS
PIX  X  PXB PXB SYS SYS SYS SYS
PXB PXB  X  PIX SYS SYS SYS SYS
PXB PXB PIX  X  SYS SYS SYS SYS
SYS SYS SYS SYS  X  PIX PXB PXB
SYS SYS SYS SYS PIX  X  PXB PXB
SYS SYS SYS SYS PXB PXB  X  PIX
SYS SYS SYS SYS PXB PXB PIX  X
"""
"""Eight GPUs on two sockets: https://github.com/lattice/quda/issues/669"""
LEVELS = {"PIX": 10, "PXB": 20, "PHB": 30, "NODE": 40, "SYS": 50}


def test_eight_gpus_on_pcie_come_out_as_nvidia_smi_tells_them() -> None:
    wanted = [line.split() for line in PCIE_8.strip().splitlines()]
    names = [f"0000:{i:02x}:00.0" for i in range(8)]
    links = [
        link_between(names[i], names[j], LEVELS[wanted[i][j]], ((), ()), reaches=False)
        for i in range(8)
        for j in range(i + 1, 8)
    ]
    devices, rows = link_matrix(links)
    assert devices == tuple(names)
    assert [list(row) for row in rows] == wanted


def test_eight_a100_on_an_nvswitch_are_nv12() -> None:
    """https://github.com/NVIDIA/nccl/issues/1505: each of eight has 12 links, all to NVSwitches; every pair is NV12."""
    ends = tuple(LinkEnd(f"00000000:{0xC4 + i // 2:02X}:00.0", True, "3.0") for i in range(12))
    link = link_between(ADDRESSES[0], ADDRESSES[2], 50, (ends, ends), reaches=True)
    assert (link.nvlinks, link.nvlink_version, link.through_switch, link.path) == (12, "3.0", True, "system")


def test_links_to_a_switch_prove_nothing_where_no_traffic_passes() -> None:
    ends = tuple(LinkEnd("", True, "4.0") for _ in range(18))
    assert link_between("a", "b", 40, (ends, ends), reaches=False).nvlinks == 0
    assert link_between("a", "b", 40, (ends, ends[:9]), reaches=True).nvlinks == 9
    assert link_between("a", "b", 40, (ends, ()), reaches=True).nvlinks == 0


def test_straight_links_count_for_the_gpu_at_their_end_only() -> None:
    """As on V100 machines without a switch, where two GPUs have one link, two, or none."""
    near, far, other = ADDRESSES[0], ADDRESSES[1], ADDRESSES[2]
    ends = [LinkEnd("00000000:65:00.0", False, "2.0")] * 2 + [LinkEnd("00000000:B1:00.0", False, "2.0")]
    assert link_between(near, far, 20, (ends, ()), reaches=True).nvlinks == 2
    assert link_between(near, other, 50, (ends, ()), reaches=True).nvlinks == 1
    none = link_between(near, ADDRESSES[3], 50, (ends, ()), reaches=True)
    assert (none.nvlinks, none.nvlink_version, none.path) == (0, "", "system")


def test_a_level_that_nobody_knows_yet_is_unknown() -> None:
    assert link_between("a", "b", 60, ((), ()), reaches=False).path == "unknown"
