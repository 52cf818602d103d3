"""What this machine (or one in a file) is: `read(root="/") -> Topology`, and `save`.

- `topology`: the value
- `codec`: its JSON form, and that of every other value
"""
