"""The options of `run` that keep servers up, and the lines that say what happens to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast, get_args

from numawise.cli.shared.selection import Option, whole_number
from numawise.errors import UsageError
from numawise.placement.fill import mentions

if TYPE_CHECKING:
    from numawise.launch.servers.values import Event, Health, Restart, RestartWhen, Rules

SERVER_OPTIONS = (
    Option(("--restart",), "WHEN", "start a server again that has ended: no (default), on-failure, always"),
    Option(
        ("--restart-delay",),
        "S[:MOST]",
        "seconds before the first restart, doubled before each further one up to MOST (1:60)",
    ),
    Option(("--max-restarts",), "N", "give a server up after N restarts in a row (10); unlimited: never"),
    Option(("--restart-reset",), "SECONDS", "a server healthy for so long starts to count anew (60)"),
    Option(("--health",), "CHECK", "tcp, or http:/PATH: asked on {port}; 200 to 399 is healthy"),
    Option(("--health-host",), "ADDRESS", "the address that servers are asked on (127.0.0.1)"),
    Option(("--health-interval",), "SECONDS", "between two questions (5)"),
    Option(("--health-timeout",), "SECONDS", "a question not answered for so long has failed (2)"),
    Option(("--health-failures",), "N", "failed questions in a row that make a server unhealthy (3)"),
    Option(("--start-timeout",), "SECONDS", "a server not healthy so long after its start has failed (600)"),
    Option(("--ready-file",), "FILE", "made when all servers are healthy, removed when they are stopped"),
)
_GO_WITH_HEALTH = ("health-host", "health-interval", "health-timeout", "health-failures", "start-timeout")
_GO_WITH_RESTART = ("restart-delay", "max-restarts", "restart-reset")


def are_servers(values: Mapping[str, Sequence[str]], command: Iterable[str], processes: int) -> bool:
    """Is this a launch of servers: an option of theirs is given, or several processes are each told a port?"""
    if any(option.name in values for option in SERVER_OPTIONS):
        return True
    return processes > 1 and tells_port(values, command)


def tells_port(values: Mapping[str, Sequence[str]], command: Iterable[str]) -> bool:
    """Is a port given, and told to the processes in their command or environment?"""
    return "port" in values and any(mentions(word, "port") for word in (*command, *values.get("env", ())))


def health_host(values: Mapping[str, Sequence[str]]) -> str | None:
    """The address that servers are asked on, if one is given. Raises UsageError for one that is not numeric."""
    if "health-host" not in values:
        return None
    import socket

    host = values["health-host"][-1]
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        raise UsageError(
            f"--health-host takes an address such as 127.0.0.1 or ::1, not {host!r}; names are not looked up"
        ) from None
    return host


def rules_from(values: Mapping[str, Sequence[str]]) -> Rules:
    """How the options want servers supervised; what `run` itself has (--grace, --strict ...) is for it to add."""
    from numawise.launch.servers.values import Rules

    for names, lead in ((_GO_WITH_HEALTH, "health"), (_GO_WITH_RESTART, "restart")):
        for name in names:
            if name in values and lead not in values:
                raise UsageError(f"--{name} goes with --{lead}")
    if "health" in values and "port" not in values:
        raise UsageError(
            "--health asks servers on their ports; give the first with --port, and {port} to the command"
        )
    return Rules(
        restart=_restart(values),
        health=_health(values) if "health" in values else None,
        ready_file=values["ready-file"][-1] if "ready-file" in values else None,
    )


def _restart(values: Mapping[str, Sequence[str]]) -> Restart:
    from numawise.launch.servers.values import Restart, RestartWhen

    default = Restart()
    when = values.get("restart", [default.when])[-1]
    if when not in get_args(RestartWhen):
        raise UsageError(f"--restart takes one of {', '.join(get_args(RestartWhen))}, not {when!r}")
    first_s, longest_s = default.first_delay_s, default.longest_delay_s
    if "restart-delay" in values:
        first, colon, most = values["restart-delay"][-1].partition(":")
        first_s = seconds("restart-delay", first, zero=True)
        longest_s = seconds("restart-delay", most, zero=True) if colon else max(longest_s, first_s)
        if longest_s < first_s:
            raise UsageError(f"--restart-delay {first}:{most}: the longest delay is shorter than the first")
    limit: int | None = default.most
    if "max-restarts" in values:
        text = values["max-restarts"][-1]
        limit = {"unlimited": None, "0": 0}.get(text, -1)
        if limit == -1:
            limit = whole_number("max-restarts", text, most=1_000_000)
    return Restart(
        when=cast("RestartWhen", when),
        first_delay_s=first_s,
        longest_delay_s=longest_s,
        most=limit,
        reset_s=_given_seconds(values, "restart-reset", default.reset_s, zero=True),
    )


def _health(values: Mapping[str, Sequence[str]]) -> Health:
    from numawise.launch.servers.values import Health

    default = Health()
    check = values["health"][-1]
    kind, _, path = check.partition(":")
    printable = path.isascii() and path.isprintable() and " " not in path
    if check != "tcp" and not (kind == "http" and path.startswith("/") and printable):
        raise UsageError(f"--health takes tcp or http:/PATH (http:/health, say), not {check!r}")
    return Health(
        kind="tcp" if check == "tcp" else "http",
        path=path or "/",
        host=health_host(values) or default.host,
        interval_s=_given_seconds(values, "health-interval", default.interval_s),
        timeout_s=_given_seconds(values, "health-timeout", default.timeout_s),
        start_timeout_s=_given_seconds(values, "start-timeout", default.start_timeout_s),
        failures=whole_number("health-failures", values["health-failures"][-1])
        if "health-failures" in values
        else default.failures,
    )


def _given_seconds(
    values: Mapping[str, Sequence[str]], name: str, default: float, *, zero: bool = False
) -> float:
    return seconds(name, values[name][-1], zero=zero) if name in values else default


def seconds(name: str, text: str, *, zero: bool = False) -> float:
    """Read a time given to option `name`, up to a day. Raises UsageError for anything else, and for 0 unless `zero`.

    >>> seconds("health-timeout", "0.5")
    0.5
    """
    limit_s = 86400
    digits = text.replace(".", "", 1)
    if digits.isascii() and digits.isdigit() and float(text) <= limit_s and (zero or float(text) > 0):
        return float(text)
    least = "0" if zero else "more than 0"
    raise UsageError(f"--{name} takes seconds, {least} to {limit_s}, not {text!r}")


def event_writer(say: Callable[[str], None], *, as_json: bool, silent: bool) -> Callable[[Event], None]:
    """What writes each event as it happens: a line of text, of JSON, or nothing."""

    def write(event: Event) -> None:
        if as_json:
            from numawise.machine.codec import to_json

            say(to_json(event).decode())
        elif not silent:
            say(f"numawise: {event.line()}")

    return write
