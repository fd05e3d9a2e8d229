"""Settings come from the environment; what has no default is named when it is missing."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from project_export.errors import SettingMissing
from project_export.formats import FORMATS
from project_export.settings import Settings
from project_export.tree import DEFAULT


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PROJECT_EXPORT_{name.upper()}", raising=False)


@pytest.mark.parametrize("field", ["store", "gitlab_version", "gitlab_revision"])
def test_a_setting_without_a_default_is_named_when_it_is_missing(field: str) -> None:
    with pytest.raises(SettingMissing, match=f"^PROJECT_EXPORT_{field.upper()} is not set"):
        Settings().required(field)


def test_a_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_EXPORT_STORE", "file:///srv/exports")
    monkeypatch.setenv("PROJECT_EXPORT_UNITS", "7")
    monkeypatch.setenv("PROJECT_EXPORT_OF_ANOTHER_VERSION", "x")
    settings = Settings()
    assert (settings.required("store"), settings.units) == ("file:///srv/exports", 7)


def test_every_setting_that_a_format_names_is_one() -> None:
    for format in FORMATS.values():
        assert {format.version, *format.settings} <= Settings.model_fields.keys()


def test_the_tree_by_default_is_the_same_for_settings_and_for_what_reads_none() -> None:
    assert Settings().tree == DEFAULT


@pytest.mark.parametrize(
    ("name", "value"),
    [("UNITS", "0"), ("UNITS", "many"), ("CONSISTENCY", "none"), ("BATCH_ROWS", "-1"), ("HEARTBEAT_SECONDS", "0")],
)
def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PROJECT_EXPORT_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
