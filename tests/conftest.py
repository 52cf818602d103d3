"""What all tests share: where things are, and which tests this machine cannot run."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path

import pytest

collect_ignore = ["programs"]  # started, not imported: they find each other by lying in one folder

REPO = Path(__file__).resolve().parents[1]

# Under nohup, or in the background of a script, these come ignored, and what tests start would ignore them as well.
for _signum, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_signum) is signal.SIG_IGN:
        signal.signal(_signum, _handler)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of the small programs that tests start."""
    return REPO / "tests/programs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("torch"):
        return
    skip = pytest.mark.skip(reason="PyTorch is not installed; make test WITH_TORCH=1 installs it")
    for item in items:
        if item.get_closest_marker("torch"):
            item.add_marker(skip)
