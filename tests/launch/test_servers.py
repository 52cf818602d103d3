"""The parts of a launch of servers, each against real sockets, pipes and processes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import two_sockets

from numawise.errors import UsageError
from numawise.launch.servers.guard import Guard
from numawise.launch.servers.health import Probe
from numawise.launch.servers.members import MARK, kill_members
from numawise.launch.servers.ports import check_free
from numawise.launch.servers.ready import ReadyFile, notify
from numawise.launch.servers.restart import Backoff
from numawise.launch.servers.values import Health, Restart
from numawise.linux.listeners import holders
from numawise.linux.procfs import is_alive
from numawise.placement.fill import fill
from numawise.placement.plan import plan
from numawise.placement.request import Request


def ask(health: Health, port: int, limit_s: float = 5) -> str | None:
    """The answer to one question, None for none in time."""
    probe = Probe(health, port)
    deadline = time.monotonic() + limit_s
    try:
        while probe.answer is None and time.monotonic() < deadline:
            poll = select.poll()
            poll.register(probe.fd, probe.wants)
            if poll.poll(100):
                probe.proceed()
        return probe.answer
    finally:
        probe.close()


@contextlib.contextmanager
def answering(*parts: bytes, host: str = "127.0.0.1") -> Iterator[int]:
    """A server that answers one request with these parts, one after the other."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ((b"HTTP/1.1 200 OK\r\n\r\n",), ""),
        ((b"HTT", b"P/1.0 30", b"2 Found\r\nLocation: /\r\n\r\n"), ""),
        ((b"HTTP/1.1 204\r\n\r\n",), ""),
        ((b"HTTP/1.1 503 Loading model\r\n\r\n",), "answered 503 Loading model"),
        ((b"HTTP/1.1 404 \x1b[31mNo\r\n\r\n",), "answered 404 [31mNo"),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), "answered, but not in HTTP"),
        ((b"\0" * 5000,), "answered, but not in HTTP"),
        ((), "closed the connection without an answer"),
    ],
)
def test_only_a_good_http_answer_is_healthy(parts: tuple[bytes, ...], answer: str) -> None:
    with answering(*parts) as port:
        assert ask(Health("http", "/health"), port) == answer


def test_a_port_is_asked_by_tcp_and_by_ipv6() -> None:
    with answering() as port:
        assert ask(Health("tcp"), port) == ""
    assert ask(Health("tcp"), port) == "connecting failed: Connection refused"
    try:
        with answering(b"HTTP/1.1 200 OK\r\n\r\n", host="::1") as port:
            assert ask(Health("http", host="::1"), port) == ""
    except OSError:
        pytest.skip("no IPv6 here")


def test_a_connection_to_itself_is_no_answer() -> None:
    """Linux connects a socket that is bound to the port it asks to itself: what happens by chance, on purpose."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    probe = Probe(Health("tcp"), port)
    probe.close()
    itself = socket.socket()
    itself.bind(("127.0.0.1", port))
    itself.connect(("127.0.0.1", port))
    probe._socket, probe.answer = itself, None
    probe.proceed()
    probe.close()
    assert probe.answer == "connecting failed: Connection refused"


def test_one_that_says_nothing_gives_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert ask(Health("http"), server.getsockname()[1], limit_s=0.3) is None


def test_holders_of_a_port_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert os.getpid() in [holder.pid for holder in holders(port)]
        with pytest.raises(UsageError, match=rf"port {port} is taken by process {os.getpid()} \("):
            check_free([port])
    assert holders(port) == []
    check_free([port])


def test_a_connection_that_has_ended_does_not_take_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as near:
            far, _ = server.accept()
            far.close()  # the side that closes first waits out its time: the server's
            near.recv(1)
    check_free([port])


def test_restarts_wait_longer_and_are_counted() -> None:
    backoff = Backoff(Restart("on-failure", first_delay_s=0.5, longest_delay_s=4, most=None, reset_s=10))
    assert [backoff.next_delay_s(9.9) for _ in range(5)] == [0.5, 1, 2, 4, 4]
    assert backoff.next_delay_s(10) == 0.5
    for _ in range(5000):
        backoff.next_delay_s(0)
    assert backoff.next_delay_s(0) == 4
    assert [backoff.wants(failed=failed) for failed in (True, False)] == [True, False]
    assert Backoff(Restart("always")).wants(failed=False)
    assert not Backoff(Restart("no")).wants(failed=True)


RELAY = """
import sys, time
from numawise.launch.servers.relay import Relay
told = []
relay = Relay({0: "node0", 1: ""}, told.append)
"""


def relay(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RELAY + code + "\nrelay.finish()\nprint(told, file=sys.stderr)"],
        timeout=30, text=True, stderr=subprocess.PIPE, **options,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


def test_lines_have_labels_and_nothing_is_lost() -> None:
    code = "for n in range(20000): relay.feed(n % 2, 1, b'%d\\n' % n)"
    done = relay(code, stdout=subprocess.PIPE)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["[node0] 0", "1", "[node0] 2"]
    assert len(lines) == 20000
    assert done.stderr == "[]\n"


def test_a_reader_that_has_gone_is_told_once_and_its_lines_are_dropped() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = relay(
        "for n in range(9): relay.feed(0, 1, b'x\\n'); assert not relay.is_waiting(1)", stdout=writer
    )
    os.close(writer)
    assert done.returncode == 0
    assert (
        done.stderr.count("standard output: write answered EPIPE: what the servers write there is dropped")
        == 1
    )


def test_a_full_disk_is_told_and_tried_again() -> None:
    with open("/dev/full", "wb") as full:
        done = relay("relay.feed(0, 1, b'x\\n'); relay.feed(0, 1, b'y\\n')", stdout=full)
    assert done.returncode == 0
    assert done.stderr.count("standard output: write answered ENOSPC: what does not fit is dropped") == 1


def test_a_stalled_reader_is_never_waited_for() -> None:
    reader, writer = os.pipe()
    code = """
