"""numawise: measured, verified NUMA placement."""
