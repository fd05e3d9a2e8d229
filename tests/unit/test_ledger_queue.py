"""Whose turn it is, as a function of what the ledger has."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import count

import pytest

from project_export.ledger.queue import Queued, Standing

NOON = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)


def queued(
    number: int,
    user: str = "jane",
    project: int = 0,
    *,
    waiting: bool = True,
    day: int | None = None,
    awake: bool = True,
) -> Queued:
    window = None if day is None else NOON + timedelta(days=day)
    return Queued(number, ("main", "gitlab", project or number), user, waiting, window, awake)


def standing(*jobs: Queued, active: tuple[int, ...] = (), running: dict[str, int] | None = None) -> Standing:
    return Standing(jobs, {("main", "gitlab", project): 900 + project for project in active}, running or {}, {})


def order(now: Standing) -> list[int]:
    return [one.id for one in now.line()]


class Exports:
    """A queue in which jobs ask all the time: the ones that run end in the order in which they started."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.queued: list[Queued] = []
        self.running: list[Queued] = []
        self.started: list[str] = []
        self.last: dict[str, datetime] = {}
        self._numbers = count(1)

    def arrive(self, user: str, exports: int) -> None:
        self.queued += [queued(next(self._numbers), user) for _ in range(exports)]
        self.admit()

    def end_one(self) -> None:
        self.running.pop(0)
        self.admit()

    def admit(self) -> None:
        while True:
            now = Standing(self.queued, {}, Counter(one.user for one in self.running), self.last)
            ready = [one for one in self.queued if now.turn(one.id, self.most).admitted]
            if not ready:
                return
            assert len(ready) <= self.most - len(self.running)
            one = ready[-1]  # the one that asks first is any of them
            self.queued.remove(one)
            self.running.append(one)
            self.started.append(one.user)
            self.last[one.user] = NOON + timedelta(seconds=len(self.started))


@pytest.mark.parametrize("most", [1, 2, 5, 25])
def test_a_hundred_exports_of_one_user_delay_another_by_one(most: int) -> None:
    exports = Exports(most)
    exports.arrive("a", 100)
    exports.arrive("b", 1)
    assert exports.started == ["a"] * most
    exports.end_one()
    assert exports.started[most:] == ["b"]


@pytest.mark.parametrize("most", [1, 3])
def test_two_users_with_many_exports_take_turns(most: int) -> None:
    exports = Exports(most)
    exports.arrive("a", 30)
    exports.arrive("b", 30)
    for _ in range(20):
        exports.end_one()
    of_each = Counter(exports.started[most:])
    assert abs(of_each["a"] - of_each["b"]) <= most


def test_one_user_is_served_in_the_order_of_arrival() -> None:
    now = standing(*(queued(number) for number in (3, 1, 2)))
    assert order(now) == [1, 2, 3]
    assert [now.turn(number, 2).ahead for number in (1, 2, 3)] == [0, 0, 1]
    assert [now.turn(number, 2).admitted for number in (1, 2, 3)] == [True, True, False]


def test_fewest_running_exports_come_first_and_then_who_has_waited_longest() -> None:
    now = standing(queued(1, "a"), queued(2, "b"), queued(3, "c"), running={"a": 2, "b": 1, "c": 1})
    assert order(now) == [2, 3, 1]
    lately = Standing(now.queued, {}, now.running, {"b": NOON, "c": NOON - timedelta(minutes=1)})
    assert order(lately) == [3, 2, 1]


def test_a_project_has_its_oldest_window_in_line_whenever_it_arrived() -> None:
    now = standing(queued(1, project=7, day=3), queued(2, project=7, day=1), queued(3, project=7, day=2), queued(4))
    assert order(now) == [2, 4]
    turns = {number: now.turn(number, 25) for number in (1, 2, 3)}
    assert {number: (turn.admitted, turn.ahead, turn.blocker) for number, turn in turns.items()} == {
        2: (True, 0, None),
        3: (False, 1, 2),
        1: (False, 2, 2),
    }


def test_a_job_waits_for_the_active_one_of_its_project() -> None:
    now = standing(queued(1, project=7), queued(2, project=7), queued(3, project=8, waiting=False), active=(7, 8))
    assert order(now) == [3]
    assert (now.turn(1, 25).blocker, now.turn(1, 25).ahead) == (907, 1)
    assert (now.turn(2, 25).blocker, now.turn(2, 25).ahead) == (907, 2)


def test_a_job_that_has_not_asked_lately_keeps_only_its_own_project_waiting() -> None:
    now = standing(queued(1, project=7, awake=False), queued(2, project=7), queued(3))
    assert order(now) == [3]
    assert now.turn(3, 1).admitted
    assert (now.turn(2, 1).admitted, now.turn(2, 1).blocker) == (False, 1)
    assert now.turn(1, 1).admitted  # it asks again, and is the oldest