began = time.monotonic()
for n in range(40000): relay.feed(0, 1, b'x' * 99 + b'\\n')
assert relay.is_full(1) and time.monotonic() - began < 10
assert len(relay._waiting[1]) <= 1 << 21
"""
    done = relay(code, stdout=writer)
    os.close(reader)
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert "standard output: its reader has stalled" in done.stderr


def test_a_ready_file_appears_whole_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    path.write_text("stale")
    file = ReadyFile(str(path))
    assert list(tmp_path.iterdir()) == []
    file.write(["0 0 8000 1", "1 1 8001 2"])
    assert path.read_text() == "0 0 8000 1\n1 1 8001 2\n"
    assert list(tmp_path.iterdir()) == [path]
    file.remove()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="Is a directory"):
        ReadyFile(str(tmp_path))


def test_systemd_is_reached_by_abstract_name_and_its_absence_is_said() -> None:
    name = f"numawise-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        assert notify(f"@{name}", "READY=1\n") == ""
        assert systemd.recv(100) == b"READY=1\n"
    assert notify(f"@{name}", "READY=1\n") == f"NOTIFY_SOCKET=@{name}: Connection refused"
    assert notify(None, "READY=1\n") == ""


def test_members_are_the_session_and_what_left_it_with_the_mark() -> None:
    mark = f"test.{os.getpid()}.0"
    leave = "import os, time\nif os.fork():\n    time.sleep(600)\nos.setsid(); time.sleep(600)"
    spawn = {"start_new_session": True, "env": {**os.environ, MARK: mark}}
    ours = subprocess.Popen([sys.executable, "-S", "-c", leave], **spawn)  # type: ignore[call-overload]
    spawn["env"] = {**os.environ, MARK: f"{mark}1"}
    other = subprocess.Popen(["sleep", "600"], **spawn)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 20
        while not (below := Path(f"/proc/{ours.pid}/task/{ours.pid}/children").read_text().split()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        while os.getsid(int(below[0])) == ours.pid:
            time.sleep(0.01)
        # Not a subreaper here: what outlives its parent is below init, so look among all.
        kill_members((ours.pid,), lambda text: text == mark, below=None)
        assert ours.wait(10) == -signal.SIGKILL
        while is_alive(int(below[0])):
            assert time.monotonic() < deadline
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_guard_that_is_sent_home_kills_nobody(stopped: bool) -> None:
    guard = Guard(f"test.{os.getpid()}.")
    guard.start()
    if stopped:
        os.kill(guard.pid, signal.SIGSTOP)
        for pid in range(100_000, 130_000):  # more than its pipe holds
            guard.remove(pid)
    innocent = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        guard.add(innocent.pid)
        guard.release()
        time.sleep(0.2)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize(("workers", "threads"), [(2, 8), (4, 4), (3, 4), (6, 2), (16, 1)])
def test_workers_stay_within_a_node_and_ports_count_up(workers: int, threads: int) -> None:
    topology = two_sockets(8, ids=(0, 8))
    made = plan(topology, Request(workers=workers, threads=threads, port=8000)).placements
    assert [fill("{port}", placement, 8000) for placement in made] == [str(8000 + n) for n in range(workers)]
    for placement in made:
        (node,) = [node for node in topology.nodes if node.cpus & placement.cpus]
        assert placement.cpus <= node.cpus
        assert placement.memory.nodes == (node.id,)
        assert len(placement.cpus) >= threads
    taken = [cpu for placement in made for cpu in placement.cpus]
    assert len(taken) == len(set(taken))
