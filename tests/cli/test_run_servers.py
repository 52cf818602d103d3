"""`numawise run` with servers, from outside: killed, deaf, sick, too many, and what is left of them afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from numawise.cli.shared.servers import SERVER_OPTIONS
from numawise.launch.servers.values import Health, Restart

SERVER = str(Path(__file__).resolve().parents[1] / "programs" / "server.py")
needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")


def wait_for(condition: Callable[[], object], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def free_port(count: int = 2) -> int:
    """The first of so many ports in a row that nobody has."""
    for port in range(21000 + os.getpid() % 9000, 32000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in range(port, port + count):
                probe = stack.enter_context(socket.socket())
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", number))
            return port
    raise AssertionError("no ports are free")


def living(text: str) -> set[int]:
    """Processes whose command line or environment holds `text` (a zombie has neither)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if text.encode() in seen:
                    found.add(int(entry.name))
    return found


def of_sessions(sessions: set[int]) -> set[int]:
    """Processes in one of these sessions, zombies included."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) in sessions:
                    found.add(int(entry.name))
    return found


def children(pid: int) -> dict[int, str]:
    """The state letter of each child of `pid`: Z for a zombie."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == pid:
                    found[int(entry.name)] = state
    return found


def get(port: int, path: str = "/pid") -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        return connection.makefile().read().rpartition("\n")[2]


