"""What the commands share.

- `group`: finds commands by file name, imports them when called
- `selection`: the options that say where, as one table
- `options`: click's side of that table
- `resolve`: from given options to a Plan for this machine
- `rank`: the same for one rank that a launcher started
"""
