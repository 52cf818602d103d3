"""Applies a Plan: starts the processes where they belong, supervises them, passes signals and exit codes on."""
