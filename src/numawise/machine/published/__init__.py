"""Machines whose figures somebody published: what is normal for a kind of machine, and a machine to predict for.

One JSON file a machine in `data/`; its name there is the machine's name. To add one, add its file: the tests
read every file of the folder, and docs/prediction.md says what each field means.

- `values`: what a file holds, and the `Topology` of such a machine
- `loader`: `names`, `get`, `similar`, `normal`
"""

from __future__ import annotations

from numawise.machine.published.loader import get, names, normal, similar
from numawise.machine.published.values import Link, Normal, Published

__all__ = ["Link", "Normal", "Published", "get", "names", "normal", "similar"]
