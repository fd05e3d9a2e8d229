"""How GitLab reads: batches of 100 records with an object-relational mapper that preloads nested records.

The classes only have the exported columns, which is cheaper than ActiveRecord's `SELECT *`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from bench.peers.shape import Shape, accepted, batches, bound_tree, connect, escaped
from project_export.tree import BoundTree, Relation

BATCH = 100
_TYPES: dict[str, Any] = {
    "int2": sa.SmallInteger, "int4": sa.Integer, "int8": sa.BigInteger, "bool": sa.Boolean, "text": sa.Text,
    "varchar": sa.Text, "date": sa.Date, "timestamp": sa.DateTime, "timestamptz": lambda: sa.DateTime(timezone=True),
    "bytea": sa.LargeBinary, "jsonb": postgresql.JSONB, "float8": sa.Float,
}  # fmt: skip


def read(uri: str, every: int) -> Iterator[bytes]:
    """Yield the issues in batches of 100."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: connect(uri))
    with connect(uri) as conn:
        bound = bound_tree(conn)
        issues = _Mapped(bound.relation("issues"), bound)
        with engine.connect() as bind:
            for ids in batches(conn, BATCH, every):
                with orm.Session(bind) as session:
                    query = sa.select(issues.cls).where(issues.cls.id.in_(ids))
                    found = {issue.id: issue for issue in session.scalars(query)}
                    for key in ids:
                        text = json.dumps(
                            issues.record(found[key]), ensure_ascii=False, separators=(",", ":"), default=str
                        )
                        yield escaped(text.encode()) + b"\n"


class _Mapped:
    """A relation as a mapped class. Each relation has its own class, because each nests other relations."""

    def __init__(self, relation: Relation, bound: BoundTree) -> None:
        types = dict(bound.catalogue[relation.table])
        self.relation = relation
        self.shape = Shape(relation, types)
        extra = ["id"] if "id" in types else [own for own, _ in relation.join]
        extra += [column for column, _ in accepted(relation.where)] + [order.column for order in relation.order]
        names = dict.fromkeys((*extra, *self.shape.columns))
        keys = {"id"} if "id" in types else set(relation.key) & set(names) or set(names)
        columns = [sa.Column(name, _TYPES[types[name]](), primary_key=name in keys) for name in names]
        self.table = sa.Table(relation.table, sa.MetaData(), *columns)
        self.children = [_Mapped(child, bound) for child in relation.children]
        nested = {f"nested_{child.relation.name}": self._relationship(child) for child in self.children}
        self.cls: Any = type(relation.name, (), {})
        orm.registry().map_imperatively(self.cls, self.table, properties=nested)
        self._values = attrgetter(*self.shape.columns, *self.shape.columns[:1])  # two at least: always a tuple

    def _relationship(self, child: _Mapped) -> orm.Relationship[Any]:
        ((own, parent),) = child.relation.join
        theirs, ours = child.table.c[own], self.table.c[parent]
        to_one = own == "id"
        joined = theirs == orm.foreign(ours) if to_one else orm.foreign(theirs) == ours
        conditions = [child.table.c[column].in_(values) for column, values in accepted(child.relation.where)]
        return orm.relationship(
            child.cls,
            primaryjoin=sa.and_(joined, *conditions),
            uselist=not child.relation.one,
            order_by=[child.table.c[order.column] for order in child.relation.order] or False,
            lazy="selectin",
            viewonly=True,
        )

    def record(self, item: Any) -> dict[str, Any]:
        """Return an object's record with everything nested in it."""
        record = self.shape.record(self._values(item))
        for child in self.children:
            nested = getattr(item, f"nested_{child.relation.name}")
            if not child.relation.one:
                record[child.relation.name] = [child.record(one) for one in nested]
            elif nested is not None:
                record[child.relation.name] = child.record(nested)
        self.shape.close(record)
        return record
