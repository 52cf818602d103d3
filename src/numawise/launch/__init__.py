"""Applies a Plan: starts the processes where they belong, supervises them, passes signals and exit codes on.

- `apply`: what the forked child does to itself before exec, down the permission ladder
- `process`: starting one process, and hearing what went wrong before its exec
- `supervise`: a whole launch, to its end
- `servers`: a launch of servers: restarted, asked for their health, stopped together
- `values`: how a launch ends, and when it is looked at
- `output`: where the processes' output goes
- `ranks`: which rank of a launcher's (torchrun, srun, mpirun ...) this process is, and where it belongs
- `launchers`: one file a launcher: the variables it sets
- `rank_places`, `rank_gpus`, `rank_words`: a rank's cores and memory, its GPU, and what is to be said
- `inside`: the same for the program that calls it, threads and pages that exist already included
- `rank_binding`: what the launcher has bound already
"""
