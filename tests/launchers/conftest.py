"""Launchers are started for real, on this machine alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from launchers import ranks, slurm_cluster


@pytest.fixture(autouse=True)
def two_cpus() -> None:
    """Two ranks want a CPU each."""
    if len(ranks.MINE) < 2:
        pytest.skip("needs two CPUs")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm_cluster.Cluster]:
    """A Slurm of two machines, both of them this one."""
    reason = slurm_cluster.why_not()
    if reason:
        pytest.skip(reason)
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm")) as made:
        yield made
