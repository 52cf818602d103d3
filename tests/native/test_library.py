"""A library that is missing, damaged, foreign or outdated is told as such, with what to do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from numawise import native
from numawise.errors import NumawiseError
from numawise.native.library import LIBRARY_NAME, load


def test_it_is_found_wherever_the_package_is_spread(tmp_path: Path) -> None:
    assert load([str(tmp_path), *native.__path__]).numawise_kernel_count() >= 4


def test_a_missing_library_names_the_folders(tmp_path: Path) -> None:
    with pytest.raises(NumawiseError, match=f"not in {tmp_path}.*install numawise again"):
        load([str(tmp_path)])


@pytest.mark.parametrize("content", [b"", b"not a library", b"\x7fELF\x02\x01\x01" + bytes(200)])
def test_a_damaged_library_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LIBRARY_NAME).write_bytes(content)
    with pytest.raises(NumawiseError, match=r"cannot load .*noexec.*install numawise again"):
        load([str(tmp_path)])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("int numawise_abi(void) { return 1; }", "cannot load"),
        ("int other(void) { return 1; }", "numawise_abi"),
    ],
)
def test_another_version_of_the_library_is_refused(tmp_path: Path, source: str, said: str) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) here")
    (tmp_path / "old.c").write_text(source)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", tmp_path / LIBRARY_NAME, tmp_path / "old.c"],
        check=True,
        timeout=60,
    )
    with pytest.raises(NumawiseError, match=said):
        load([str(tmp_path)])


def test_the_binding_does_not_need_numpy() -> None:
    code = "import sys, numawise.native.parallel; print('numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "False"
