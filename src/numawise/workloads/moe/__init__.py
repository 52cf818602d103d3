"""The parts of the mixture-of-experts workload.

- `layer`: shapes, the work and traffic of each operation, who computes which tokens; pure
- `storage`: one block of memory that holds all weights
- `numpy_engine`, `torch_engine`: the same layer, as people write it with either
- `timing`: passes and the time of each operation in them
- `workers`: several processes that compute at the same time
- `result`: what one worker measured, all of them together, the table and the JSON line
"""
