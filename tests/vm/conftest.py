"""Tests under `inside/` run in a virtual machine with several nodes, and are reported here each by its own
name.

On the host they are collected as usual (so `-k`, `-m` and node ids select them), but instead of running here,
all that were selected run in one boot of one machine, and each item waits for its result.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from vm import guest

INSIDE = Path(__file__).parent / "inside"
RESULTS = os.environ.get("NUMAWISE_INSIDE_VM")
MACHINE = pytest.StashKey["guest.Guest"]()


class FailedInGuestError(Exception):
    """A test failed in the guest; the text is its report from there."""


class GuestItem(pytest.Item):
    """A test that runs in the guest, seen from the host."""

    def setup(self) -> None:
        reason = guest.why_not()
        if reason and os.environ.get("NUMAWISE_REQUIRE_VM") == "1":
            pytest.fail(f"NUMAWISE_REQUIRE_VM=1, but no virtual machine: {reason}", pytrace=False)
        if reason:
            pytest.skip(f"no virtual machine: {reason}")

    def runtest(self) -> None:
        record = machine_of(self.session).outcome(self.nodeid)
        if record["outcome"] == "skipped":
            pytest.skip(record["text"])
        if record["outcome"] != "passed":
            raise FailedInGuestError(record["text"])

    def teardown(self) -> None:
        # Its memory and CPUs are wanted by the tests that follow.
        last = next(item for item in reversed(self.session.items) if isinstance(item, GuestItem))
        if self is last and MACHINE in self.session.stash:
            self.session.stash[MACHINE].stop()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        if isinstance(excinfo.value, FailedInGuestError):
            return f"in the virtual machine:\n{excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.nodeid


def machine_of(session: pytest.Session) -> guest.Guest:
    """The session's machine, booted when the first test asks for it."""
    if MACHINE not in session.stash:
        wanted = [item.nodeid for item in session.items if isinstance(item, GuestItem)]
        folder = Path(session.config._tmp_path_factory.mktemp("vm"))  # type: ignore[attr-defined]
        session.stash[MACHINE] = guest.Guest(wanted, folder)
    return session.stash[MACHINE]


def pytest_itemcollected(item: pytest.Item) -> None:
    if INSIDE in item.path.parents:
        item.add_marker("vm")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> Iterator[None]:
    yield  # deselection first: only what is wanted runs in the guest
    if RESULTS is None:
        items[:] = [in_guest(item) if INSIDE in item.path.parents else item for item in items]


def in_guest(item: pytest.Item) -> GuestItem:
    twin = GuestItem.from_parent(item.parent, name=item.name)
    twin.own_markers = item.own_markers
    twin.add_marker(pytest.mark.timeout(guest.LIMIT_S + 60))  # the guest has its own limit a test
    return twin


def pytest_sessionfinish(session: pytest.Session) -> None:
    if MACHINE in session.stash:
        session.stash[MACHINE].stop()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the guest: tell the host, one line a test, when its last phase of interest is over."""
    if RESULTS is None or not (report.when == "call" or report.outcome != "passed"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    printed = "" if report.passed else "".join(f"\n--- {name}\n{text}" for name, text in report.sections)
    record = {"test": report.nodeid, "outcome": report.outcome, "text": f"{reason}{printed}"}
    with open(RESULTS, "a", encoding="utf-8") as results:
        results.write(json.dumps(record) + "\n")
