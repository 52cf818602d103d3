"""The GPUs of a machine: which there are, in what numbering, on which node, with which network card near them.

- `values`: Gpu, Gpus, Witness
- `reader`: `read_gpus`, which puts together what the files below find
- `witnesses`: the node of a device by `numa_node`, NVML and `local_cpulist`
- `vendors`: one file a maker: numbering, UUIDs, inherited restrictions, and the variable that makes GPUs visible
- `nvml`: what NVIDIA's management library knows, where the package pynvml is installed
- `nics`: the network cards nearest to a device, by PCI path
"""
