"""The contract of the API's tokens, on PostgreSQL and on SQLite."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from project_export.errors import BadRequest
from project_export.ledger import Ledger, Token
from project_export.ledger.columns import clock
from project_export.ledger.models import ProjectExportToken
from tests.ledgers import ON_BOTH

pytestmark = ON_BOTH
CLAIMS = {"sub": "7", "role": "user"}
DAY = 86_400.0


def create(ledger: Ledger, user_name: str = "jane", seconds: float = DAY) -> tuple[Token, str]:
    return ledger.tokens.create(user_name, "backup script", CLAIMS, seconds)


def age(engine: Engine, **columns: float) -> None:
    """Set times of all tokens to a number of seconds ago."""
    with engine.begin() as connection:
        connection.execute(update(ProjectExportToken).values({name: clock(-ago) for name, ago in columns.items()}))


def test_a_token_is_found_by_its_secret_with_its_users_claims(ledger: Ledger) -> None:
    token, secret = create(ledger)
    found = ledger.tokens.find(secret)
    assert found is not None
    assert (found.id, found.user_name, found.name, found.claims) == (token.id, "jane", "backup script", CLAIMS)
    assert (token.valid, token.last_used_at, token.revoked_at) == (True, None, None)
    assert token.expires_at - token.created_at == pytest.approx(timedelta(days=1), abs=timedelta(seconds=2))


def test_the_ledger_keeps_a_hash_of_the_secret_and_no_value_shows_either(ledger: Ledger, engine: Engine) -> None:
    token, secret = create(ledger)
    assert secret.startswith("pxp_")
    assert len(secret) == len("pxp_") + 43  # 256 random bits
    digest = hashlib.sha256(secret.encode()).hexdigest()
    with engine.connect() as connection:
        row = connection.execute(select(ProjectExportToken.__table__)).mappings().one()
    assert row["sha256"] == digest
    assert secret not in str(dict(row))
    assert not any(hidden in repr(token) for hidden in (secret, digest, "role"))
    assert create(ledger)[1] != secret


def test_an_unknown_secret_finds_nothing(ledger: Ledger) -> None:
    token, secret = create(ledger)
    for wrong in ("", "pxp_", secret[:-1], secret.upper(), hashlib.sha256(secret.encode()).hexdigest(), "ü\0\ud800"):
        assert ledger.tokens.find(wrong) is None
    assert ledger.tokens.of("jane") == [token]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\0", "\x1b[31mred", "\ud800", "x" * 256])
def test_a_name_that_cannot_be_shown_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(BadRequest, match="must have 1 to 255 printable characters"):
        ledger.tokens.create("jane", name, CLAIMS, DAY)
    assert ledger.tokens.of() == []


def test_an_expired_token_finds_nothing(ledger: Ledger, engine: Engine) -> None:
    _, secret = create(ledger)
    age(engine, expires_at=0)
    assert ledger.tokens.find(secret) is None
    assert [token.valid for token in ledger.tokens.of("jane")] == [False]
    assert ledger.tokens.find(create(ledger, seconds=-1)[1]) is None


def test_a_revoked_token_finds_nothing_from_then_on(ledger: Ledger) -> None:
    token, secret = create(ledger)
    assert ledger.tokens.find(secret) is not None
    assert [ledger.tokens.revoke(token.id) for _ in range(2)] == [True, False]
    assert ledger.tokens.find(secret) is None
    (listed,) = ledger.tokens.of("jane")
    assert (listed.valid, listed.revoked_at is None) == (False, False)
    assert ledger.tokens.revoke(4711) is False


def test_a_user_revokes_only_tokens_of_their_own(ledger: Ledger) -> None:
    token, secret = create(ledger)
    assert ledger.tokens.revoke(token.id, "joe") is False
    assert ledger.tokens.find(secret) is not None
    assert ledger.tokens.revoke(token.id, "jane") is True


def test_tokens_are_listed_newest_first_of_one_user_or_of_all(ledger: Ledger) -> None:
    first, other, second = create(ledger)[0], create(ledger, "joe")[0], create(ledger)[0]
    assert ledger.tokens.of("jane") == [second, first]
    assert ledger.tokens.of() == [second, other, first]
    assert ledger.tokens.of("nobody") == []


def test_the_last_use_is_written_once_a_minute_at_most(ledger: Ledger, engine: Engine) -> None:
    _, secret = create(ledger)
    first = used(ledger, secret)
    assert first is not None
    assert used(ledger, secret) == first
    age(engine, last_used_at=61)
    assert ledger.tokens.of("jane")[0].last_used_at != first
    assert abs(used(ledger, secret) - first) < timedelta(seconds=50)


def used(ledger: Ledger, secret: str) -> Any:
    token = ledger.tokens.find(secret)
    assert token is not None
    assert ledger.tokens.of("jane")[0].last_used_at == token.last_used_at
    return token.last_used_at


def test_only_tokens_that_ended_long_ago_are_deleted(ledger: Ledger, engine: Engine) -> None:
    old_revoked, old_expired, revoked, expired, valid = (create(ledger)[0] for _ in range(5))
    for token, column, days in (
        (old_revoked, "revoked_at", 8),
        (old_expired, "expires_at", 8),
        (revoked, "revoked_at", 6),
        (expired, "expires_at", 6),
    ):
        with engine.begin() as connection:
            change = update(ProjectExportToken).where(ProjectExportToken.id == token.id)
            connection.execute(change.values({column: clock(-days * DAY)}))
    assert [token.id for token in ledger.tokens.ended(7 * DAY)] == [old_expired.id, old_revoked.id]
    assert ledger.tokens.delete_ended(7 * DAY) == 2
    assert [token.id for token in ledger.tokens.of()] == [valid.id, expired.id, revoked.id]
    assert ledger.tokens.delete_ended(7 * DAY) == 0


def test_the_id_of_a_deleted_token_is_not_used_again(ledger: Ledger, engine: Engine) -> None:
    token, _ = create(ledger)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM project_export_token"))
    assert create(ledger)[0].id > token.id
