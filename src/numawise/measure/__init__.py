"""How fast memory is, from where to where: the matrices, and everything that gives a figure its meaning.

- `values`: what was measured; `Measurements` is the whole of it, kept as this machine's profile
- `figure`: repeated readings of one quantity
- `run`: the whole, or a part of it: `Run(topology, what).go()`, with the time divided over the readings
- `parts/`: what is measured, one file a part; `registry` finds them, `wanted` holds what they ask for
- `places`: which CPUs and nodes take part
- `bench`: taking one reading; `pieces` gives each thread its memory, `buffer` places it and looks where it is,
  `room` says how much may be taken
- `alone`: had the measuring threads their CPUs to themselves?
- `kept`: this machine's measurements between runs: `load`, `merge`, `keep`
- `claims`: what SLIT, HMAT and published machines say of the same quantities
- `words`: one figure as one line
- `device`: between host memory and devices, and how devices are linked; `device_values` are its values and
  `device_vendors` holds a package for each vendor
"""
