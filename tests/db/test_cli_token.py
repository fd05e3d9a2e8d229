"""The command for tokens of the API: it lists and revokes them, and knows no secret."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from project_export.ledger import Ledger
from tests.commands import Ran, run

NAMES = ["token", "user", "name", "state", "created", "used", "expires", "revoked"]


@pytest.fixture
def secrets(ledger: Ledger) -> list[str]:
    """The secrets of three tokens; the first was used and then revoked, the second has expired."""
    made = [
        ledger.tokens.create(user, name, {"sub": "s3cret"}, 3600)
        for user, name in (
            ("jane", "backup [nightly]"),
            ("jane", "old"),
            ("joe", "ci"),
        )
    ]
    assert ledger.tokens.find(made[0][1])
    ledger.tokens.revoke(made[0][0].id)
    return [secret for _, secret in made]


@pytest.fixture(autouse=True)
def expired(secrets: list[str], ledger_dsn: str) -> None:
    with psycopg.connect(ledger_dsn) as conn:
        conn.execute("UPDATE project_export_token SET expires_at = now() WHERE name = 'old'")


def listed(ledger_dsn: str, *more: str) -> list[dict[str, Any]]:
    return list(json.loads(succeeded("list", "--ledger", ledger_dsn, "--json", *more).stdout))


def succeeded(*arguments: str) -> Ran:
    done = run(["token", *arguments])
    assert done.exit_code == 0, done.output
    return done


def test_tokens_are_listed_newest_first_with_their_state(ledger_dsn: str) -> None:
    rows = listed(ledger_dsn)
    assert [(row["token"], row["user"], row["name"], row["state"]) for row in rows] == [
        (3, "joe", "ci", "valid"),
        (2, "jane", "old", "expired"),
        (1, "jane", "backup [nightly]", "revoked"),
    ]
    assert list(rows[0]) == NAMES
    assert [bool(row["used"]) for row in rows] == [False, False, True]
    assert [bool(row["revoked"]) for row in rows] == [False, False, True]
    assert all(row["created"].endswith("+00:00") and row["expires"].endswith("+00:00") for row in rows)
    assert [row["token"] for row in listed(ledger_dsn, "--user", "jane")] == [2, 1]
    assert listed(ledger_dsn, "--user", "nobody") == []


def test_a_table_shows_the_same(ledger_dsn: str) -> None:
    said = succeeded("list", "--ledger", ledger_dsn).stdout
    assert all(text in said for text in (*NAMES, "backup [nightly]", "valid", "expired", "revoked"))
    assert succeeded("list", "--ledger", ledger_dsn, "--user", "nobody").stdout == "no tokens\n"


def test_a_revoked_token_is_refused_from_then_on(ledger: Ledger, ledger_dsn: str, secrets: list[str]) -> None:
    assert ledger.tokens.find(secrets[2])
    assert succeeded("revoke", "3", "--ledger", ledger_dsn).stdout == "token 3 is revoked\n"
    assert ledger.tokens.find(secrets[2]) is None
    assert listed(ledger_dsn)[0]["state"] == "revoked"


@pytest.mark.parametrize("token", ["1", "4711"])
def test_what_cannot_be_revoked_is_an_error(ledger_dsn: str, token: str) -> None:
    done = run(["token", "revoke", token, "--ledger", ledger_dsn])
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"the ledger has no token {token}, or it is revoked already" in done.stderr


def test_no_secret_claim_or_hash_is_printed(ledger_dsn: str, secrets: list[str]) -> None:
    with psycopg.connect(ledger_dsn) as conn:
        hashes = [row[0] for row in conn.execute("SELECT sha256 FROM project_export_token")]
    outputs = [
        succeeded("list", "--ledger", ledger_dsn).output,
        succeeded("list", "--ledger", ledger_dsn, "--json").output,
        succeeded("revoke", "3", "--ledger", ledger_dsn).output,
        run(["token", "revoke", "4711", "--ledger", ledger_dsn]).output,
    ]
    assert len(hashes) == 3
    assert not any(hidden in output for hidden in (*secrets, *hashes, "s3cret", "pxp_") for output in outputs)
