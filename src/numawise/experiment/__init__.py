"""Decides: compares two placements honestly, finds the best of many, keeps every trial."""
