"""Several sources: which connections a request may name, and where each takes its settings from."""

from __future__ import annotations

import pytest

from project_export.errors import BadRequest, SettingRefused
from project_export.settings import ENVIRONMENT_ONLY, PER_SOURCE, SHARED, Layer, Settings
from project_export.sources import Sources, handed_over
from project_export.variables import own


@pytest.fixture(autouse=True)
def two_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PROJECT_EXPORT_{name.upper()}", raising=False)
    monkeypatch.setenv("PROJECT_EXPORT_SOURCE_CONN_ID", "main")
    monkeypatch.setenv("PROJECT_EXPORT_SOURCES", " crm-db, main,crm-db ,")


def sources() -> Sources:
    return Sources.of(Settings())


def refused() -> str:
    with pytest.raises(SettingRefused) as caught:
        sources()
    return str(caught.value)


def test_a_request_names_one_of_them_or_gets_the_default_one() -> None:
    assert sources().all == ("main", "crm-db")
    assert [sources().chosen(name) for name in (None, "", "main", "crm-db")] == ["main", "main", "main", "crm-db"]
    with pytest.raises(BadRequest, match="source crm is unknown; nearest: crm-db"):
        sources().chosen("crm")


def test_a_source_takes_its_own_variables_first_and_then_what_every_source_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_STORE", "file:///srv/exports")
    monkeypatch.setenv("PROJECT_EXPORT_ZONE", "Europe/Berlin")
    monkeypatch.setenv("PROJECT_EXPORT_UNITS", "3")
    monkeypatch.setenv("PROJECT_EXPORT_TREE__CRM_DB", "/trees/crm.yaml")
    monkeypatch.setenv("PROJECT_EXPORT_ZONE__CRM_DB", "")
    monkeypatch.setenv("PROJECT_EXPORT_UNITS__MAIN", "2")
    extra = Layer("{} in the extra", {"zone": "Asia/Tokyo", "part_rows": 7})
    found = {name: sources().settings(name, extra) for name in sources().all}
    taken = {name: (its.tree, its.store, its.zone, its.units, its.part_rows) for name, its in found.items()}
    assert taken == {
        "main": ("gitlab", "file:///srv/exports", "Europe/Berlin", 2, 7),
        "crm-db": ("/trees/crm.yaml", "file:///srv/exports", "UTC", 3, 7),
    }
    assert [its.source_conn_id for its in found.values()] == ["main", "crm-db"]


def test_an_invalid_value_is_named_by_the_variable_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_UNITS__CRM_DB", "many")
    assert sources().settings("main").units == 4
    with pytest.raises(SettingRefused, match="PROJECT_EXPORT_UNITS__CRM_DB must be an integer"):
        sources().settings("crm-db")


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("PROJECT_EXPORT_ZON__CRM_DB", "PROJECT_EXPORT_ZON__CRM_DB names no setting; nearest: zone"),
        ("PROJECT_EXPORT_ZONE__CRM", "PROJECT_EXPORT_ZONE__CRM is for no source: PROJECT_EXPORT_SOURCES does not name"),
        ("PROJECT_EXPORT_POOL__CRM_DB", "PROJECT_EXPORT_POOL__CRM_DB is not allowed, since all sources share it"),
    ],
)
def test_a_variable_of_one_source_that_has_no_effect_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    monkeypatch.setenv(variable, "UTC")
    assert said in refused()


def test_two_sources_must_not_share_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_SOURCES", "crm-db,crm.db")
    assert "several sources share the variables that end with __CRM_DB" in refused()


@pytest.mark.parametrize("name", sorted(PER_SOURCE))
def test_what_is_about_the_content_of_the_default_source_must_be_set_for_the_others(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variable = f"PROJECT_EXPORT_{name.upper()}"
    monkeypatch.setenv(variable, "x=1")
    assert f"{variable} is for main only: set {variable}__CRM_DB as well, to nothing if it has none" in refused()
    monkeypatch.setenv(f"{variable}__CRM_DB", "")
    assert getattr(sources().settings("crm-db"), name) == ""
    assert getattr(sources().settings("main"), name) == "x=1"


def test_rules_and_places_of_one_source_are_not_those_of_another() -> None:
    assert {"access", "locations", "allow_absent", "allow_tables"} == PER_SOURCE
    assert {"ledger_conn_id", "source_conn_id", "sources", "pool", "archive_hours", "job_days"} <= SHARED
    assert not SHARED & {"tree", "store", "zone", "gitlab_version", "gitlab_revision", *PER_SOURCE}


def test_another_process_hands_over_all_but_what_the_environment_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_TREE__CRM_DB", "/trees/crm.yaml")
    monkeypatch.setenv("PROJECT_EXPORT_ZONE__CRM_DB", "Asia/Tokyo")
    task = sources().settings("crm-db").model_copy(update={"zone": "Europe/Berlin"})
    monkeypatch.delenv("PROJECT_EXPORT_ZONE__CRM_DB")
    settings = handed_over(task.model_dump(exclude={*ENVIRONMENT_ONLY}))
    assert (settings.source_conn_id, settings.tree, settings.zone) == ("crm-db", "/trees/crm.yaml", "Europe/Berlin")


def test_variables_of_no_source_are_none_of_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_STORE", "file:///srv")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "4")
    assert own() == []
