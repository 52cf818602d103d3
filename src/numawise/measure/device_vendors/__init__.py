"""The makers whose devices can be measured, one file each: a file with a `VENDOR` is one.

- `vendor`: what such a file holds, and `vendors()`, which finds them
- `nvidia`: copies by CUDA's driver interface, links by NVML
"""
