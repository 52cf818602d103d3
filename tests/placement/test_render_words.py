"""Whatever is in a command or a variable comes out as it went in, read by the programs that will read it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from numawise.errors import UsageError
from numawise.linux.cpuset import CPUSet
from numawise.placement.render import export
from numawise.placement.render.shared.job import Job
from numawise.placement.values import MemoryPolicy, Placement, Plan

NASTY = "ab0 $%'\"\\`{}\n\t;:#&|*!~=-@\r\x01\x7f\x85\u2028\ufeffÄ中😀"
text = st.text(st.sampled_from(NASTY), max_size=12)
words = st.lists(text.filter(lambda word: "{" not in word), max_size=5).map(lambda more: ["serve", *more])
RESERVED = {"_", "PS1", "IFS", "PATH", "PWD", "OLDPWD", "OPTIND", "PPID", "UID", "EUID", "LINENO", "RANDOM"}
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in RESERVED)
variables = st.dictionaries(names, text, max_size=4)
# Each example starts a program, so there are few, and none to find a shorter one than the first that fails.
few = settings(max_examples=20, phases=[Phase.explicit, Phase.generate])


def job(command: list[str], env: dict[str, str], **more: Any) -> Job:
    plan = Plan((Placement(rank=0, cpus=CPUSet([0]), memory=MemoryPolicy("interleave", (0,)), env=env),))
    return Job(plan, tuple(command), image="some/image:1", size_kib=1024, **more)


def argv_of(script: str, program: str, home: Path) -> list[str]:
    """The words a shell calls `program` with, in `script`."""
    fake = home / "bin" / program
    if not fake.exists():
        fake.parent.mkdir(exist_ok=True)
        fake.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\" >&3\n")
        fake.chmod(0o755)
    seen = home / "seen"
    environment = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"}
    shell = ["bash", "-c", 'exec 3>"$0"; eval "$1"', str(seen), script]
    subprocess.run(shell, check=True, env=environment)
    return seen.read_bytes().decode().split("\0")[:-1]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@given(words, variables)
@few
def test_docker_in_a_shell(home: Path, command: list[str], env: dict[str, str]) -> None:
    seen = argv_of(export(job(command, env), "docker").text, "docker", home)
    image = seen.index("some/image:1")
    assert seen[image + 1 :] == ["--interleave=0", *command]
    pairs = [seen[i + 1] for i, word in enumerate(seen[:image]) if word == "--env"]
    assert dict(pair.split("=", 1) for pair in pairs) == env


@given(words, variables)
@few
def test_slurm_in_a_shell(home: Path, command: list[str], env: dict[str, str]) -> None:
    seen = argv_of(export(job(command, env), "slurm").text, "srun", home)
    own = [f"{name}={value}" for name, value in env.items()]
    assert seen[2:] == [*(["env", *own] if own else []), "numactl", "--interleave=0", *command]


@given(words, variables)
@few
def test_slurm_with_several_tasks(home: Path, command: list[str], env: dict[str, str]) -> None:
    """The script goes through a here-document, then through a shell for each task."""
    one = Placement(rank=0, cpus=CPUSet([0]), env=env)
    several = Plan((one, Placement(rank=1, cpus=CPUSet([1]), env={**env, "LAST": "END\n)"})))
    script = export(Job(several, (*command, "END", "{rank}")), "slurm").text
    srun = argv_of(script, "srun", home)
    assert srun[:4] == ["--ntasks=2", "--cpu-bind=mask_cpu:0x1,0x2", "bash", "-c"]
    for rank in (0, 1):
        seen = argv_of(f"SLURM_PROCID={rank}\n{srun[4]}", "serve", home)
        assert seen == [*command[1:], "END", str(rank)]


@given(variables)
@few
def test_env_in_a_shell(home: Path, env: dict[str, str]) -> None:
    show = "\n".join(f'printf "%s\\0" "${name}" >&3' for name in env)
    block = export(job(["serve"], env), "env").text
    seen = home / "values"
    subprocess.run(["sh", "-c", f'exec 3>"$0"\n{block}\n{show}', str(seen)], check=True)
    assert seen.read_bytes().decode().split("\0")[:-1] == list(env.values())


@given(words, variables)
def test_compose_as_yaml(command: list[str], env: dict[str, str]) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    service = yaml.safe_load(export(job(command, env), "compose").text)["services"]["numawise"]
    assert [undouble(word) for word in service["command"]] == command
    pairs = [undouble(pair).split("=", 1) for pair in service.get("environment", ())]
    assert dict(pairs) == env
    assert service["entrypoint"] == ["numactl", "--interleave=0"]
    assert service["cap_add"] == ["SYS_NICE"]


@given(words, variables)
def test_kubernetes_as_yaml(command: list[str], env: dict[str, str]) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    pod = yaml.safe_load(export(job(command, env), "k8s").text)
    main = pod["spec"]["containers"][0]
    assert [undouble(word) for word in main["args"]] == command
    assert {v["name"]: undouble(v["value"]) for v in main.get("env", ())} == env


def undouble(word: str) -> str:
    """What Compose and Kubernetes make of dollars; one alone would be a variable of theirs."""
    assert "$" not in word.replace("$$", "")
    return word.replace("$$", "$")


class Dump:
    """What systemd itself has read in a unit: it is started to look at it, not to run it."""

    def __init__(self, unit: str) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)  # systemd refuses to be tested as root
            (folder / "t.service").write_text(unit)
            drop = (
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
            )
            manager = "/lib/systemd/systemd"
            environment = {"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{name}:", "HOME": name}
            done = subprocess.run(
                [*drop, manager, "--test", "--system", "--unit=t.service"],
                capture_output=True,
                env={**environment, "XDG_RUNTIME_DIR": name, "SYSTEMD_PAGER": "cat"},
                timeout=60,
                check=False,
            )
        whole = done.stdout.decode("utf-8", "replace")
        assert "-> Unit t.service:" in whole, done.stderr.decode("utf-8", "replace")
        self.text = whole.split("-> Unit t.service:", 1)[1].split("\n\t-> Unit ")[0].split("\n-> Unit ")[0]

    def field(self, name: str) -> str:
        found = re.search(rf"^\t\t{name}: (.*)$", self.text, re.MULTILINE)
        assert found, f"{name} was not read"
        return found[1]

    def command(self, end: str) -> list[str]:
        line = self.text.split("Command Line: ", 1)[1].split(end, 1)[0]
        pieces = re.findall(r'"((?:\\.|[^"\\])*)"|([^ \t\n]+)', line, re.DOTALL)
        return [plain or unescape(quoted) for quoted, plain in pieces]


def unescape(quoted: str) -> str:
    """Undo how systemd shows words: C's escapes, bytes as octal numbers."""

    def one(found: re.Match[bytes]) -> bytes:
        code = found[1]
        letters = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}
        return bytes([int(code, 8)]) if code.isdigit() else letters.get(code, code)

    return re.sub(rb"\\([0-7]{3}|.)", one, quoted.encode(), flags=re.DOTALL).decode()


