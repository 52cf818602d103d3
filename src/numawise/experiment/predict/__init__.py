"""What a placement should be worth before it is tried: a roofline over nodes, links and cores, with its error.

Pure functions, but for `profile`; docs/prediction.md has the formulas, where every parameter comes from, and how far
to believe it.

- `expect`: `expectations`, for a work on a machine: relative time of each plan, its error, and why
- `machine`: the machine as the model sees it: from measurements, a published machine, or priors
- `work`: what a program does: bytes, operations, dependent loads; given, or read off a short run of it
- `parameters`: everything that is believed and not measured, with where it is from
- `places`: a plan as shares of threads and pages on nodes
- `model`: the time of a work at its places
- `profile`: a short run of a program, and the machine's kept measurements
"""

from __future__ import annotations

from numawise.experiment.predict.expect import Predicted, expectations
from numawise.experiment.predict.machine import Machine, from_measurements, from_priors, from_published
from numawise.experiment.predict.work import Work, from_run

__all__ = [
    "Machine",
    "Predicted",
    "Work",
    "expectations",
    "from_measurements",
    "from_priors",
    "from_published",
    "from_run",
]
