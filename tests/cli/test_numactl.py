"""`numawise numactl` beside the classic tool, and where it knows better."""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import classic_tools
import pytest
from classic_tools import REAL, REPORT, ours, real, refuse

with_the_real_one = pytest.mark.skipif(not REAL["numactl"], reason="no numactl here to compare with")
several_cpus = pytest.mark.skipif(not {0, 1} <= os.sched_getaffinity(0), reason="needs CPUs 0 and 1")
NODE_0 = Path("/sys/devices/system/node/node0")
pytestmark = pytest.mark.skipif(not NODE_0.exists(), reason="the kernel shows no node 0")

POLICIES = {
    "--membind=0": "0x2",
    "-m all": "0x2",
    "-m +0": "0x2",
    "-m 0x0": "0x2",
    "-b -m 0": "0x2002",
    "-i 0": "0x3",
    "--interleave all": "0x3",
    "-p 0": "0x1",
    "-P 0": "0x5",
    "-l": "0x4",
    "-b -i 0": "0x3",
    "-lN0": "0x4",
    "-N 0 -m same": "0x2",
    "--mem 0": "0x2",
    "--preferred-m=0": "0x5",
}
CPUS = [
    "-C 0",
    "-C 1",
    "-C +1",
    "-C !0",
    "-C 0-1",
    "-C 1,1",
    "-C all",
    "-C 0 -N 0",
    "-N 0 -C 1",
    "-C 0 -C 1",
    "-a -C 0",
    "--cpubind 0",
    "-c 0",
]
BAD = [
    *("-m 4095", "-m 0-", "-m -1", "-m x", "-m ''", "-m 0,,", "-m !0-", "-m same", "-m 99999999999999999999"),
    *(
        "-m netdev:lo",
        "-m netdev:none",
        "-m file:/proc",
        "-m file:/nowhere",
        "-m block:none",
        "-m pci:zz",
        "-m pci:",
    ),
    *(
        "-m ip:127.0.0.1",
        "-N 4095",
        "-C 65000",
        "-C same",
        "-C ''",
        "-m 0 -i 0",
        "-m 0 -l",
        "-p 0,4095",
        "--p 0",
    ),
    *("-b0", "--strict=1", "--length 4k", "-o 1", "-M 600", "-u", "-T", "-d", "-D", "-V", "-Z", "--nonsense"),
    *(
        "-m 0 -b",
        "-m",
        "--membind",
        "-m 0 --shm /nowhere/key",
        "--shm /nowhere/key -m 0",
        "--file /nowhere/f -m 0",
    ),
]


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """What happened; in what words it was refused is another matter."""
    return done.returncode, "" if done.returncode else done.stdout


@pytest.mark.parametrize("options", POLICIES)
def test_the_program_runs_under_that_policy(options: str):
    words = [*shlex.split(options), *REPORT]
    mine = ours("numactl", *words)
    assert f"mode {POLICIES[options]} " in mine.stdout, mine.stderr
    if REAL["numactl"]:
        assert mine.stdout == real("numactl", *words).stdout


@several_cpus
@with_the_real_one
@pytest.mark.parametrize("options", CPUS)
def test_the_program_runs_on_those_cpus(options: str):
    words = [*shlex.split(options), *REPORT]
    mine, classic = ours("numactl", *words), real("numactl", *words)
    assert outcome(mine) == outcome(classic)


@several_cpus
@with_the_real_one
@pytest.mark.parametrize(
    "options", ["-C 0", "-C 1", "-C +0", "-C +1", "-C all", "-C !1", "-a -C 0", "-a -C +0", "-N 0"]
)
def test_an_inherited_affinity_counts_as_it_does_there(options: str):
    words = [*shlex.split(options), *REPORT]
    one_cpu = {"preexec_fn": lambda: os.sched_setaffinity(0, {1})}
    mine, classic = ours("numactl", *words, **one_cpu), real("numactl", *words, **one_cpu)
    assert outcome(mine) == outcome(classic)


