"""Built-in programs to tune and measure with; each runs by itself, as `python -m numawise.workloads.NAME`."""
