"""A workload is found by being in the folder, runs as its command says, and costs nothing until it runs."""

import subprocess
import sys

import pytest

from numawise import workloads
from numawise.errors import UsageError


def test_every_workload_is_a_program_with_what_tuning_needs() -> None:
    assert "moe_einsum" in workloads.names()
    for name in workloads.names():
        workload = workloads.get(name)
        assert workload.name == name
        assert workload.summary
        assert workload.command == workloads.command(name)
        assert workload.command[:3] == (sys.executable, "-m", workload.module)
        helped = subprocess.run(
            [*workload.command[:3], "--help"], capture_output=True, text=True, timeout=60, check=False
        )
        assert helped.returncode == 0, helped.stderr


def test_an_unknown_workload_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"called 'resnet'.*moe_einsum"):
        workloads.command("resnet")


def test_looking_at_the_registry_loads_no_array_library() -> None:
    heavy = "('numpy', 'torch', 'argparse', 'multiprocessing', 'ctypes')"
    code = (
        "import sys; from numawise import workloads; workloads.names(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "[]"
