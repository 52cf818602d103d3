"""nginx and HAProxy in front of servers that `run --port` starts: requests reach all, and survive one that dies."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from machines import two_sockets

from numawise.errors import UsageError
from numawise.placement.plan import plan
from numawise.placement.render import export
from numawise.placement.render.shared.job import Job
from numawise.placement.request import Request

PLAN = plan(two_sockets(), Request(per="node"))


def free_ports() -> tuple[int, int]:
    """Two ports in a row, and one more, that nobody has now."""
    for first in range(20000, 60000, 7):
        with ExitStack() as held:
            try:
                for port, host in enumerate(("127.0.0.1", "127.0.0.1", ""), start=first):
                    held.enter_context(socket.create_server((host, port)))
            except OSError:
                continue
            return first, first + 2
    raise AssertionError("no free ports")


class Server:
    """Answers with its port, except that health is not a page of its."""

    def __init__(self, port: int) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(404 if self.path == "/health" else 200)
                self.end_headers()
                self.wfile.write(str(port).encode())

            def do_POST(self) -> None:
                length = len(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(f"{port} {length}".encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextmanager
def running(tool: str, text: str, home: Path) -> Iterator[None]:
    """The tool's own check of the configuration, then the tool."""
    file = home / "front"
    file.write_text(text)
    if tool == "nginx":
        whole = home / "nginx.conf"
        paths = "".join(
            f"{kind}_temp_path {home}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        whole.write_text(
            f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {home}/pid; error_log stderr;\nevents {{}}\n"
            f"http {{ access_log off; {paths} include {file}; }}\n"
        )
        words = ["nginx", "-p", str(home), "-e", "stderr", "-c", str(whole)]
        check = [*words, "-t"]
    else:
        words = ["haproxy", "-db", "-f", str(file)]
        check = ["haproxy", "-c", "-f", str(file)]
    checked = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr.lower()
    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        yield
    finally:
        process.terminate()
        process.communicate(timeout=60)


def ask(port: int, body: bytes | None = None, patience: float = 30) -> str:
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1", body, timeout=30) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("tool", ["nginx", "haproxy"])
def test_requests_reach_every_process(tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (Debian: {'nginx-light' if tool == 'nginx' else tool})")
    first, listen = free_ports()
    text = export(Job(PLAN, port=first, listen=listen), tool).text
    servers = [Server(first), Server(first + 1)]
    try:
        with running(tool, text, tmp_path):
            seen = Counter(ask(listen) for _ in range(40))
            assert set(seen) == {str(first), str(first + 1)}
            assert min(seen.values()) >= 10
            # A long prompt: 2 MiB in one request.
            assert ask(listen, bytes(2 << 20)).endswith(f" {2 << 20}")
            servers.pop().stop()
            after = Counter(ask(listen) for _ in range(10))
            assert set(after) == {str(first)}
    finally:
        for server in servers:
            server.stop()


@pytest.mark.parametrize("tool", ["nginx", "haproxy"])
def test_ports_that_cannot_be(tool: str) -> None:
    with pytest.raises(UsageError, match="add --port N"):
        export(Job(PLAN), tool)
    with pytest.raises(UsageError, match="--listen 8080 is the port of process 1"):
        export(Job(PLAN, port=8079), tool)
    with pytest.raises(UsageError, match="leaves no port"):
        export(Job(PLAN, port=65535), tool)
    assert any("lost" in note for note in export(Job(PLAN, port=8000), tool).notes)
