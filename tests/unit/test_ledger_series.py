"""Which archives of a series stay, and why."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from project_export.ledger.series import Keep, Kept, staying

NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)  # a Monday
FULL, CHANGES = (("main", "gitlab", 42, mode) for mode in ("full", "changes"))


def full(job_id: int, days_ago: float, *, whole: bool = True, expired: bool = True) -> Kept:
    return Kept(job_id, FULL, NOON - timedelta(days=days_ago), whole, expired)


def change(job_id: int, predecessor_id: int, days_ago: float, *, expired: bool = True) -> Kept:
    return Kept(job_id, CHANGES, NOON - timedelta(days=days_ago), True, expired, predecessor_id)


def test_nothing_stays_unless_a_setting_or_another_archive_says_so() -> None:
    assert staying([full(1, 2), full(2, 1)], Keep()) == {}


def test_the_last_archive_of_each_of_the_last_days_stays() -> None:
    archives = [full(1, 5), full(2, 3), full(3, 1.1), full(4, 1), full(5, 0.3, expired=False), full(6, 1, whole=False)]
    assert staying(archives, Keep(daily=3)) == {
        2: "the last archive of 2026-11-27 (daily)",
        4: "the last archive of 2026-11-29 (daily)",
    }


def test_weeks_and_months_are_represented_by_their_last_archive() -> None:
    archives = [full(number, 40 - number) for number in range(1, 40)]
    assert staying(archives, Keep(weekly=2, monthly=2)) == {
        10: "the last archive of 2026-10-31 (monthly)",
        32: "the last archive of 2026-11-22 (weekly)",
        39: "the last archive of 2026-11-29 (weekly)",
    }


@pytest.mark.parametrize("mode", ["full", "changes"])
def test_a_window_that_ends_at_midnight_belongs_to_the_day_before(mode: str) -> None:
    midnight = datetime(2026, 11, 28, tzinfo=timezone.utc)
    archive = Kept(1, ("main", "gitlab", 42, mode), midnight.astimezone(timezone(timedelta(hours=9))), True, True)
    assert staying([archive], Keep(daily=1)) == {1: "the last archive of 2026-11-27 (daily)"}


def test_series_do_not_mix() -> None:
    other = Kept(3, ("main", "gitlab", 43, "full"), NOON, True, True)
    assert set(staying([full(1, 1), change(2, 99, 0), other], Keep(daily=1))) == {1, 2, 3}


def test_a_base_stays_while_an_archive_complements_it_through_others() -> None:
    archives = [full(1, 9), change(2, 1, 8), change(3, 2, 7), change(4, 3, 0, expired=False), change(5, 1, 6)]
    assert staying(archives, Keep()) == {
        1: "the archive of job 2 needs it",
        2: "the archive of job 3 needs it",
        3: "the archive of job 4 needs it",
    }
    assert staying(archives[:2], Keep()) == {}
    assert staying(archives[:2], Keep(), needed={2, 77}) == {
        1: "the archive of job 2 needs it",
        2: "an active job needs it",
    }
    kept = staying(archives[:3], Keep(weekly=1))
    assert (kept[3], kept[1]) == ("the last archive of 2026-11-23 (weekly)", "the last archive of 2026-11-21 (weekly)")


def test_a_ring_of_predecessors_ends() -> None:
    assert staying([change(1, 2, 5), change(2, 1, 5)], Keep(), needed={1}) == {
        1: "an active job needs it",
        2: "the archive of job 1 needs it",
    }