class Launch:
    """A running `numawise run`, what it has said so far, and a text that only its processes carry."""

    def __init__(
        self, tmp: Path, *options: str, habits: str = "", workers: int = 2, command: str = ""
    ) -> None:
        self.marker = str(tmp / "marker")
        self.port, self._errors = free_port(workers), tmp / "errors"
        words = ["run", "--workers", str(workers), "--threads", "1", "--port", str(self.port), *options, "--"]
        server = [sys.executable, "-S", SERVER, "{port}", f"{self.marker}", *habits.split()]
        if command:
            server = ["sh", "-c", f"{command} # {self.marker}"]
        with self._errors.open("wb") as errors, (tmp / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "numawise", *words, *server],
                stdout=output,
                stderr=errors,
                env={**os.environ, "TEST_MARKER": self.marker},
            )

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def wait_for(self, text: str, times: int = 1, limit_s: float = 30) -> None:
        wait_for(lambda: self.errors.count(text) >= times or self.process.poll() is not None, limit_s)
        assert self.errors.count(text) >= times, self.errors

    def pids(self, event: str = "started") -> dict[int, list[int]]:
        """Process ids by rank, as the lines of this event have them."""
        found: dict[int, list[int]] = {}
        for rank, pid in re.findall(rf"rank (\d+), node \S+, port \d+, pid (\d+): {event}", self.errors):
            found.setdefault(int(rank), []).append(int(pid))
        return found

    def end(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(30)

    def is_gone(self) -> bool:
        """Not a process is left, no zombie and no orphan."""
        started = {pid for pids in self.pids().values() for pid in pids}
        return not living(self.marker) and not of_sessions(started)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launch]]:
    launches: list[Launch] = []

    def begin(*options: str, **how: Any) -> Launch:
        launches.append(Launch(tmp_path, *options, **how))
        return launches[-1]

    yield begin
    for one in launches:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        for pid in living(one.marker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@needs_two_cpus
def test_one_instance_a_port_ready_when_all_are_healthy(
    launch: Callable[..., Launch], tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    ready.write_text("of an earlier launch")
    one = launch("--health", "http:/health", "--ready-file", str(ready), habits="late:0.4 orderly")
    one.wait_for("all: ready: 2 servers")
    pids = one.pids()
    assert [line.split()[::2] for line in ready.read_text().splitlines()] == [
        [str(rank), str(one.port + rank)] for rank in range(2)
    ]
    assert [line.split()[3] for line in ready.read_text().splitlines()] == [str(pids[0][0]), str(pids[1][0])]
    assert [get(one.port), get(one.port + 1)] == [str(pids[0][0]), str(pids[1][0])]
    assert one.end(signal.SIGINT) == 0
    assert not ready.exists()
    assert one.is_gone()


@needs_two_cpus
def test_one_killed_is_restarted_and_the_other_left_alone(launch: Callable[..., Launch]) -> None:
    one = launch("--restart", "on-failure", "--restart-delay", "0.1", "--health", "http:/health")
    one.wait_for("all: ready")
    first = one.pids()
    os.kill(first[0][0], signal.SIGKILL)
    one.wait_for(": healthy", times=3)
    now = one.pids()
    assert now[1] == first[1]
    assert len(now[0]) == 2
    assert get(one.port) == str(now[0][1])
    assert get(one.port + 1) == str(first[1][0])
    assert f"pid {first[0][0]}: ended: SIGKILL" in one.errors
    assert "restarting: in 0.1 s, restart 1 of 10 in a row" in one.errors
    assert "Z" not in children(one.process.pid).values()
    assert one.end() == 0
    assert one.is_gone()


@needs_two_cpus
def test_with_keep_going_one_given_up_leaves_the_others_and_its_code(launch: Callable[..., Launch]) -> None:
    command = "test {rank} = 1 && exit 9; exec sleep 600"
    one = launch(
        "--keep-going",
        "--restart",
        "on-failure",
        "--max-restarts",
        "2",
        "--restart-delay",
        "0",
        command=command,
    )
    one.wait_for("given-up: 2 restarts in a row did not help")
    assert len(one.pids()[0]) == 1
    assert len(one.pids()[1]) == 3
    assert one.process.poll() is None
    assert one.end() == 9
    assert one.is_gone()


def test_the_delay_doubles_up_to_its_limit(launch: Callable[..., Launch]) -> None:
    one = launch(
        *("--restart", "on-failure", "--restart-delay", "0.05:0.15", "--max-restarts", "4"),
        command="exit 3",
        workers=1,
    )
    assert one.process.wait(30) == 3
    assert re.findall(r"restarting: in (\S+) s", one.errors) == ["0.05", "0.1", "0.15", "0.15"]


def test_one_that_was_healthy_long_enough_is_not_given_up(launch: Callable[..., Launch]) -> None:
    one = launch(
        *("--restart", "always", "--restart-delay", "0", "--max-restarts", "1", "--restart-reset", "0.2"),
        command="sleep 0.3",
        workers=1,
    )
    one.wait_for("restarting", times=4)
    assert "given-up" not in one.errors
    assert one.end() == 0


def test_an_answer_of_somebody_else_is_said(launch: Callable[..., Launch]) -> None:
    one = launch("--health", "http:/", "--start-timeout", "20", habits="never", workers=1)
    one.wait_for("started")
    stranger = subprocess.Popen([sys.executable, "-S", SERVER, str(one.port), f"{one.marker}.other"])
    try:
        one.wait_for(": healthy")
        assert f"who answers is process {stranger.pid} (" in one.errors
    finally:
        stranger.kill()
        stranger.wait()
    assert one.end() == 0


def test_without_restart_one_that_fails_ends_all_with_its_code(launch: Callable[..., Launch]) -> None:
    one = launch("--health", "tcp", habits="late:0.2 quit:7", workers=1)
    assert one.process.wait(30) == 7
    assert one.is_gone()


def test_a_taken_port_is_named_with_its_holder_before_anything_starts(launch: Callable[..., Launch]) -> None:
    for options in ((), ("--health", "tcp")):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "numawise",
                    "run",
                    *options,
                    "--port",
                    str(port),
                    "--",
                    "echo",
                    "{port}",
                ],
                capture_output=True,
                text=True,
                timeout=30,
            )
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith(f"numawise: port {port} is taken by process {os.getpid()} (")
        assert done.stderr.count("\n") == 1


def test_one_that_never_gets_healthy_is_stopped_and_given_up(launch: Callable[..., Launch]) -> None:
    one = launch(
        *("--restart", "on-failure", "--max-restarts", "1", "--restart-delay", "0"),
        *("--health", "http:/health", "--start-timeout", "0.5"),
        habits="never orderly",
        workers=1,
    )
    assert one.process.wait(30) == 124
    assert one.errors.count(": started") == 2
    assert (
        "stopping: not healthy within --start-timeout 0.5 s: connecting failed: Connection refused"
        in one.errors
    )
    assert "given-up: 1 restarts in a row did not help" in one.errors
    assert ": healthy" not in one.errors
    assert one.is_gone()


