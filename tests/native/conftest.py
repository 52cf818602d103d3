"""What the native tests share: the C sources and the switches that the build uses."""

from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[2] / "src" / "numawise" / "native" / "kernels"


@pytest.fixture(scope="session")
def kernel_sources() -> list[str]:
    return sorted(str(path) for path in KERNELS.rglob("*.c"))


@pytest.fixture(scope="session")
def strict_flags() -> list[str]:
    return ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-pthread", f"-I{KERNELS}"]
