"""The setting that says where the source keeps what is not in its database."""

from __future__ import annotations

import pytest

from project_export.credentials import Credentials
from project_export.errors import SettingRefused
from project_export.external import Locations

DECLARED = ("repositories", "uploads", "lfs_objects")


def test_locations_are_pairs_of_names_and_uris():
    setting = "uploads=/srv/my uploads, lfs_objects=s3://bucket/lfs,\n  repositories.default=/srv/a,b"
    locations = Locations.of(setting, DECLARED)
    assert locations.uri("uploads") == "/srv/my uploads"
    assert locations.uri("lfs_objects") == "s3://bucket/lfs"
    assert locations.uri("repositories", "default") == "/srv/a,b"
    assert locations.uri("repositories", "other") is None
    assert [locations.has(name) for name in DECLARED] == [False, True, True]
    assert [locations.has_any(name) for name in DECLARED] == [True, True, True]


def test_a_location_counts_for_all_parts_that_have_none_of_their_own():
    locations = Locations.of("repositories=/srv/all repositories.nfs-1=/mnt/nfs-1", DECLARED)
    assert locations.uri("repositories", "nfs-1") == "/mnt/nfs-1"
    assert locations.uri("repositories", "default") == "/srv/all"
    assert locations.uri("repositories") == "/srv/all"


@pytest.mark.parametrize("setting", ["", "  ", "\n"])
def test_without_the_setting_there_is_no_location(setting):
    locations = Locations.of(setting, DECLARED)
    assert not any(locations.has_any(name) for name in DECLARED)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("upload=/srv", "location upload is unknown; nearest: uploads"),
        ("/srv/uploads", "'/srv/uploads' is not name=URI"),
        ("uploads=", "'uploads=' is not name=URI"),
        ("uploads=srv/uploads", "uploads is neither an absolute path nor a URI; got 'srv/uploads'"),
        ("uploads=s3://", "uploads is neither an absolute path nor a URI; got 's3://'"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_wrong(setting, message):
    with pytest.raises(SettingRefused) as caught:
        Locations.of(setting, DECLARED)
    assert message in str(caught.value)


def test_a_tree_without_locations_takes_none():
    with pytest.raises(SettingRefused, match="the tree declares none"):
        Locations.of("uploads=/srv", ())


@pytest.mark.parametrize(
    "uri",
    ["s3://AKIA:CANARY@bucket", "s3://AKIA:CAN/ARY@bucket/x", "https://oauth2:CANARY@git.example", "s3://:CANARY@x"],
)
def test_a_location_with_a_password_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(SettingRefused, match="location uploads contains a password") as caught:
        Locations.of(f"uploads={uri}", DECLARED)
    assert "ARY" not in str(caught.value)


def test_a_password_without_a_name_is_not_shown_either() -> None:
    with pytest.raises(SettingRefused, match="is not name=URI") as caught:
        Locations.of("https://x:CANARY@git.example", DECLARED)
    assert "CANARY" not in str(caught.value)


def test_in_a_shell_the_password_for_git_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    locations = Locations({})
    url = "https://git.example/x.git"
    assert locations.login(url) == (url, None)
    monkeypatch.setenv("PROJECT_EXPORT_GIT_PASSWORD", "CANARY")
    same, password = locations.login(url)
    assert (same, password and password()) == (url, "CANARY")
    assert "CANARY" not in repr(Credentials().login())
