"""What holds for every test: no deadlines, and doctests of PyTorch modules only where it is installed."""

from importlib.util import find_spec

from hypothesis import settings

NEEDS_TORCH = ["src/numawise/workloads/moe/torch_engine.py"]

collect_ignore = [] if find_spec("torch") else NEEDS_TORCH

# Machines under test are shared and slow at times; how long an example takes is no part of what is checked.
settings.register_profile("numawise", deadline=None)
settings.load_profile("numawise")
