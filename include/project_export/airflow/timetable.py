"""When the DAG of many projects runs: by a cron expression, or only when somebody backfills it."""

from __future__ import annotations

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from airflow.timetables.interval import CronDataIntervalTimetable

from project_export.airflow.form import setting

_DAYS = "0 0 * * *"


class BackfillTimetable(CronDataIntervalTimetable):
    """Intervals that can be backfilled, although none of them ever starts a run by itself.

    Airflow refuses to backfill a DAG without a schedule. It asks for the runs of a backfill with `catchup`, and for the
    next scheduled run as the DAG says, which is without.
    """

    @property
    def summary(self) -> str:
        """What the list of DAGs shows as the schedule."""
        return "only backfilled"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next run of a backfill; None for the scheduler."""
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )


def timetable() -> Timetable:
    """Return the timetable that the settings `schedule` and `schedule_zone` describe. Each run has a real interval."""
    zone = setting("schedule_zone", "UTC")
    cron = setting("schedule", "")
    return CronDataIntervalTimetable(cron, zone) if cron else BackfillTimetable(_DAYS, zone)
