"""The many-arm comparison of `numawise bench`, and what it says.

- `scenarios`: the placements that matter on a machine; `suite`: the arms, built in or of a command
- `blocks`: the comparison, pure; `run`: the same as a study, with real trials
- `results`: each arm's figures; `advice`: what they say, by `rules/`, one file a rule
"""