@pytest.mark.parametrize("illness", ["sick", "mute"])
def test_one_that_gets_sick_is_restarted(launch: Callable[..., Launch], illness: str) -> None:
    one = launch(
        *("--restart", "on-failure", "--restart-delay", "0.1", "--health", "http:/health"),
        *("--health-interval", "0.1", "--health-timeout", "0.3", "--health-failures", "2"),
        workers=1,
    )
    one.wait_for("all: ready")
    Path(f"{one.marker}.{illness}").touch()
    one.wait_for("unhealthy: 2 answers missed")
    Path(f"{one.marker}.{illness}").unlink()
    one.wait_for(": healthy", times=2)
    assert {"sick": "the last: answered 503 Sick", "mute": "the last: no answer within 0.3 s"}[
        illness
    ] in one.errors
    assert one.errors.count("all: ready") == 1
    assert one.end() == 0
    assert one.is_gone()


@needs_two_cpus
def test_the_deaf_are_killed_after_the_stop_timeout_with_all_they_started(
    launch: Callable[..., Launch],
) -> None:
    one = launch("--health", "tcp", "--stop-timeout", "1", habits="deaf brood")
    one.wait_for("all: ready")
    assert len(living(one.marker)) >= 8
    began = time.monotonic()
    assert one.end() == 137
    assert 0.9 < time.monotonic() - began < 10
    assert one.errors.count("killed: still there 1 s after SIGTERM") == 2
    assert one.is_gone()


@needs_two_cpus
def test_a_second_ctrl_c_kills_at_once(launch: Callable[..., Launch]) -> None:
    one = launch("--health", "tcp", "--stop-timeout", "600", habits="deaf brood")
    one.wait_for("all: ready")
    one.process.send_signal(signal.SIGINT)
    one.wait_for("stopping: SIGINT received")
    assert one.end(signal.SIGINT) == 137
    assert one.is_gone()


@needs_two_cpus
def test_killing_numawise_outright_leaves_nobody(launch: Callable[..., Launch]) -> None:
    one = launch("--health", "tcp", habits="deaf brood")
    one.wait_for("all: ready")
    assert len(living(one.marker)) >= 8
    one.process.kill()
    one.process.wait()
    wait_for(one.is_gone, limit_s=10)


def test_a_guard_that_is_killed_is_replaced(launch: Callable[..., Launch]) -> None:
    one = launch("--restart", "always", habits="deaf brood", workers=1)
    one.wait_for("all: ready")

    def guards() -> list[int]:
        return [
            pid
            for pid in children(one.process.pid)
            if Path(f"/proc/{pid}/comm").read_text() == "numawise-guard\n"
        ]

    wait_for(guards)
    (first,) = guards()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: guards() not in ([], [first]))
    one.process.kill()
    one.process.wait()
    wait_for(one.is_gone, limit_s=10)


def test_what_a_killed_server_leaves_behind_does_not_keep_its_port(launch: Callable[..., Launch]) -> None:
    one = launch(
        "--restart", "on-failure", "--restart-delay", "0", "--health", "http:/", habits="brood", workers=1
    )
    one.wait_for("all: ready")
    before = living(one.marker) - {one.process.pid} - guards_of(one)
    os.kill(one.pids()[0][0], signal.SIGKILL)
    one.wait_for(": healthy", times=2)
    assert not before & living(one.marker)
    assert one.end() == 0
    assert one.is_gone()


def guards_of(one: Launch) -> set[int]:
    return set(children(one.process.pid)) - {pid for pids in one.pids().values() for pid in pids}


def test_five_hundred_restarts_leave_no_zombie_no_descriptor_and_no_memory(
    launch: Callable[..., Launch],
) -> None:
    one = launch(
        *("--restart", "always", "--restart-delay", "0.005:0.005", "--max-restarts", "unlimited", "--json"),
        command="exit 3",
        workers=1,
    )
    pid = one.process.pid

    def rss_kib() -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]

    def descriptors() -> int:
        """Those that are open between two starts: the fewest seen while some go by."""
        counts = []
        for _ in range(300):
            counts.append(len(os.listdir(f"/proc/{pid}/fd")))
            time.sleep(0.001)
        return min(counts)

    one.wait_for('"started"', times=60)
    memory, open_at_first = rss_kib(), descriptors()
    one.wait_for('"started"', times=560, limit_s=120)
    assert rss_kib() < memory + 1024
    assert descriptors() <= open_at_first
    assert list(children(pid).values()).count("Z") <= 1  # one may just have ended
    assert one.end() in (0, 3)  # the last may be on its way out by itself
    assert json.loads(one.errors.splitlines()[-1])["processes"][0]["restarts"] >= 559
    assert one.is_gone()


