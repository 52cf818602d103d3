"""The compiled measuring kernels (C, one shared library) and their thin binding.

- `kernels/`: the C sources. A kernel is one file of one shape (`kernel.h`) that enters itself in the table
- `library`: finding and loading the shared library, wherever the package is spread
- `buffers`: the address of anything with a buffer
- `binding`: `kernel_names()`, `kernel(name)`, `run_kernel(name, buffer, ...)`; `Kernel`, `KernelRun`
- `parallel`: `run_on_threads(name, buffers, seconds=...)`, the same on several threads at once
"""
