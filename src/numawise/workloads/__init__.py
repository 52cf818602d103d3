"""Built-in programs to tune and measure with; each runs by itself, as `python -m numawise.workloads.NAME`.

- `registry`: what there is, found by looking into this folder: `names`, `get`, `command`, `Workload`
- `moe_einsum`: the experts of a Mixtral-like layer, with NumPy or PyTorch; its parts are in `moe/`

To add one: a module here that can be run with -m and holds a frozen `WORKLOAD = Workload(...)`, and one test.
Keep NumPy and PyTorch out of its top level: looking at the registry must not load them.
"""

from numawise.workloads.registry import Workload, command, get, names

__all__ = ["Workload", "command", "get", "names"]
