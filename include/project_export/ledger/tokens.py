"""The project_export_token table: long-lived tokens of the API. The ledger keeps hashes instead of their secrets."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from project_export.errors import BadRequest
from project_export.ledger.columns import clock
from project_export.ledger.database import Database
from project_export.ledger.models import ProjectExportToken

PREFIX = "pxp_"
"""The start of every secret, by which people and scanners recognise it."""

_SECRET_BYTES = 32
_NAME_CHARACTERS = 255
_USED_SECONDS = 60.0
"""How old the recorded last use is before the next one is recorded: a request should not cost a write."""


@dataclass(frozen=True)
class Token:
    """A token of a user, without its secret.

    name: what the user calls it. claims: who the user is, as the API serialised it when the token was created.
    last_used_at: may be a minute too early. valid: whether it was neither revoked nor expired when it was read, by the
    ledger's clock.
    """

    id: int
    user_name: str
    name: str
    claims: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime
    revoked_at: datetime | None
    valid: bool


class Tokens:
    """Creates, finds, lists, revokes and deletes tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, user_name: str, name: str, claims: Mapping[str, Any], seconds: float) -> tuple[Token, str]:
        """Write a token that expires in `seconds`; return it with its secret, which nobody can read again.

        Raises BadRequest unless the name has 1 to 255 printable characters.
        """
        if not name.strip() or not name.isprintable() or len(name) > _NAME_CHARACTERS:
            raise BadRequest(f"the name of a token must have 1 to {_NAME_CHARACTERS} printable characters")
        secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        values = {"user_name": user_name, "name": name, "claims": dict(claims), "sha256": _hash(secret)}
        statement = insert(ProjectExportToken).values(**values, expires_at=clock(seconds))
        with self._database.write() as connection:
            token_id = connection.execute(statement.returning(ProjectExportToken.id)).scalar_one()
            (token,) = _where(connection, ProjectExportToken.id == token_id)
        return token, secret

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret and record its use; None if it is unknown, revoked or expired."""
        last = ProjectExportToken.last_used_at
        with self._database.read() as connection:
            found = _where(connection, ProjectExportToken.sha256 == _hash(secret), _valid())
            due = bool(found) and connection.scalar(
                select(or_(last.is_(None), last < clock(-_USED_SECONDS))).where(ProjectExportToken.id == found[0].id)
            )
        if due:
            used = update(ProjectExportToken).where(ProjectExportToken.id == found[0].id).values(last_used_at=clock())
            with self._database.write() as connection:
                connection.execute(used)
                found = _where(connection, ProjectExportToken.id == found[0].id, _valid())
        return found[0] if found else None

    def of(self, user_name: str | None = None) -> list[Token]:
        """Return the tokens of a user, or of all users, newest first; also those that are no longer valid."""
        with self._database.read() as connection:
            return _where(connection, *_of_user(user_name))

    def revoke(self, token_id: int, user_name: str | None = None) -> bool:
        """Revoke a token; return False if it does not exist or is already revoked.

        user_name: whose token it must be, None if it may be anybody's.
        """
        revoke = update(ProjectExportToken).where(
            ProjectExportToken.id == token_id, ProjectExportToken.revoked_at.is_(None), *_of_user(user_name)
        )
        with self._database.write() as connection:
            changed = connection.execute(revoke.values(revoked_at=clock()).returning(ProjectExportToken.id)).all()
        return bool(changed)

    def ended(self, seconds: float) -> list[Token]:
        """Return the tokens that were revoked or expired more than `seconds` ago, newest first."""
        with self._database.read() as connection:
            return _where(connection, _ended(seconds))

    def delete_ended(self, seconds: float) -> int:
        """Delete the tokens that `ended` returns, and return their number."""
        ended = delete(ProjectExportToken).where(_ended(seconds)).returning(ProjectExportToken.id)
        with self._database.write() as connection:
            return len(connection.execute(ended).all())


def _hash(secret: str) -> str:
    # Unsalted and fast on purpose: a secret of 256 random bits cannot be guessed, and must be found by its hash.
    return sha256(secret.encode("utf-8", "backslashreplace")).hexdigest()


def _valid() -> ColumnElement[bool]:
    return and_(ProjectExportToken.revoked_at.is_(None), ProjectExportToken.expires_at > clock())


def _ended(seconds: float) -> ColumnElement[bool]:
    before = clock(-seconds)
    return or_(ProjectExportToken.revoked_at < before, ProjectExportToken.expires_at < before)


def _of_user(user_name: str | None) -> list[ColumnElement[bool]]:
    return [] if user_name is None else [ProjectExportToken.user_name == user_name]


def _where(connection: Connection, *conditions: ColumnElement[bool]) -> list[Token]:
    columns = [column for column in ProjectExportToken.__table__.columns if column.name != "sha256"]
    query = select(*columns, _valid().label("valid")).where(*conditions).order_by(ProjectExportToken.id.desc())
    return [Token(**{**found, "valid": bool(found["valid"])}) for found in connection.execute(query).mappings()]
