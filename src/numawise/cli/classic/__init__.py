"""What `numawise numactl` and `numawise numastat` are made of.

- `getopt`: options as getopt_long(3) reads them
- `numactl_options`, `usage`: numactl's options, and how they are explained
- `policies`: what the options do to this process before the program takes its place
- `segments`: what they do to shared memory
- `show`, `hardware`: this process's state, and the machine's nodes
"""
