"""The project_export_rate table: how often each user has asked for something in the present minute."""

from __future__ import annotations

import math

from sqlalchemy import case, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from project_export.ledger.columns import clock
from project_export.ledger.database import Database
from project_export.ledger.models import ProjectExportRate

_MINUTE_SECONDS = 60


class Rates:
    """Limits on requests, common to all processes that share the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def wait(self, user_name: str, action: str, per_minute: int) -> int:
        """Count a request of a user; return 0 if it is allowed, else after how many seconds the next one will be.

        action: what is limited; each action counts separately. per_minute: the most requests in a minute of the
        ledger's clock, 0 if there is no limit. Concurrent requests are all counted. The wait is 1 to 60 s.
        """
        if not per_minute:
            return 0
        rate = ProjectExportRate
        with self._database.write() as connection:
            now = connection.scalars(select(clock())).one().timestamp()
            minute = int(now // _MINUTE_SECONDS)
            # A transaction that began just before the minute and waited for this row counts for the new minute.
            same = rate.minute.in_((minute, minute + 1))
            insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
            count = (
                insert(rate)
                .values(user_name=user_name, action=action, minute=minute, requests=1)
                .on_conflict_do_update(
                    index_elements=[rate.user_name, rate.action],
                    set_={
                        "minute": case((same, rate.minute), else_=minute),
                        "requests": case((same, rate.requests + 1), else_=1),
                    },
                )
                .returning(rate.requests)
            )
            requests = connection.execute(count).scalar_one()
            if requests == 1:
                # Rows that another transaction has locked are skipped, because it may be waiting for this one's.
                old = select(rate.user_name, rate.action).where(rate.minute < minute).with_for_update(skip_locked=True)
                connection.execute(delete(rate).where(tuple_(rate.user_name, rate.action).in_(old)))
        return 0 if requests <= per_minute else math.ceil(_MINUTE_SECONDS - now % _MINUTE_SECONDS)