needs_systemd = pytest.mark.skipif(
    not Path("/lib/systemd/systemd").exists() or (os.geteuid() == 0 and shutil.which("setpriv") is None),
    reason="systemd is not installed (Debian: systemd)",
)


@needs_systemd
@given(st.lists(text.filter(lambda word: word and "{" not in word), max_size=40), variables)
@settings(few, max_examples=5)
def test_systemd_reads_the_same_words_and_variables(more: list[str], env: dict[str, str]) -> None:
    one = Plan((Placement(rank=0, cpus=CPUSet([0]), env=env),))
    dump = Dump(export(Job(one, ("/bin/true", *more, "LASTWORD")), "systemd").text)
    seen = [undouble(word) for word in dump.command("LASTWORD")]
    front = [] if seen[0] == "/bin/true" else seen[: seen.index("/bin/true")]
    assert seen[len(front) :] == ["/bin/true", *more]
    held = {name: value for name, value in env.items() if f"{name}={value}" not in front}
    for name, value in held.items():
        assert f"\t\tEnvironment: {name}={value}\n" in dump.text
    # What Environment= refuses (control characters) goes through env(1).
    assert len(front) == len(env) - len(held) + bool(front)


@needs_systemd
@pytest.mark.parametrize("program", ["@odd", "+odd", "!x", "it's", "a b", "50%", "$HOME/x", "Ä"])
def test_systemd_starts_programs_of_any_name(program: str) -> None:
    name = program if "/" not in program else f"/opt/{program}"
    one = Plan((Placement(rank=0, cpus=CPUSet([0])),))
    dump = Dump(export(Job(one, (name, "LASTWORD")), "systemd").text)
    assert [undouble(word) for word in dump.command("LASTWORD")] == ["/usr/bin/env", name]


def test_words_that_cannot_be_written() -> None:
    for command in (["-x"], [""], ["a\udcff"]):
        with pytest.raises(UsageError):
            export(job(command, {}), "numactl")
    with pytest.raises(UsageError, match="is not UTF-8"):
        export(job(["a"], {"A": "\udcff"}), "systemd")
    with pytest.raises(UsageError, match="by absolute path"):
        export(job(["./serve"], {}), "systemd")
    with pytest.raises(UsageError, match="would take the program 'a=b' for a variable"):
        plan = Plan((Placement(rank=0, cpus=CPUSet([0]), env={"A": "1"}),))
        export(Job(plan, ("a=b",)), "slurm")


def test_names_that_a_format_cannot_hold_are_said() -> None:
    odd = {"a b": "1", "GOOD": "2"}
    for tool in ("env", "k8s"):
        made = export(job(["serve"], odd), tool)
        assert "'a b' is left out" in made.text
        assert any("'a b' is left out" in note for note in made.notes)
    assert "/usr/bin/env" not in export(job(["serve"], {"GOOD": "2"}), "systemd").text
    assert 'ExecStart=env "a b=1" serve\n' in export(job(["serve"], odd), "systemd").text
    assert export(job(["serve"], {"-x": "1"}), "numactl").text.startswith("env -- -x=1 numactl")
