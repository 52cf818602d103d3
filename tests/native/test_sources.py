"""The C sources compile without a warning where numawise is built, and run clean under the sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

DRIVER = str(Path(__file__).parent / "driver.c")
NO_CALLS = {"gcc": "-fno-tree-loop-distribute-patterns", "clang": "-fno-builtin"}


def compiler(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here")
    return path


def run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.parametrize("name", ["gcc", "clang"])
@pytest.mark.parametrize(("sanitizer", "part"), [("address,undefined", "all"), ("thread", "threads")])
def test_sanitizers_find_nothing(
    name: str, sanitizer: str, part: str, tmp_path: Path, kernel_sources: list[str], strict_flags: list[str]
) -> None:
    cc = compiler(name)
    sanitize = ["-g", "-O1", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    (tmp_path / "empty.c").write_text("int main(void) { return 0; }\n")
    probe = run(cc, *sanitize, str(tmp_path / "empty.c"), "-o", str(tmp_path / "empty"))
    if probe.returncode != 0:
        pytest.skip(f"{name} has no such sanitizer here: {probe.stderr.strip().splitlines()[-1]}")
    probe = run(str(tmp_path / "empty"))
    if probe.returncode != 0:
        pytest.skip(f"programs built with it do not start here: {probe.stderr.strip().splitlines()[-1]}")
    built = run(cc, *strict_flags, *sanitize, *kernel_sources, DRIVER, "-o", str(tmp_path / "driver"))
    assert built.returncode == 0, built.stderr
    ran = run(str(tmp_path / "driver"), part)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, said(kernel_sources), "")


def said(kernel_sources: list[str]) -> str:
    """What the driver prints: each file beside the engine's is a kernel."""
    return f"{sum(Path(path).parent.name == 'kernels' for path in kernel_sources)} kernels\n"


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_the_loops_stay_loops(
    name: str, tmp_path: Path, kernel_sources: list[str], strict_flags: list[str]
) -> None:
    """A kernel that became a call of memcpy would measure the C library."""
    cc = compiler(name)
    nm = compiler("nm")
    kernels = [path for path in kernel_sources if Path(path).parent.name == "kernels"]
    for path in kernels:
        built = run(
            cc, *strict_flags, "-O3", "-fPIC", "-c", NO_CALLS[name], path, "-o", str(tmp_path / "kernel.o")
        )
        assert built.returncode == 0, built.stderr
        needed = run(nm, "--undefined-only", str(tmp_path / "kernel.o")).stdout
        assert set(needed.split()) <= {"U", "_GLOBAL_OFFSET_TABLE_"}, path


def test_it_compiles_and_runs_for_aarch64(
    tmp_path: Path, kernel_sources: list[str], strict_flags: list[str]
) -> None:
    cc = compiler("aarch64-linux-gnu-gcc")
    (tmp_path / "libc.c").write_text("#include <time.h>\n")
    if run(cc, "-fsyntax-only", str(tmp_path / "libc.c")).returncode != 0:
        pytest.skip("no C library headers for aarch64 here (Debian: libc6-dev-arm64-cross)")
    program = str(tmp_path / "driver")
    built = run(cc, *strict_flags, "-O3", "-static", *kernel_sources, DRIVER, "-o", program)
    assert built.returncode == 0, built.stderr
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if emulator is None:
        pytest.skip("compiled for aarch64; no qemu-aarch64 here to run it")
    ran = run(emulator, program)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, said(kernel_sources), "")
