"""Connections of Airflow as credentials: for buckets with and without a provider, for git, and never shown."""

from __future__ import annotations

import json
import logging

import pytest

from project_export.errors import SettingMissing, SettingRefused, StoreRefused, StoreUnusable
from project_export.external import Locations, open_external
from tests.dags.task_instances import connections


@pytest.fixture
def credentials():
    from project_export.airflow.credentials import ConnectionCredentials

    return ConnectionCredentials("git_server")


@pytest.fixture
def connection(monkeypatch):
    def make(name, **fields):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "aws", **fields}))

    return make


def test_a_bucket_is_read_with_a_connection_although_no_provider_is_installed(tmp_path, connection, credentials):
    buckets = pytest.importorskip("tests.buckets")
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "file").write_bytes(b"content")
    with buckets.Buckets(tmp_path) as server:
        extra = {"endpoint_url": server.url, "region_name": "us-east-1"}
        connection("minio", login=buckets.KEY, password=buckets.SECRET, extra=extra)
        with open_external("s3://minio@bucket", credentials).open("file", 7) as file:
            assert file.read() == b"content"
        connection("minio", login=buckets.KEY, password="CANARY/another", extra=extra)
        with pytest.raises(StoreRefused, match="s3://bucket/file: EACCES") as caught:
            open_external("s3://minio@bucket", credentials).open("file", 7)
        assert "CANARY" not in str(caught.value)


