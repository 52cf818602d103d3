"""The only room that speaks to the kernel: system calls through ctypes, and parsers of procfs and sysfs text.

- `cpuset`: sets of CPUs and nodes, in the kernel's list and hex forms
- `syscalls`: memory policies, page placement and migration
- `prctl`: process attributes
- `procfs`: a process's threads, mappings and status
"""
