"""Benchmarks: each prints a table, or with --json one object a line."""