def test_login_password_and_extra_are_options_of_s3fs(connection, credentials):
    extra = {
        "region_name": "eu-west-1",
        "verify": "/etc/ssl/own.pem",
        "endpoint_url": "https://s3.example",
        "aws_session_token": "CANARY-token",
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    connection("minio", login="AKIA", password="CANARY", extra=extra)
    opened = credentials.filesystem("s3", "minio", "locations")
    fs = opened.fs
    assert (fs.key, fs.secret, fs.token, fs.endpoint_url) == ("AKIA", "CANARY", "CANARY-token", "https://s3.example")
    assert fs.client_kwargs == {"region_name": "eu-west-1", "verify": "/etc/ssl/own.pem"}
    assert fs.config_kwargs == {"s3": {"addressing_style": "path"}}
    assert opened.secrets == {"AKIA", "CANARY", "CANARY-token"}
    assert "CANARY" not in repr(opened)


def test_credentials_may_be_in_the_extra_or_missing(connection, credentials):
    connection("minio", extra={"aws_access_key_id": "AKIA", "aws_secret_access_key": "CANARY"})
    fs = credentials.filesystem("s3", "minio", "locations").fs
    assert (fs.key, fs.secret) == ("AKIA", "CANARY")
    connection("minio")
    fs = credentials.filesystem("s3", "minio", "locations").fs
    assert (fs.key, fs.secret) == (None, None)


def test_an_extra_that_only_the_provider_understands_is_refused(connection, credentials):
    connection("minio", extra={"role_arn": "arn:aws:iam::1:role/CANARY", "profile_name": "x", "region_name": "y"})
    with pytest.raises(
        SettingRefused, match=r"'minio' has profile_name, role_arn, which only .*-amazon\[s3fs\]"
    ) as one:
        credentials.filesystem("s3", "minio", "locations")
    assert "CANARY" not in str(one.value)


def test_a_provider_that_knows_the_scheme_makes_the_file_system(monkeypatch, connection, credentials):
    asked = []
    monkeypatch.setattr("airflow.sdk.io.has_fs", lambda scheme: scheme == "gs")
    monkeypatch.setattr("airflow.sdk.io.get_fs", lambda *words: asked.append(words) or "a file system")
    connection("google", conn_type="google_cloud_platform", extra={"keyfile_dict": '{"private_key": "CANARY"}'})
    opened = credentials.filesystem("gs", "google", "locations")
    assert (opened.fs, asked) == ("a file system", [("gs", "google")])
    assert opened.secrets == {'{"private_key": "CANARY"}'}
    with pytest.raises(SettingRefused, match="no provider that is installed opens abfs://"):
        credentials.filesystem("abfs", "google", "locations")


def test_what_a_provider_raises_is_an_error_without_secrets(monkeypatch, connection, credentials):
    def refuse(*_):
        raise ImportError("s3://AKIA:CANARY-secret@bucket is wrong, and so is CANARY-token")

    monkeypatch.setattr("airflow.sdk.io.has_fs", lambda _: True)
    monkeypatch.setattr("airflow.sdk.io.get_fs", refuse)
    connection("minio", login="AKIA", password="CANARY-secret", extra={"nested": {"token": "CANARY-token"}})
    with pytest.raises(StoreUnusable, match=r"ImportError, .* is wrong") as caught:
        credentials.filesystem("s3", "minio", "locations")
    assert "CANARY" not in str(caught.value)


def test_secrets_of_a_connection_are_masked_in_the_log_of_a_task(monkeypatch, connection, credentials):
    from airflow.sdk._shared.secrets_masker import redact

    extra = {"aws_session_token": "a session", "region_name": "eu-west-1"}
    connection("minio", login="AKIANAME", password="keep quiet", extra=extra)
    credentials.filesystem("s3", "minio", "locations")
    said = redact("failed with keep quiet, a session in eu-west-1 as AKIANAME")
    assert said == "failed with ***, *** in eu-west-1 as AKIANAME"


def test_a_connection_that_is_missing_is_named_with_the_setting(credentials):
    with pytest.raises(SettingMissing, match="no connection 'nosuch', which PROJECT_EXPORT_LOCATIONS names"):
        credentials.filesystem("s3", "nosuch", "locations")
    with pytest.raises(SettingMissing, match="no connection 'git_server', which PROJECT_EXPORT_GIT_CONN_ID names"):
        credentials.login()


def test_the_login_for_git_is_that_of_its_connection(connection, credentials, caplog):
    caplog.set_level(logging.DEBUG)
    connection("git_server", conn_type="http", login="export bot", password="glpat-CANARY")
    url, password = Locations({}, credentials).login("https://git.example/group/project.git")
    assert url == "https://export%20bot@git.example/group/project.git"
    assert password() == "glpat-CANARY"
    assert Locations({}, credentials).login("https://jane@git.example/x.git")[0] == "https://jane@git.example/x.git"
    assert Locations({}, credentials).login("ssh://git@git.example/x.git") == ("ssh://git@git.example/x.git", None)
    assert "CANARY" not in caplog.text + repr(credentials.login())


def test_no_connection_for_git_is_needed(monkeypatch):
    from project_export.airflow.credentials import ConnectionCredentials

    monkeypatch.setenv("PROJECT_EXPORT_GIT_PASSWORD", "not in Airflow")
    url = "https://git.example/x.git"
    assert Locations({}, ConnectionCredentials("")).login(url) == (url, None)


def test_a_task_looks_up_no_connection_before_it_needs_it(monkeypatch):
    from project_export.airflow.context import task_context

    connections(monkeypatch)
    monkeypatch.setenv("PROJECT_EXPORT_GIT_CONN_ID", "nosuch")
    monkeypatch.setenv("PROJECT_EXPORT_LOCATIONS", "uploads=s3://nosuch@bucket, repositories=https://git.example/")
    monkeypatch.setenv("PROJECT_EXPORT_STORE", "s3://nosuch@exports")
    ctx = task_context()
    with pytest.raises(SettingMissing, match="'nosuch', which PROJECT_EXPORT_STORE names"):
        ctx.store.check()
    locations = ctx.locations()
    with pytest.raises(SettingMissing, match="'nosuch', which PROJECT_EXPORT_LOCATIONS"):
        locations.files("uploads")
    with pytest.raises(SettingMissing, match="'nosuch', which PROJECT_EXPORT_GIT_CONN_ID"):
        locations.login("https://git.example/x.git")
