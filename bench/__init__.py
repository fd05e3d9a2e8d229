"""Benchmarks: ours beside its peers, on the same data, in one interleaved run."""

PROJECT_ID = 1
"""The project that is measured."""
