"""Which numawise this is."""

from __future__ import annotations


def installed_version() -> str:
    """The version that is installed; empty when this is a source tree that was never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("numawise")
    except PackageNotFoundError:
        return ""
