"""The GPUs of a machine in a tree of files, as the tests of each maker ask for them."""

from __future__ import annotations

from pathlib import Path

from trees import Tree

from numawise.machine.gpus.reader import read_gpus
from numawise.machine.gpus.values import Gpus
from numawise.machine.reader import read_tree
from numawise.machine.root import open_root


def gpus(tree: Tree, folder: Path, **environment: str) -> Gpus:
    """What is read of `tree`, written to `folder`, by a program with these variables only."""
    root = open_root(tree.folder(folder))
    return read_gpus(read_tree(root), root, environment)


def seen(found: Gpus) -> list[str]:
    """Addresses in the program's numbering."""
    return [gpu.address for gpu in found.visible]