@needs_two_cpus
def test_random_signals_to_everybody_below_leave_nothing_behind(launch: Callable[..., Launch]) -> None:
    """Servers, what they started, and the guard: killed, ended, stopped and crashed as it comes."""
    one = launch(
        *(
            "--restart",
            "always",
            "--restart-delay",
            "0.05:0.1",
            "--max-restarts",
            "unlimited",
            "--health",
            "http:/",
        ),
        *(
            "--health-interval",
            "0.2",
            "--health-timeout",
            "0.5",
            "--health-failures",
            "2",
            "--stop-timeout",
            "1",
        ),
        habits="brood",
    )
    one.wait_for("all: ready")
    dice, until = random.Random(7), time.monotonic() + 6
    while time.monotonic() < until:
        below = sorted(living(one.marker) - {one.process.pid})
        signum = dice.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV))
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(dice.choice(below), signum)
        time.sleep(dice.uniform(0, 0.2))
    assert one.process.poll() is None
    one.end()
    assert one.errors.count(": started") > 4
    assert one.is_gone()


def test_a_closed_log_pipe_does_not_stop_servers(tmp_path: Path) -> None:
    port, marker = free_port(1), str(tmp_path / "marker")
    words = f"run --health http:/ --port {port} -- {sys.executable} -S {SERVER} {{port}} {marker} chatty"
    with (tmp_path / "errors").open("wb") as errors:
        script = f"{sys.executable} -m numawise {words} | head -1"
        shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        said = (tmp_path / "errors").read_text
        wait_for(lambda: "standard output: write answered EPIPE" in said() and "all: ready" in said())
        server = int(re.search(r"pid (\d+): started", said())[1])  # type: ignore[index]
        assert get(port) == str(server)
        os.kill(int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGTERM)
        assert shell.communicate(timeout=30)[0] == "listening\n"
        assert not living(marker)
    finally:
        for pid in living(marker):
            os.kill(pid, signal.SIGKILL)


