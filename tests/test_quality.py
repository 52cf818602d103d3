"""What review should not have to say: style, types, the order of the rooms, and what the documents claim."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
DOCUMENTS = sorted([*REPO.glob("*.md"), *REPO.glob("docs/**/*.md")])


def run(*command: str | Path) -> None:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=REPO, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing():
    run(BIN / "ruff", "check")


def test_everything_is_formatted():
    run(BIN / "ruff", "format", "--check")


def test_types_hold():
    run(BIN / "mypy")


def test_imports_point_up_the_list_of_rooms():
    run(BIN / "lint-imports")


def test_files_stay_short_enough_to_read():
    long = {
        str(path.relative_to(REPO)): lines
        for path in [*(REPO / "src").rglob("*.py"), *(REPO / "src").rglob("*.c")]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 330
    }
    assert not long


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
class TestDocuments:
    def test_python_examples_run(self, document: Path):
        """Sessions with `>>>` are run; other Python blocks must at least be Python."""
        text = document.read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        parser, runner, names = doctest.DocTestParser(), doctest.DocTestRunner(), {}
        for number, block in enumerate(blocks):
            if ">>>" not in block:
                compile(block, f"{document.name}, block {number}", "exec")
                continue
            session = parser.get_doctest(block, names, document.name, str(document), 0)
            names = session.globs
            runner.run(session, clear_globs=False)
        assert runner.summarize(verbose=False).failed == 0

    def test_commands_and_options_exist(self, document: Path):
        """Every `numawise COMMAND --option` in a shell block is one that the command line knows."""
        text = document.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
        for line in lines:
            found = re.match(r"(?:\$ )?(?:\S*/)?numawise ([a-z]+)(.*)", line.strip())
            if found:
                check_command(found[1], found[2].split(" -- ")[0].partition("#")[0])

    def test_links_lead_somewhere(self, document: Path):
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (document.parent / target).exists(), target


def check_command(name: str, words: str) -> None:
    import click

    from numawise.cli.shared.group import root

    command = root.get_command(click.Context(root), name)
    assert command is not None, f"there is no command numawise {name}"
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", words):
        assert flag in known | {"--help"}, f"numawise {name} has no option {flag}"
