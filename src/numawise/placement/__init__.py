"""Where processes should run: `plan(topology, request) -> Plan`, pure functions without I/O.

- `values`: MemoryPolicy, Placement, Plan
"""
