"""Keeps several servers up: one a placement, each on a port of its own, restarted, asked for their health, stopped.

- `values`: the rules of a launch of servers, and its events
- `supervisor`: the launch itself, from the first start to the end of the last instance
- `processes`: starting, signalling, killing and reaping whole instances
- `instance`: one server: which state it is in, and when it is due for something
- `restart`: how long to wait before the next start, and when to give up
- `health`, `asking`: asking a port by TCP or HTTP, without ever waiting, and who is asked
- `ports`: whether a port is taken before the start, and by whom
- `pipes`, `relay`: what the servers write, copied on without ever waiting for its reader
- `loop`: waiting for many descriptors at once
- `ready`: telling others that all are healthy: a file, and systemd
- `guard`: a process that ends the servers should this one be killed
- `members`: what belongs to an instance: its session, and what left that
"""
