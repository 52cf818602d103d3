"""Whether the ports of a launch are free, asked before anything is started."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from numawise.errors import UsageError
from numawise.linux.listeners import holders

_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def check_free(ports: Iterable[int], host: str | None = None) -> None:
    """Raise UsageError, naming the port and who holds it, when a server could not listen on one of `ports`.

    What counts is the loopback address and `host`, where the servers are said to be: somebody listening on another
    address of this machine only is not in the way of a server on these. A server that listens on all addresses will
    say so itself. Nothing is said of ports that may not be bound without a capability: the server may have it.
    """
    places = dict.fromkeys(_LOOPBACKS)
    if host is not None:
        places[socket.AF_INET6 if ":" in host else socket.AF_INET, host] = None
    for port in ports:
        if any(_is_taken(family, address, port) for family, address in places):
            by = ", ".join(f"process {holder.pid} ({holder.name})" for holder in holders(port))
            raise UsageError(
                f"port {port} is taken{f' by {by}' if by else ''}: bind answered EADDRINUSE; "
                "end what holds it, or give another --port"
            )


def _is_taken(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
            # As servers do: connections that have ended and wait out their time are not in the way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen(1)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
