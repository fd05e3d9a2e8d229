"""Benchmarks: our export and its peers, on the same data, in interleaved rounds."""

PROJECT_ID = 1
"""The project that is exported."""
