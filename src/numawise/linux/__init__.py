"""The only room that speaks to the kernel: system calls through ctypes, and parsers of procfs and sysfs text.

- `cpuset`: sets of CPUs and nodes, in the kernel's list and hex forms
- `syscalls`: memory policies, page placement and migration
- `listeners`: who listens on a TCP port
- `become`: exec, as a C program would
- `prctl`, `signals`: process attributes, signals as a descriptor
- `powercap`, `perf_events`: energy counters of processors, events of the performance monitor
- `procfs`, `pagemap`: a process's state, threads, mappings and present pages
- `sysfs`, `nodes`, `cgroup`: text of /sys, the node of each CPU, control groups and their cpusets
- `node_figures`, `device_nodes`: memory and counters of each node, the node of a device by its name
- `shared_memory`: System V segments and files that keep a memory policy of their own
- `advice`: reading pages in, by address
- `smaps`: pages of a mapping by size
- `cpu_quota`, `memory_limit`: what control groups leave of CPU time and of memory
- `own_policy`: the memory policy this process has
- `container`: the container runtime we are in, and how it allows a refused call
- `home`: where numawise keeps what it learned
- `files`: whole files or none, and their page cache
- `settings`, `idle`: what of this machine sways measurements, and how long its CPUs had nothing to do
"""
