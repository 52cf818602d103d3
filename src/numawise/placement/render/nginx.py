"""The front of several servers of one plan, for nginx: each request goes to the one with the fewest open.

To be included in nginx's `http` block, as files in /etc/nginx/conf.d are.
"""

from __future__ import annotations

from numawise.errors import UsageError
from numawise.placement.render.shared.job import Export, Job
from numawise.placement.render.shared.quoting import comments

USES = ("listen", "name")

_ABOUT = (
    "nginx without Plus looks at no server of its own accord: one that fails to answer 3 requests within 10 s gets "
    "none for 10 s, and a request it did not accept goes to the next. Placement is the servers' own: numawise run."
)


def render(job: Job) -> Export:
    """An `upstream` and a `server`. Raises UsageError without ports."""
    ports = front_ports(job)
    lines = [
        *comments([_ABOUT]),
        f"upstream {job.name} {{",
        f"    zone {job.name} 64k;  # connections are counted by all workers together, not by each for itself",
        "    least_conn;",
        *(f"    server 127.0.0.1:{port} max_fails=3 fail_timeout=10s;" for port in ports),
        "    keepalive 32;",
        "}",
        "server {",
        f"    listen {job.listen};",
        "    location / {",
        f"        proxy_pass http://{job.name};",
        "        proxy_http_version 1.1;",
        '        proxy_set_header Connection "";',
        "        proxy_set_header Host $host;",
        "        proxy_buffering off;  # answers that come token by token go out as they come",
        "        proxy_read_timeout 1h;",
        "        client_max_body_size 0;",
        "    }",
        "}",
        "",
    ]
    return Export({f"{job.name}.conf": "\n".join(lines)}, NOTES)


NOTES = (
    "CPUs and memory policies are lost: a front only shares requests out; start the servers with numawise run",
)


def front_ports(job: Job) -> list[int]:
    """The servers' ports. Raises UsageError when there are none, or the front's own is among them."""
    ports = job.ports("a front passes on to the ports of the processes")
    if job.listen in ports:
        raise UsageError(
            f"--listen {job.listen} is the port of process {job.listen - ports[0]}; take one outside "
            f"{ports[0]} to {ports[-1]}"
        )
    return ports
