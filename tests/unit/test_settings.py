"""Settings come from the environment; what has no default is named when it is missing."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from project_export.errors import SettingMissing
from project_export.settings import Settings


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
