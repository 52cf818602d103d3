"""The Docker daemon that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from containers.daemon import Docker, daemon


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A daemon of our own; skips, with the reason, where none can be had."""
    with daemon() as made:
        yield made