@with_the_real_one
@pytest.mark.parametrize("options", ["", "-m 0", "-i 0", "-p 0", "-P 0", "-N 0", "-C 0", "-i all -C 0"])
def test_show_is_the_same_to_the_byte(options: str):
    words = [*shlex.split(options), "--show"]
    mine, classic = ours("numactl", *words), real("numactl", *words)
    assert (mine.stdout, mine.stderr, mine.returncode) == (classic.stdout, "", 0)


def test_show_names_what_the_classic_tool_leaves_out():
    assert "policy: local\npreferred node: current\n" in ours("numactl", "-l", "-s").stdout
    shown = ours("numactl", "-b", "-m", "0", "-s").stdout
    assert "policy: bind (numa balancing)\npreferred node: 0\n" in shown
    assert "\nmembind: 0 \n" in shown


@with_the_real_one
def test_hardware_is_the_same_but_for_the_free_memory():
    mine, classic = ours("numactl", "-H"), real("numactl", "-H")
    assert classic_tools.without_free(mine.stdout) == classic_tools.without_free(classic.stdout)


def test_hardware_gives_cpus_as_ranges_and_as_json():
    cpus = (NODE_0 / "cpulist").read_text().strip()
    count = len(json.loads(ours("numactl", "-H", "--json").stdout)["nodes"])
    (node, *_) = json.loads(ours("numactl", "--hardware", "--json").stdout)["nodes"]
    assert (node["id"], node["cpus"], node["distances"]["0"]) == (0, cpus, 10)
    assert count == len(list(NODE_0.parent.glob("node[0-9]*")))
    assert f"node 0 cpus: {cpus.replace(',', ' ')} (" in ours("numactl", "-H", "--cpu-compress").stdout


@pytest.mark.parametrize("options", BAD)
def test_what_cannot_be_meant_is_one_line_and_exit_code_1(options: str):
    done = ours("numactl", *shlex.split(options), *(["true"] if options not in ("-m", "--membind") else []))
    assert done.returncode == 1
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert first.startswith("numactl: ")
    assert not rest or rest[0].startswith(("usage: ", "numactl: "))
    assert "Traceback" not in done.stderr
    if REAL["numactl"]:
        assert real("numactl", *shlex.split(options), "true").returncode in (
            1,
            0 if options == "-m 0 -b" else 1,
        )


def test_a_node_that_does_not_exist_is_named():
    done = ours("numactl", "-m", "4095", "true")
    assert done.stderr.startswith("numactl: <4095> is invalid: node 4095 does not exist")
    assert "\nusage: numactl " in done.stderr


