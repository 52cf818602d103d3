"""The front of several servers of one plan, for HAProxy: each request goes to the one with the fewest open.

A file of its own: `haproxy -f numawise.cfg`, or beside others with `-f` again.
"""

from __future__ import annotations

from numawise.placement.render.nginx import NOTES, front_ports
from numawise.placement.render.shared.job import Export, Job
from numawise.placement.render.shared.quoting import comments

USES = ("listen", "name")

_ABOUT = (
    "Every 2 s each server is asked for /health. Anything but an error of its own (5xx) counts as alive: servers "
    "answer 503 while they load, and 404 when they have no such page. Placement is the servers' own: numawise run."
)


def render(job: Job) -> Export:
    """A `frontend` and a `backend`. Raises UsageError without ports."""
    lines = [
        *comments([_ABOUT]),
        f"frontend {job.name}",
        "    mode http",
        f"    bind :{job.listen}",
        "    timeout client 1h",
        f"    default_backend {job.name}",
        "",
        f"backend {job.name}",
        "    mode http",
        "    balance leastconn",
        "    option httpchk GET /health",
        "    http-check expect ! rstatus ^5",
        "    option redispatch",
        "    timeout connect 5s",
        "    timeout server 1h",
        "    timeout check 5s",
        *(
            f"    server rank{rank} 127.0.0.1:{port} check inter 2s fall 2 rise 1"
            for rank, port in enumerate(front_ports(job))
        ),
        "",
    ]
    return Export({f"{job.name}.cfg": "\n".join(lines)}, NOTES)
