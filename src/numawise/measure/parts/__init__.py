"""The parts of a measurement, one file each; a file that calls `registry.part` is one.

- `latency`: ns of a dependent load, from every node with CPUs to every node with memory
- `bandwidth`: GB/s of all cores of a node, from every node with memory, kernel by kernel
- `aggregate`: GB/s of all cores of the machine, each from its own node, and interleaved
- `scaling`: GB/s of 1, 2, ... cores of a node
- `loaded`: latency while others draw more and more bandwidth
- `pages`: latency in ordinary and in huge pages
- `smt`: GB/s with one thread a core and with all siblings
- `core_to_core`: ns for a cache line to go from one core to another
"""
