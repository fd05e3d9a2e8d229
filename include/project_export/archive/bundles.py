"""Git bundles in an archive: whether one is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from project_export.repositories import BundleReader

BundleCheck = Callable[[Iterable[bytes]], list[str]]
"""Reads a bundle to its end and returns what is wrong with it."""


def bundle_problems(chunks: Iterable[bytes]) -> list[str]:
    """Return what is wrong with a bundle; nothing if it is whole. Only a clone shows whether it lacks objects."""
    reader = BundleReader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader.end()
