from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_export.ledger.scrub import scrub


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgresql://user:secret@host/db", "postgresql://***@host/db"),
        ("postgresql://user:se@cr/et?@host:5432/db?sslmode=require", "postgresql://***@host:5432/db?sslmode=require"),
        (
            "at s3://key:secret@bucket/x, twice s3://key:secret@bucket/y",
            "at s3://***@bucket/x, twice s3://***@bucket/y",
        ),
        ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
        ("host=h password = 'two words' dbname=d", "host=h password = *** dbname=d"),
        (r"password=two\ words dbname=d", "password=*** dbname=d"),
        (r"password='it\'s' dbname=d", "password=*** dbname=d"),
        ("password='never ended\nhost=h", "password=***\nhost=h"),
        ('{"password": "secret", "user": "jane"}', '{"password": ***, "user": "jane"}'),
        ("PGPASSWORD=secret psql", "PGPASSWORD=*** psql"),
        ("GET https://h/x?private_token=secret", "GET https://h/x?private_token=***"),
        ("PRIVATE-TOKEN: secret", "PRIVATE-TOKEN: ***"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("aws_secret_access_key=abc/def+g", "aws_secret_access_key=***"),
        ("PUT https://h/x?X-Amz-Signature=abc", "PUT https://h/x?X-Amz-Signature=***"),
        ("PUT https://h/x?sv=1&sig=abc%3D", "PUT https://h/x?sv=1&sig=***"),
        ("AccountName=a;AccountKey=abc==", "AccountName=a;AccountKey=***"),
    ],
)
def test_credentials_are_removed_and_the_rest_is_kept(text: str, kept: str) -> None:
    assert scrub(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        'permission denied for table "notes" [42501]',
        'password authentication failed for user "jane"',
        'column "runners_token" does not exist',
        "cannot reach http://db.example:8080/health at 12:30",
        "mail to jane@example.org",
        "config: 3, design=new",
        "line one\nline two\ttabbed",
    ],
)
def test_a_text_without_credentials_does_not_change(text: str) -> None:
    assert scrub(text) == text


def test_characters_that_a_text_column_cannot_store_are_escaped() -> None:
    assert scrub("a\x00b\ud800c") == "a\\x00b\\ud800c"


def test_a_long_text_is_not_shortened() -> None:
    text = "x" * 100_000 + " password=secret " + "y" * 100_000
    assert scrub(text) == "x" * 100_000 + " password=*** " + "y" * 100_000


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Z"], exclude_characters="'\""), min_size=1))
def test_any_password_in_a_url_is_removed(password: str) -> None:
    assert scrub(f"no answer from postgresql://jane:{password}@host/db") == "no answer from postgresql://***@host/db"
