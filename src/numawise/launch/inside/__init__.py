"""Placing the process that runs this: its threads, its pages, its data loader's workers, arrays it asks for.

- `bind`: `bind`, to nodes, CPUs, a memory policy or a plan
- `gpu`, `rank`: `bind_to_gpu` and `bind_rank`, next to a GPU or as the rank that a launcher started
- `policy`: `memory_policy`, for a scope of one thread
- `arrays`: `empty` and `empty_tensor`, whose pages are on the nodes asked for
- `dataloader`: `worker_init_fn` and `data_loader_options`, for the workers of a PyTorch DataLoader
- `place`: the steps all of these take, in order, and taken back where they fail
- `threads`, `pages`: threads that run already, pages that have been touched already
- `openmp`: runtimes that are loaded, and settings of theirs that undo a binding
- `wishes`: from arguments of these functions to a Request; `values`: what they return
"""
