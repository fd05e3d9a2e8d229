"""Batches of records, each made step by step as the rows of its statements arrive.

What makes documents of rows is a generator. It yields a statement that it needs the rows of, or several such generators
whose results it needs. So all nested relations of a batch are asked for at once, and the next batch is asked for while
this one is put together: the server does not wait for the client, nor the client for the server.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from project_export.source.node import Node
from project_export.source.session import Session
from project_export.source.sql import LONGEST

_FEW = 8  # statements on their way, at which the next batch is asked for

_T = TypeVar("_T")

Keyed = tuple[Node, Sequence[tuple[bytes, ...]]]
"""Keys of a relation's records."""
Row = tuple[Any, ...]
"""Of a `Select`: join values, link values, flags (if any), the keys after nested relations (if any), the record."""


@dataclass(frozen=True)
class Asked:
    """A statement whose rows are needed.

    what: for error messages. counted: whether its rows are records. prepared: see `Pipeline.send`.
    """

    query: bytes
    params: Mapping[str, Any]
    what: str
    counted: bool = True
    prepared: bool = False


@dataclass(frozen=True)
class Alone:
    """A call that uses the session itself, and whose result is needed."""

    call: Callable[[], Any]


Making = Generator["Asked | Alone | list[Making[Any]]", Any, _T]
"""Makes something of the rows of statements."""


@dataclass(eq=False)
class Batch(Generic[_T]):
    """What is made together. result: None as well if it does not fit into `budget` bytes.

    oddities, omissions: what was counted meanwhile. keys: those of its records, and their relation.
    """

    budget: float = math.inf
    result: _T | None = None
    done: bool = False
    oddities: Counter[str] = field(default_factory=Counter)
    omissions: Counter[str] = field(default_factory=Counter)
    keys: Keyed | None = None

    def take(self, size: int) -> None:
        """Use `size` bytes of the budget. Raises TooLarge."""
        self.budget -= size
        if self.budget < 0:
            raise TooLarge


class TooLarge(Exception):
    """The batch exceeds its budget. It is always caught in this module."""


@dataclass(eq=False)
class _Step:
    """A generator that waits, and what gets its result."""

    batch: Batch[Any]
    making: Making[Any]
    end: Callable[[Any], None]


class Batches:
    """Reads batches through a session, which others may use only while none is unfinished.

    current: the batch that is being worked on; between batches, one that has counted what all together have.
    keys: those of the batch that was worked on last, with their relation.
    """

    def __init__(self, session: Session) -> None:
        self.keys: Keyed | None = None
        self.total: Batch[Any] = Batch()
        self.current = self.total
        self._session = session
        self._waiting: deque[tuple[_Step, Asked]] = deque()
        self._alone: deque[tuple[_Step, Alone]] = deque()
        self._arriving: Iterator[list[Row]] | None = None
        """Reads the rows of the first statement."""
        self._rows: list[Row] = []
        """Those of them that have been read."""

    def start(self, batch: Batch[_T], making: Making[_T]) -> None:
        """Begin to make a batch: send its first statements."""

        def end(result: _T) -> None:
            batch.result, batch.done = result, True

        self._run(_Step(batch, making, end), None)

    def finish(self, batch: Batch[_T]) -> _T | None:
        """Work until a batch is made, and return its result; None if it does not fit.

        Raises SourceRefused, SourceBusy.
        """
        while not batch.done:
            self.go_on()
        if all(step.batch.done for step, _ in self._waiting):  # nothing, or the rest of one that does not fit
            self.settle()
        if batch.result is not None:
            self.total.oddities.update(batch.oddities)
            self.total.omissions.update(batch.omissions)
        result, batch.result = batch.result, None  # only the caller holds it
        return result

    @property
    def few(self) -> bool:
        """Whether the server is about to have nothing to do."""
        return len(self._waiting) <= _FEW

    @property
    def ready(self) -> bool:
        """Whether `go_on` does not have to wait for the server. Raises SourceBusy."""
        if not self._waiting:
            return True
        with self._session.piped(self._waiting[0][1].what) as pipeline:
            return pipeline.ready

    def advance(self) -> None:
        """Work on what has arrived."""
        if self._waiting and self.ready:
            self.go_on()

    def go_on(self) -> None:
        """Read rows of the first statement: those that have arrived, or the next ones.

        After the last ones, go on with what waits for them.
        """
        if self._waiting:
            step, asked = self._waiting[0]
            if self._read(step.batch, asked):
                self._waiting.popleft()
                rows, self._rows = self._rows, []
                self._run(step, rows)
        else:
            step, alone = self._alone.popleft()
            self._session.pipeline.close()
            self._run(step, alone.call())

    def settle(self) -> None:
        """Make all that has been started, so that others can use the session."""
        while self._waiting or self._alone:
            self.go_on()
        self._session.pipeline.close()

    def close(self) -> None:
        """Give up all that has been started."""
        self._waiting.clear()
        self._alone.clear()
        self._arriving, self._rows = None, []
        self._session.pipeline.close()

    def _read(self, batch: Batch[Any], asked: Asked) -> bool:
        """Add to the rows of the first statement, unless their batch does not fit; return whether they are complete."""
        self.keys = batch.keys or self.keys
        with self._session.piped(asked.what) as pipeline:
            self._arriving = self._arriving or pipeline.rows()
            for some in self._arriving:  # to the end in any case
                if asked.counted and not batch.done:
                    sizes = [len(row[-1]) for row in some]
                    size = sum(sizes)
                    batch.budget -= math.inf if size > LONGEST < max(sizes) else size
                if batch.budget < 0:
                    self._drop(batch)
                if batch.done:
                    self._rows.clear()
                else:
                    self._rows += some
                if not pipeline.ready:
                    return False
        self._arriving = None
        return True

    @staticmethod
    def _drop(batch: Batch[Any]) -> None:
        batch.done, batch.result = True, None

    def _run(self, step: _Step, value: Any) -> None:
        batch = step.batch
        if batch.done:  # it does not fit
            step.making.close()
            return
        self.keys = batch.keys or self.keys
        before, self.current = self.current, batch
        try:
            wanted = step.making.send(value)
        except StopIteration as stopped:
            step.end(stopped.value)
        except TooLarge:
            self._drop(batch)
        else:
            self._want(step, wanted)
        finally:
            self.current = before

    def _want(self, step: _Step, wanted: Asked | Alone | list[Making[Any]]) -> None:
        if isinstance(wanted, Alone):
            self._alone.append((step, wanted))
        elif isinstance(wanted, Asked):
            with self._session.piped(wanted.what) as pipeline:
                pipeline.send(wanted.query, wanted.params, prepared=wanted.prepared)
            self._waiting.append((step, wanted))
        else:
            self._gather(step, wanted)

    def _gather(self, step: _Step, makings: Sequence[Making[Any]]) -> None:
        """Run several generators, and go on with the results of all."""
        results: list[Any] = [None] * len(makings)
        left = len(makings)

        def ended(at: int, result: Any) -> None:
            nonlocal left
            results[at] = result
            left -= 1
            if not left:
                self._run(step, results)

        for at, making in enumerate(makings):
            self._run(_Step(step.batch, making, partial(ended, at)), None)
