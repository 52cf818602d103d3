"""The compiled measuring kernels (C, one shared library) and their thin binding.

- `kernels/`: the C sources. A kernel is one file of one shape (`kernel.h`) that enters itself in the table; what
  starts, pins and times them is in `kernels/engine/`
- `library`: finding and loading the shared library, wherever the package is spread
- `buffers`: the address of anything with a buffer
- `table`: `kernel_names()`, `kernel(name)`; `Kernel`
- `isa`: `isas()`, the instruction sets that the kernels have here; NUMAWISE_ISA chooses one
- `binding`: `run_kernel(name, buffer, ...)` on this thread; `KernelRun`
- `parallel`: `run_on_threads(name, buffers, seconds=...)`, the same on several threads at once
- `team`: `run_team(tasks, ...)`, pinned threads that meet before every repeat, background traffic; `Task`, `TeamRun`
- `pingpong`: `core_to_core(cpu_a, cpu_b)`, the latency between two cores
"""
