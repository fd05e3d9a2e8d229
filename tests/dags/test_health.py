"""What `project-export check --airflow` finds out about Airflow itself."""

from __future__ import annotations

import re

import pytest


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        ((0, '[{"pool": "exports", "slots": "4"}]'), None),
        ((0, 'a warning\n[{"pool": "exports", "slots": "0"}]'), 'no slots.*airflow pools set exports 4 "exports"'),
        ((1, "Pool exports does not exist"), 'does not exist. Create it: airflow pools set exports 4 "exports"'),
    ],
)
def test_a_pool_that_is_missing_or_empty_is_found(pools, said):
    from project_export.airflow.health import findings

    answers = {"pools": pools, "config": (0, "http://127.0.0.1:1")}
    pool, scheduler, triggerer = findings("exports", lambda *command: answers[command[0]])
    assert (pool.check, pool.error is None) == ("pool exports", said is None)
    assert said is None or re.search(said, str(pool.error))
    for service in (scheduler, triggerer):
        assert "http://127.0.0.1:1/api/v2/monitor/health does not answer" in str(service.error)
