"""Tasks of several sources: each runs with the connection and the settings of its own."""

from __future__ import annotations

import pytest

from tests import library
from tests.dags.task_instances import connections

URI = "postgresql://jane:s3cret@127.0.0.1:1/crm"


@pytest.fixture
def crm(monkeypatch, tmp_path):
    """A second source, which is a library. Airflow's connections are that of the default one and this one."""
    connections(monkeypatch)
    monkeypatch.setenv("AIRFLOW_CONN_CRM", URI)
    monkeypatch.setenv("PROJECT_EXPORT_SOURCES", "crm")
    monkeypatch.setenv("PROJECT_EXPORT_STORE", "file:///srv/gitlab")
    monkeypatch.setenv("PROJECT_EXPORT_STORE__CRM", "file:///srv/crm")
    monkeypatch.setenv("PROJECT_EXPORT_TREE__CRM", str(library.write_tree(tmp_path)))


def test_a_task_has_the_context_of_the_source_of_its_run(crm):
    from project_export.airflow.context import task_context, task_settings

    ctx = task_context("crm")
    assert (ctx.source, ctx.settings.store, ctx.tree.name) == ("crm", "file:///srv/crm", "library")
    assert task_settings("crm").tree == ctx.settings.tree
    default = task_context()
    assert (default.source, default.settings.store, default.tree.name) == (
        "project_export_source",
        "file:///srv/gitlab",
        "gitlab",
    )
    assert default.sources == ("project_export_source", "crm")


def test_contexts_lead_to_each_other_over_one_ledger(crm):
    from project_export.airflow.context import task_context

    ctx = task_context()
    other = ctx.of("crm")
    assert other.ledger is ctx.ledger
    assert (other.source, other.of("project_export_source")) == ("crm", ctx)
    assert ctx.of("crm") is other
    assert ctx.of("elsewhere") is ctx


def test_a_source_that_is_not_allowed_is_refused(crm):
    from project_export.airflow.context import task_context
    from project_export.errors import BadRequest

    with pytest.raises(BadRequest, match="source project_export_ledger is unknown"):
        task_context("project_export_ledger")


def test_params_of_other_trees_count_only_if_somebody_set_them(crm):
    from project_export.airflow.context import of_tree, task_context
    from project_export.errors import BadRequest
    from project_export.request import Request

    ctx = task_context("crm")
    params = {"source": "crm", "project_id": 1, "description": None, "motto": "Read"}
    assert of_tree(params, ctx) == {"source": "crm", "project_id": 1, "motto": "Read"}
    with pytest.raises(BadRequest, match="parameter description is unknown"):
        Request.from_params(of_tree({**params, "description": "x"}, ctx), ctx.tree)


def test_the_form_offers_the_sources_and_everything_that_their_trees_have(crm):
    from project_export.airflow.form import export_params

    params = export_params()
    assert (params["source"].value, params["source"].schema["enum"]) == (
        "project_export_source",
        ["project_export_source", "crm"],
    )
    assert {"issues", "books"} <= set(params["relations"].schema["examples"])
    assert {"description", "motto"} <= set(params)


def test_the_form_does_not_ask_for_the_only_source(monkeypatch):
    from project_export.airflow.form import export_params

    monkeypatch.delenv("PROJECT_EXPORT_SOURCES", raising=False)
    assert "source" not in export_params()
