"""Where processes should run: `plan(topology, request) -> Plan`, pure functions without I/O.

- `values`: MemoryPolicy, Placement, Plan
- `request`: the wish, and the texts it is written in (`bind:0,1`, `200G`, `!0`)
- `nodestring`: numactl's spelling of nodes and CPUs (`all`, `!1`, `+0`, `same`, `netdev:eth0`)
- `plan`: from wish and machine to placements
- `units`: nodes, sockets, L3 domains, cores, and fair shares of them
- `gpu`: which GPUs are meant, and the CPUs that go with each
- `fit`: refuses what does not exist, is not allowed, or does not fit
- `quota`: a CPU quota against the threads of a plan
- `fill`: `{node} {gpu} {rank} {threads} ...` in commands and environment
- `render`: the same plan for numactl, taskset, and others
"""
