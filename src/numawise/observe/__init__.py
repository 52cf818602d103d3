"""Where pages and threads really are. Looks, never changes.

- `look`: `residency`, of a process, a range of memory or an array: the front door
- `process`, `processes`: one process by sampling; a program with all that it started, taken together
- `exact`: every page of a process, from numa_maps
- `threads`: the CPU, node and affinity of each thread
- `array`: the pages of an array, strided views included
- `frame`, `sample`: numbered lists of pages, and drawing evenly from them
- `interval`: how far a sampled share can be off
- `values`: what was seen; `errors`: what can stand in the way
- `energy`: joules of the processor packages meanwhile; `energy_counters`: who is asked for them
- `node_statistics`: memory, counters and processes by node, as tables
- `proof`: did a launch put everything where it should be?
"""

from numawise.observe.errors import ProcessGone
from numawise.observe.exact import exact_residency
from numawise.observe.interval import wilson
from numawise.observe.look import residency, residency_of_range
from numawise.observe.processes import merge, residency_of_pids, tree
from numawise.observe.threads import threads
from numawise.observe.values import NodeShare, Residency, ThreadPlace

__all__ = [
    "NodeShare",
    "ProcessGone",
    "Residency",
    "ThreadPlace",
    "exact_residency",
    "merge",
    "residency",
    "residency_of_pids",
    "residency_of_range",
    "threads",
    "tree",
    "wilson",
]