def test_a_stalled_log_reader_does_not_stall_supervision(tmp_path: Path) -> None:
    port, marker = free_port(1), str(tmp_path / "marker")
    words = [
        "run",
        "--restart",
        "always",
        "--restart-delay",
        "0",
        "--health",
        "http:/",
        "--port",
        str(port),
        "--",
    ]
    server = [sys.executable, "-S", SERVER, "{port}", marker, "chatty"]
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "numawise", *words, *server], stdout=subprocess.PIPE, stderr=errors
        )
    try:
        said = (tmp_path / "errors").read_text
        wait_for(lambda: "all: ready" in said())
        time.sleep(0.5)  # the pipe, that nobody reads, is full by now
        os.kill(int(get(port)), signal.SIGKILL)
        wait_for(lambda: said().count(": healthy") == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not living(marker)
    finally:
        process.kill()
        process.communicate()


def test_systemd_is_told_once_all_are_healthy(tmp_path: Path) -> None:
    port, address = free_port(1), str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(20)
        words = ["run", "--quiet", "--health", "tcp", "--port", str(port), "--"]
        code = (
            "import os, sys, runpy; assert 'NOTIFY_SOCKET' not in os.environ; del sys.argv[0];"
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        server = [sys.executable, "-S", "-c", code, SERVER, "{port}", str(tmp_path / "marker"), "late:0.3"]
        process = subprocess.Popen(
            [sys.executable, "-m", "numawise", *words, *server], env={**os.environ, "NOTIFY_SOCKET": address}
        )
        try:
            told = systemd.recv(4096).decode().splitlines()
            assert told[0] == "READY=1"
            assert f"MAINPID={process.pid}" in told
            process.terminate()
            assert systemd.recv(4096) == b"STOPPING=1\n"
            assert process.wait(20) == 0
        finally:
            process.kill()


@needs_two_cpus
def test_json_has_every_event_and_the_summary_last(launch: Callable[..., Launch]) -> None:
    one = launch("--json", "--health", "tcp")
    one.wait_for('"ready"')
    assert one.end() == 0
    *events, summary = [json.loads(line) for line in one.errors.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["started", "started"]
    assert kinds.count("healthy") == kinds.count("ended") == 2
    assert events[0]["port"] == one.port
    assert summary["exit_code"] == 0
    assert [process["restarts"] for process in summary["processes"]] == [0, 0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--restart", "sometimes"), "--restart takes one of no, on-failure, always"),
        (("--restart-delay", "1"), "--restart-delay goes with --restart"),
        (("--restart", "always", "--restart-delay", "5:1"), "the longest delay is shorter than the first"),
        (("--restart", "always", "--restart-delay", "x"), "--restart-delay takes seconds"),
        (("--restart", "always", "--max-restarts", "-1"), "--max-restarts takes a whole number"),
        (("--start-timeout", "5"), "--start-timeout goes with --health"),
        (("--health", "tcp"), "give the first with --port"),
        (("--port", "21000", "--health", "udp"), "--health takes tcp or http:/PATH"),
        (("--port", "21000", "--health", "http:/a b"), "--health takes tcp or http:/PATH"),
        (
            ("--port", "21000", "--health", "tcp", "--health-timeout", "0"),
            "--health-timeout takes seconds, more than 0",
        ),
        (("--port", "21000", "--health", "tcp", "--health-host", "localhost"), "names are not looked up"),
        (
            ("--ready-file", "/no/such/folder/file"),
            "--ready-file /no/such/folder/file: No such file or directory",
        ),
    ],
)
def test_bad_options_are_refused_in_one_line(options: tuple[str, ...], said: str) -> None:
    words = [sys.executable, "-m", "numawise", "run", *options, "--", "touch", "/no/such/folder/touched"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_command_that_goes_away_is_given_up_like_any_failure(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nrm $0\nexit 5\n")
    program.chmod(0o755)
    words = ["run", "--restart", "always", "--max-restarts", "2", "--restart-delay", "0", "--", str(program)]
    done = subprocess.run(
        [sys.executable, "-m", "numawise", *words], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 127
    assert done.stderr.count("ended: cannot be started: command not found") == 2


def test_one_that_gets_sick_without_restart_ends_the_launch(launch: Callable[..., Launch]) -> None:
    one = launch(
        "--health",
        "http:/",
        "--health-interval",
        "0.1",
        "--health-failures",
        "1",
        habits="orderly",
        workers=1,
    )
    one.wait_for("all: ready")
    Path(f"{one.marker}.sick").touch()
    assert one.process.wait(30) == 124
    assert "ended: exit code 0" in one.errors
    assert one.is_gone()


def test_told_to_stop_while_one_waits_for_its_restart(launch: Callable[..., Launch]) -> None:
    one = launch("--restart", "always", "--restart-delay", "600:600", command="exit 3", workers=1)
    one.wait_for("restarting: in 600 s")
    began = time.monotonic()
    assert one.end() == 0
    assert time.monotonic() - began < 10
    assert one.is_gone()


@needs_two_cpus
def test_a_second_that_cannot_be_executed_ends_the_first(tmp_path: Path) -> None:
    (tmp_path / "server0").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "server0").chmod(0o755)
    words = [
        "run",
        "--workers",
        "2",
        "--restart",
        "always",
        "--",
        str(tmp_path / "server{rank}"),
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "numawise", *words], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"numawise: command not found: {tmp_path}/server1"
    assert not living(str(tmp_path))


def test_the_help_names_the_defaults_there_are() -> None:
    by_name = {option.name: option.help for option in SERVER_OPTIONS}
    restart, health = Restart(), Health()
    for name, default in {
        "restart-delay": f"{restart.first_delay_s:g}:{restart.longest_delay_s:g}",
        "max-restarts": restart.most,
        "restart-reset": f"{restart.reset_s:g}",
        "health-host": health.host,
        "health-interval": f"{health.interval_s:g}",
        "health-timeout": f"{health.timeout_s:g}",
        "health-failures": health.failures,
        "start-timeout": f"{health.start_timeout_s:g}",
    }.items():
        assert f"({default})" in by_name[name]


def test_programs_that_are_no_servers_import_nothing_of_theirs() -> None:
    code = (
        "import sys; from numawise.cli.main import main; main(['run', '--node', '0', '--', 'true']);"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    loaded = set(done.stdout.split())
    assert "numawise.launch.supervise" in loaded
    assert not {name for name in loaded if name.startswith(("numawise.launch.servers", "socket", "http"))}
