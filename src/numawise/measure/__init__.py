"""How fast memory is, from where to where: the matrices, and everything that gives a figure its meaning.

- `values`: what was measured; `Measurements` is the whole of it, kept as this machine's profile
- `figure`: repeated readings of one quantity
- `device`: between host memory and devices, and how devices are linked; `device_values` are its values and
  `device_vendors` holds a package for each vendor
"""
