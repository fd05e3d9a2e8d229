"""Paths of the API as they were sent, whatever a server or a proxy has made of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

SENT = [
    ("/api/v4/projects/a%2Fb/export", "", "/projects/a%2Fb/export"),
    ("/api/v4/projects/a%2fb%2Fc", "", "/projects/a%2Fb%2Fc"),
    ("/base/api/v4/projects/1/", "/base", "/projects/1"),
    ("/base/api%2Fv4/projects/%31", "/base", "/projects/1"),
    ("/api/v4/projects/a%252Fb", "", "/projects/a%252Fb"),
    ("/api/v4/projects/%C3%B6", "", "/projects/%C3%B6"),
    ("/api/v4/projects/%FF", "", "/projects/%EF%BF%BD"),
    ("/api/v4/projects/api/v4/projects", "", "/projects/api/v4/projects"),
    ("/api/v4", "", ""),
    ("/api/v4/", "", ""),
]


def scope(sent: str, base: str, **more: Any) -> dict[str, Any]:
    """Return the scope of a request below the mount of the API, as Starlette makes it."""
    made = {"path": unquote(sent), "raw_path": sent.encode(), "root_path": f"{base}/api/v4", "app_root_path": base}
    return {**made, **more}


@pytest.mark.parametrize(("sent", "base", "expected"), SENT)
def test_each_part_of_a_path_stays_one_part(sent: str, base: str, expected: str) -> None:
    from project_export.airflow.web.gitlab.paths import below_mount

    assert below_mount(scope(sent, base)) == expected
    assert below_mount(scope(sent, base, raw_path=f"{sent}?a=/b".encode())) == expected


def test_a_proxy_may_cut_the_base_path_off() -> None:
    from project_export.airflow.web.gitlab.paths import below_mount

    assert below_mount(scope("/api/v4/projects/a%2Fb", "/base")) == "/projects/a%2Fb"
    assert below_mount(scope("/basement/projects", "/base")) == "/basement/projects"


def test_a_server_may_not_know_the_path_as_it_was_sent() -> None:
    from project_export.airflow.web.gitlab.paths import below_mount

    assert below_mount(scope("/api/v4/projects/1/export", "", raw_path=None)) == "/projects/1/export"
