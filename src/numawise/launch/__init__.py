"""Applies a Plan: starts the processes where they belong, supervises them, passes signals and exit codes on.

- `apply`: what the forked child does to itself before exec, down the permission ladder
- `process`: starting one process, and hearing what went wrong before its exec
- `supervise`: a whole launch, to its end
- `values`: how a launch ends, and when it is looked at
- `output`: where the processes' output goes
"""
