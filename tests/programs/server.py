"""A small server with bad habits, for tests of supervision.

    python -S server.py PORT MARKER [HABIT ...]

It answers HTTP on PORT: `/pid` with its process id, `/health` with 503 while the file MARKER.sick exists, and not at
all while MARKER.mute exists. Habits: deaf (ignores SIGTERM), brood (three processes more: one forked, one in a session
of its own, one started by a shell), never (does not listen), quit:CODE (ends at once), orderly (ends on SIGTERM
with exit code 0), chatty (writes without end), late:SECONDS (listens so much later).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time


def main(port: int, marker: str, habits: list[str]) -> None:
    if "deaf" in habits:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "orderly" in habits:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if "brood" in habits:
        brood(marker)
    for habit in habits:
        name, _, value = habit.partition(":")
        if name == "quit":
            sys.exit(int(value))
        if name == "late":
            time.sleep(float(value))
    while "never" in habits:
        time.sleep(60)
    with socket.create_server(("127.0.0.1", port)) as server:
        print("listening", flush=True)
        if "chatty" in habits and os.fork() == 0:
            while True:
                os.write(1, b"x" * 99 + b"\n")
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                answer(connection, marker)


def answer(connection: socket.socket, marker: str) -> None:
    request = connection.recv(4096).decode()
    if os.path.exists(f"{marker}.mute"):
        time.sleep(3600)
    status = "503 Sick" if os.path.exists(f"{marker}.sick") else "200 OK"
    body = str(os.getpid()) if request.startswith("GET /pid") else "hello"
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


def brood(marker: str) -> None:
    if os.fork() == 0:
        time.sleep(3600)
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    subprocess.Popen(["setsid", sys.executable, "-S", "-c", "import time; time.sleep(3600)", marker])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
