"""Our calls of CUDA and NVML: they exist with the arguments we give, and go through the real bindings in order.

No machine of the tests has a GPU. A stand-in driver (device_driver.c) takes its place under the real packages: what it
proves is said there; times mean nothing.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from numawise.machine.codec import from_json
from numawise.measure.device_nvml import NVLINK_VERSIONS
from numawise.measure.device_values import DeviceLink, DeviceReading

SOURCES = Path(__file__).parents[2] / "src" / "numawise" / "measure"
FILES = (*sorted(SOURCES.glob("device*.py")), *sorted((SOURCES / "device_vendors").glob("*.py")))
has_nvml = pytest.mark.skipif(
    importlib.util.find_spec("pynvml") is None, reason="needs the extra numawise[nvidia]"
)
has_cuda = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None,
    reason="needs the extra numawise[nvidia]",
)


def calls(prefix: str) -> dict[str, set[int]]:
    """Every function of the driver that our files name as an argument, and how many arguments follow the name."""
    found: dict[str, set[int]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            for i, argument in enumerate(node.args):
                if isinstance(argument, ast.Constant) and str(argument.value).startswith(prefix):
                    rest = node.args[i + 1 :]
                    if not any(isinstance(one, ast.Starred) for one in rest):
                        found.setdefault(str(argument.value), set()).add(len(rest))
    return found


def takes(function: Any, count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    return True


@has_cuda
def test_every_cuda_function_exists_with_the_arguments_that_we_give() -> None:
    from cuda.bindings import driver

    used = calls("cu")
    assert len(used) >= 20
    for name, counts in used.items():
        assert all(takes(getattr(driver, name), count) for count in counts), name
    assert takes(driver.cuGetErrorString, 1)
    assert driver.CUstream_flags.CU_STREAM_NON_BLOCKING == 1
    assert driver.CUresult(100).name == "CUDA_ERROR_NO_DEVICE"


@has_nvml
def test_every_nvml_function_and_constant_exists_with_the_arguments_that_we_give() -> None:
    import pynvml

    used = calls("nvml")
    assert len(used) >= 11
    for name, counts in used.items():
        assert all(takes(getattr(pynvml, name), count) for count in counts), name
    levels = {
        "INTERNAL": 0,
        "SINGLE": 10,
        "MULTIPLE": 20,
        "HOSTBRIDGE": 30,
        "NODE": 40,
        "SYSTEM": 50,
    }
    assert {name: getattr(pynvml, f"NVML_TOPOLOGY_{name}") for name in levels} == levels
    for name in ("NVML_P2P_CAPS_INDEX_NVLINK", "NVML_P2P_STATUS_OK", "NVML_NVLINK_DEVICE_TYPE_SWITCH"):
        assert isinstance(getattr(pynvml, name), int), name
    assert pynvml.NVML_NVLINK_MAX_LINKS >= 12
    prefix = "NVML_NVLINK_VERSION_"
    told = {value: name for name, value in vars(pynvml).items() if name.startswith(prefix) and value}
    for value, name in told.items():
        assert NVLINK_VERSIONS[value] == name.removeprefix(prefix).replace("_", ".")
    assert {"domain", "bus", "device"} <= dict(pynvml.nvmlPciInfo_t._fields_).keys()


PROGRAM = """
import os
import sys
import msgspec
from numawise.machine import read
from numawise.machine.codec import to_json
from numawise.machine.topology import Device
from numawise.measure.device import measure_devices, read_links
from numawise.measure.device_vendors import nvidia
nvidia.BUFFER_KIB, nvidia.LEAST_KIB = 16 << 10, 4 << 10
nvidia._LEAST_S = nvidia._MOST_S = 0.01
topology = msgspec.structs.replace(read(), devices=tuple(Device(a, "gpu", 0, "0x10de") for a in sys.argv[1:]))
readings, lines = measure_devices(topology, float(os.environ["SECONDS_GIVEN"]))
links, more = read_links(topology)
print(to_json([readings, lines, links, more]).decode())
"""


@pytest.fixture(scope="module")
def driver_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler for the stand-in driver")
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("device_driver.c")
    library = folder / "libcuda.so.1"
    subprocess.run(
        [compiler, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"],
        check=True,
    )
    (folder / "libnvidia-ml.so.1").symlink_to(library)
    return folder


def run(folder: Path, mode: str, *addresses: str, seconds: float = 60.0) -> tuple[Any, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *addresses],
        env={
            **os.environ,
            "LD_LIBRARY_PATH": str(folder),
            "DEVICE_DRIVER": mode,
            "SECONDS_GIVEN": str(seconds),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kind = tuple[tuple[DeviceReading, ...], tuple[str, ...], tuple[DeviceLink, ...], tuple[str, ...]]
    return from_json(done.stdout, kind, source="the program"), done.stderr


BOTH = ("0000:17:00.0", "0000:65:00.0")


@has_cuda
@has_nvml
def test_copies_go_both_ways_for_every_gpu_and_everything_is_given_back(driver_folder: Path) -> None:
    (readings, lines, links, more), told = run(driver_folder, "", *BOTH)
    assert (lines, more) == ((), ())
    assert [(one.device, one.direction) for one in readings if one.memory_node == 0] == [
        (address, direction) for address in BOTH for direction in ("host-to-device", "device-to-host")
    ]
    for one in readings:
        assert one.figure is not None, one.why
        assert one.figure.best >= one.figure.median > 0
        assert one.figure.repeats >= 5
        assert one.on_target >= 0.99
        assert one.buffer_kib == 16 << 10
        assert (one.name, one.pcie_generation, one.pcie_width) == ("Stand-in GPU", 4, 16)
    assert [(link.first, link.second, link.nvlinks, link.path) for link in links] == [(*BOTH, 12, "system")]
    assert (links[0].nvlink_version, links[0].through_switch) == ("3.0", True)
    assert "left: 0 contexts, 0 streams, 0 events, 0 buffers, pinned 0" in told


@has_cuda
def test_a_copy_that_brings_nothing_has_no_figure(driver_folder: Path) -> None:
    (readings, *_), told = run(driver_folder, "lost copies", BOTH[0])
    assert readings
    assert all(one.figure is None and "did not bring the same bytes" in one.why for one in readings)
    assert "left: 0 contexts, 0 streams, 0 events, 0 buffers, pinned 0" in told


@has_cuda
def test_a_refusal_is_told_by_its_name_and_what_was_taken_is_given_back(driver_folder: Path) -> None:
    (readings, lines, *_), told = run(driver_folder, "no pinning", *BOTH)
    assert lines == ()
    assert {one.why for one in readings} == {
        "cuMemHostRegister answered CUDA_ERROR_OUT_OF_MEMORY (out of memory)"
    }
    assert "left: 0 contexts, 0 streams, 0 events, 0 buffers, pinned 0" in told


@has_cuda
def test_what_there_is_no_time_for_says_so(driver_folder: Path) -> None:
    (readings, *_), told = run(driver_folder, "", *BOTH, seconds=1e-4)
    late = [one for one in readings if one.device == BOTH[1]]
    assert late
    assert all(one.figure is None and one.why.startswith("no time left") for one in late)
    assert "left: 0 contexts, 0 streams, 0 events, 0 buffers, pinned 0" in told


@has_cuda
def test_a_driver_without_a_function_is_said_to_be_old(driver_folder: Path) -> None:
    (readings, *_), told = run(driver_folder, "old", *BOTH)
    assert readings
    for one in readings:
        assert "cuMemHostRegister" in one.why
        assert "older than cuda-bindings" in one.why
    assert "left: 0 contexts, 0 streams, 0 events, 0 buffers, pinned 0" in told


@has_cuda
def test_a_driver_that_refuses_to_begin_gets_one_line(driver_folder: Path) -> None:
    (readings, lines, *_), _ = run(driver_folder, "no device", BOTH[0])
    assert readings == ()
    assert lines == (
        "an NVIDIA GPU is here (0000:17:00.0), but its driver refuses: cuInit answered CUDA_ERROR_NO_DEVICE "
        "(no CUDA-capable device is detected)",
    )


@has_nvml
def test_nvml_that_refuses_to_begin_gets_one_line(driver_folder: Path) -> None:
    (_, _, links, lines), _ = run(driver_folder, "not loaded", *BOTH)
    assert links == ()
    assert lines == (
        "2 NVIDIA GPUs are here (0000:17:00.0, 0000:65:00.0), but their driver refuses: nvmlInit answered "
        "NVML_ERROR_DRIVER_NOT_LOADED (Driver Not Loaded)",
    )


@has_nvml
def test_gpus_without_nvlink_have_the_path_on_pcie(driver_folder: Path) -> None:
    for mode in ("no nvlink", "partitioned"):
        (_, _, links, lines), _ = run(driver_folder, mode, *BOTH)
        assert lines == ()
        assert [(link.nvlinks, link.path) for link in links] == [(0, "system")]


@has_nvml
def test_a_gpu_that_nvml_does_not_know_is_named(driver_folder: Path) -> None:
    (_, _, links, lines), _ = run(driver_folder, "", *BOTH, "0000:99:00.0")
    assert lines == (
        "0000:99:00.0: its links are not known: nvmlDeviceGetHandleByPciBusId answered "
        "NVML_ERROR_NOT_FOUND (Not Found)",
    )
    assert [link.path for link in links] == ["system", "unknown", "unknown"]
    assert links[1].why == "NVML does not tell of 0000:99:00.0"
