"""Settings come from the environment, then from layers below it; what guards comes from the environment alone."""

from __future__ import annotations

import pytest

from project_export.errors import SettingRefused
from project_export.settings import ENVIRONMENT_ONLY, Layer, Settings

EXTRA, VARIABLE = "{} in the extra", "the Variable project_export_{}"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PROJECT_EXPORT_{name.upper()}", raising=False)


def test_the_environment_comes_before_the_first_layer_and_that_before_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_UNITS", "2")
    extra = Layer(EXTRA, {"units": 3, "part_rows": 30, "zone": "Europe/Berlin"})
    variables = Layer(VARIABLE, {"units": "4", "part_rows": "40", "job_days": "14"})
    settings = Settings.over(extra, variables)
    found = (settings.units, settings.part_rows, settings.zone, settings.job_days, settings.batch_rows)
    assert found == (2, 30, "Europe/Berlin", 14, 1000)


def test_an_empty_variable_of_the_environment_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_ZONE", "")
    assert Settings().zone == "UTC"
    assert Settings.over(Layer(VARIABLE, {"zone": "Europe/Berlin"})).zone == "Europe/Berlin"


@pytest.mark.parametrize("name", sorted(ENVIRONMENT_ONLY))
def test_what_guards_or_is_read_when_a_dag_is_parsed_comes_from_the_environment_only(name: str) -> None:
    with pytest.raises(SettingRefused, match=rf"the Variable project_export_{name} is not allowed.*set PROJECT_EXPORT"):
        Settings.over(Layer(VARIABLE, {name: "project"}))


def test_roots_of_files_and_all_permissions_guard() -> None:
    allow = {name for name in Settings.model_fields if "allow_" in name}
    assert allow == {"allow_absent", "allow_tables", "allow_row_security", "upload_allow_private"}
    environment = {"access", "store", "sources", "locations", "missing_files", "git_user", "tree", "temporary_folder"}
    assert allow | environment == {name for name, reason in ENVIRONMENT_ONLY.items() if "guards" in reason}


def test_all_that_is_wrong_is_listed_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_BATCH_ROWS", "0")
    extra = Layer(EXTRA, {"zon": "UTC", "source_conn_id": "other"}, ("source_conn_id",))
    with pytest.raises(SettingRefused) as caught:
        Settings.over(extra, Layer(VARIABLE, {"units": "many"}))
    said = str(caught.value)
    assert "zon in the extra names no setting; nearest: zone" in said
    assert "source_conn_id in the extra has no effect here: set PROJECT_EXPORT_SOURCE_CONN_ID" in said
    assert "PROJECT_EXPORT_BATCH_ROWS must be at least 1; got '0'" in said
    monkeypatch.delenv("PROJECT_EXPORT_BATCH_ROWS")
    with pytest.raises(SettingRefused, match="the Variable project_export_units must be an integer"):
        Settings.over(Layer(VARIABLE, {"units": "many"}))
