"""How fast memory is, from where to where: the matrices, and everything that gives a figure its meaning.

- `values`: what was measured; `Measurements` is the whole of it, kept as this machine's profile
"""
