"""Versions in a tree file: since when and until when the application has a key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import yaml

from project_export.errors import nearest
from project_export.tree.model import Relation, Span
from project_export.tree.nodes import Fields, Nodes

_VERSION = r"\d+(?:\.\d+)*"
_SPAN = re.compile(rf"({_VERSION})|({_VERSION})\.\.({_VERSION})?")


def dated(nodes: Nodes, relation: Relation, fields: Fields, tops: tuple[Relation, ...] = ()) -> Relation:
    """Return a relation with its attributes `since` and `until`; those of the root may name top-level relations too.

    Raises TreeError for an invalid version, a name in `since` that the relation lacks, and one in `until` that it has.
    """
    names = {key.name for key in relation.keys} | {part.name for part in (*relation.children, *tops)}

    def check(name: str, item: yaml.Node, *, there: bool) -> None:
        if there and name not in names:
            nodes.fail(item, f"since: {relation.name} has no {name}; {nearest(name, names)}")
        if not there and name in names:
            nodes.fail(item, f"until: {relation.name} still has {name}")

    def dates(attribute: str, read: Callable[[str], Span]) -> Iterator[tuple[str, Span]]:
        for name, span, item in spans(nodes, attribute, fields.get(attribute), read):
            check(name, item, there=attribute == "since")
            yield name, span

    return replace(relation, since=tuple(dates("since", since)), until=tuple(dates("until", until)))


def spans(
    nodes: Nodes, attribute: str, node: yaml.Node | None, read: Callable[[str], Span]
) -> Iterator[tuple[str, Span, yaml.Node]]:
    """Yield the names that an attribute lists by version, each with its span and its node."""
    seen = []
    for version, items in nodes.pairs(node, attribute, raw=True):
        try:
            span = read(version.value if isinstance(version, yaml.ScalarNode) else "")
        except ValueError as error:
            nodes.fail(version, f"{attribute}: {error}")
        for item in nodes.items(items, attribute):
            name = nodes.text(item)
            seen.append((name, item))
            yield name, span, item
    nodes.unique(seen, f"{attribute}:")


def since(text: str) -> Span:
    """Return when something was added: `18.9`, `17.10..18.9` or `18.9..`. Raises ValueError for anything else.

    >>> since("18.9"), since("18.9..")
    (Span(before=None, after='18.9'), Span(before='18.9', after=None))
    """
    alone, span = _read(text)
    return Span(None, alone) if alone else span


def until(text: str) -> Span:
    """Return when something was removed: `17.3`, the last version with it, or `13.5..15.5`. Raises ValueError.

    >>> until("17.3"), until("13.5..15.5")
    (Span(before='17.3', after=None), Span(before='13.5', after='15.5'))
    """
    alone, span = _read(text)
    return Span(alone, None) if alone else span


def _read(text: str) -> tuple[str, Span]:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a version; write 17.3, or 17.3..17.7 for a change between the two")
    alone, before, after = found.groups()
    if before and after and _numbers(before) >= _numbers(after):
        raise ValueError(f"{text!r} ends before it starts")
    return alone or "", Span(before, after)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