def test_without_a_command_it_explains_itself():
    for words in ([], ["-m", "0"], ["--"], ["-l", "--"]):
        done = ours("numactl", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "usage: numactl" in done.stderr
    helped = ours("numactl", "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert ours("numactl", "--version").stdout.startswith("numawise ")


@pytest.mark.parametrize(
    ("call", "options"), [("set_mempolicy", "-m 0"), ("sched_setaffinity", "-C 0"), ("get_mempolicy", "-s")]
)
def test_a_refusal_of_the_system_is_one_line(call: str, options: str):
    command = [
        *refuse(call),
        sys.executable,
        "-m",
        "numawise",
        "numactl",
        *options.split(),
        "echo",
        "started",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert call in line
    assert "EPERM" in line


def test_reading_may_be_refused_while_setting_works():
    command = [
        *refuse("get_mempolicy"),
        sys.executable,
        "-m",
        "numawise",
        "numactl",
        "-m",
        "0",
        "echo",
        "started",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


def test_the_program_takes_our_place():
    with subprocess.Popen(
        [sys.executable, "-m", "numawise", "numactl", "-l", "sh", "-c", "echo $$ $PPID"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        output, _ = process.communicate(timeout=60)
    assert output.split() == [str(process.pid), str(os.getpid())]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], -9),
        (["no-such-command-here"], 1),
        (["/etc/passwd"], 1),
        (["/"], 1),
        ([""], 1),
    ],
)
def test_the_exit_code_is_the_programs_or_1(command: list[str], code: int):
    done = ours("numactl", "-m", "0", *command)
    assert done.returncode == code
    if code == 1:
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"numactl: execution of `{command[0]}': ")


def test_a_script_without_a_first_line_goes_to_the_shell(tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("echo $1; exit 9\n")
    script.chmod(0o755)
    done = ours("numactl", "-l", str(script), "hello")
    assert (done.stdout, done.returncode) == ("hello\n", 9)


def test_options_end_where_the_command_begins():
    assert ours("numactl", "-l", "echo", "-m", "4095", "--show").stdout == "-m 4095 --show\n"
    assert ours("numactl", "-l", "--", "echo", "--").stdout == "--\n"


def test_nothing_of_python_reaches_the_program():
    program = ["sh", "-c", "env | grep -v ^_= | sort; ls /proc/self/fd; echo $0 $#"]
    environment = {"PATH": os.environ["PATH"], "LANG": "C"}
    direct = subprocess.run(["env", *program], check=True, capture_output=True, text=True, env=environment)
    assert ours("numactl", "-l", *program, env=environment).stdout == direct.stdout
    environment["LC_CTYPE"] = "C.UTF-8"
    assert "LC_CTYPE=C.UTF-8\n" in ours("numactl", "-l", *program, env=environment).stdout


def test_sigpipe_is_at_its_default():
    done = ours("numactl", "-l", "sh", "-c", "grep SigIgn /proc/self/status")
    assert not int(done.stdout.split()[1], 16) >> (signal.SIGPIPE - 1) & 1


def test_a_link_called_numactl_stands_in(tmp_path: Path):
    shim = tmp_path / "numactl"
    shim.write_text(f"#!{sys.executable}\nfrom numawise.cli.numactl import console\nconsole()\n")
    shim.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["numactl", "-i", "0", "numactl", "-s"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.stdout.startswith(
        "policy: interleave\npreferred node: 0 (interleave next)\ninterleavemask: 0 \n"
    )
    assert done.returncode == 0


def test_it_loads_little():
    code = (
        "import sys; sys.argv = ['numawise', 'numactl', '-l', 'no-such-command'];"
        "from numawise.cli.main import main; main();"
        "print(sorted({'click', 'rich', 'numpy', 'msgspec', 'jinja2', 'subprocess', 'inspect'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n"


class TestFiles:
    """Policies of files in tmpfs."""

    @pytest.fixture
    def file(self) -> Iterator[Path]:
        path = Path(f"/dev/shm/numawise-test-{os.getpid()}")
        yield path
        path.unlink(missing_ok=True)

    def test_a_policy_stays_with_the_file(self, file: Path):
        assert ours("numactl", "--length=64k", "--file", str(file), "-i", "0", "--touch").returncode == 0
        assert ours("numactl", "--offset=8k", "--length=16k", "--file", str(file), "-p", "0").returncode == 0
        dumped = ours("numactl", "--file", str(file), "--dump").stdout
        assert dumped == (
            "0000000000000000-0000000000002000: interleave : 0 \n"
            "0000000000002000-0000000000006000: preferred : 0 \n"
            "0000000000006000-0000000000010000: interleave : 0 \n"
        )
        assert file.stat().st_blocks * 512 == file.stat().st_size == 65536
        if REAL["numactl"]:
            assert real("numactl", "--length=64k", "--file", str(file), "--dump").stdout == dumped

    def test_nodes_of_pages_and_verification(self, file: Path):
        shape = ["--length=64k", "--file", str(file)]
        assert (
            ours("numactl", *shape, "-m", "0", "--dump-nodes").stdout
            == "0000000000000000-0000000000010000: 0\n"
        )
        assert ours("numactl", *shape, "-l", "--verify").returncode == 0
        assert "Need a policy first" in ours("numactl", *shape, "--verify").stderr

    def test_content_is_not_touched(self, file: Path):
        file.write_bytes(b"x" * 16384)
        assert ours("numactl", "--file", str(file), "-m", "0", "--touch", "--strict").returncode == 0
        assert file.read_bytes() == b"x" * 16384

    def test_other_files_are_refused_because_the_kernel_would_ignore_it(self, tmp_path: Path, file: Path):
        if os.statvfs(tmp_path).f_fsid == os.statvfs("/dev/shm").f_fsid:
            pytest.skip("temporary files are in tmpfs here")
        done = ours("numactl", "--length=64k", "--file", str(tmp_path / "a"), "-m", "0")
        assert done.returncode == 1
        assert "ignore it" in done.stderr
        assert not (tmp_path / "a").exists()
        assert ours("numactl", "--length=4097", "--file", str(file), "-m", "0").returncode == 1
        assert not file.exists()

    def test_no_program_with_shared_memory(self, file: Path):
        assert ours("numactl", "--length=4k", "--file", str(file), "-m", "0", "true").returncode == 1
        assert ours("numactl", "--file", str(file), "-N", "0").returncode == 1
        refused = subprocess.run(
            [*refuse("mbind"), sys.executable, "-m", "numawise", "numactl", "--file", str(file), "-m", "0"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (refused.returncode, "mbind" in refused.stderr) == (1, True)


class TestSegments:
    """Policies of System V shared memory."""

    @pytest.fixture
    def key(self, tmp_path: Path) -> Iterator[Path]:
        path = tmp_path / "key"
        yield path
        libc = ctypes.CDLL(None)
        for number in (0, 5):
            key = libc.ftok(os.fsencode(path), number) if path.exists() else -1
            if (
                number == 0 and path.exists()
            ):  # ftok(3) leaves number 0 undefined; numactl uses it all the same
                state = path.stat()
                key = ctypes.c_int((state.st_dev & 0xFF) << 16 | state.st_ino & 0xFFFF).value
            found = libc.shmget(key, 0, 0) if key != -1 else -1
            if found >= 0:
                assert libc.shmctl(found, 0, None) == 0  # IPC_RMID

    def test_a_segment_is_made_and_keeps_its_policy(self, key: Path):
        made = ours("numactl", "--length=64k", "--shmmode=640", "--shm", str(key), "-i", "0", "--touch")
        assert made.returncode == 0
        assert made.stderr == (
            f"numactl: Creating shm key file {key} mode 0640\n"
            f"numactl: Creating shared memory segment {key} id 0 mode 0640 length 0MB\n"
        )
        dumped = ours("numactl", "--shm", str(key), "--dump")
        assert (dumped.stdout, dumped.stderr) == ("0000000000000000-0000000000010000: interleave : 0 \n", "")
        if REAL["numactl"]:
            assert real("numactl", "--shm", str(key), "--dump").stdout == dumped.stdout
        assert (
            ours("numactl", "--shm", str(key), "--dump-nodes").stdout
            == "0000000000000000-0000000000010000: 0\n"
        )
        past = ours("numactl", "--length=128k", "--shm", str(key), "--dump")
        assert (past.returncode, "past" in past.stderr) == (1, True)

    def test_the_number_is_part_of_the_key(self, key: Path):
        assert ours("numactl", "--length=64k", "--shmid=5", "--shm", str(key), "-m", "0").returncode == 0
        assert "need a --length" in ours("numactl", "--shm", str(key), "--dump").stderr
        assert "bind : 0" in ours("numactl", "-I", "5", "-S", str(key), "-d").stdout
        assert ours("numactl", "-I", "five", "-S", str(key), "-d").returncode == 1
