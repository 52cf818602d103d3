"""Decides: compares two placements honestly, finds the best of many, keeps every trial.

- `compare`, `tune`: the algorithms, which call the functions they are given and nothing else
- `sequential`: the interval behind every verdict, valid however often it is looked at
- `space`: the candidates of a machine
- `predict/`: what a placement should be worth before it is tried; `prior`: how far `tune` goes by it
- `trial`, `metric`, `delivered`: one run of a command, its value, and whether its placement was really there
- `study`, `leftovers`: a whole study, gone on with after a kill
- `records`: the values that are kept; `store`, `database`: where
- `profiles`: a placement by name
"""
