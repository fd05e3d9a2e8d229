"""Long-lived tokens: created by a login only, shown once, revoked by their owner."""

from __future__ import annotations

import re

import pytest

from project_export.airflow.web.pages import tokens as route


class Manager:
    @staticmethod
    def serialize_user(user):
        return {"sub": "jane", "role": "user"}


@pytest.fixture(autouse=True)
def manager(monkeypatch):
    monkeypatch.setattr(route, "get_auth_manager", lambda: Manager)


def test_a_token_is_shown_once_and_works(page, ctx):
    text = page.post("/tokens", {"name": "night <ly>", "days": "7"}, status=201).text
    (secret,) = re.findall(r"pxp_[\w-]+", text)
    token = ctx.ledger.tokens.find(secret)
    assert (token.user_name, token.name, token.claims) == ("jane", "night <ly>", {"sub": "jane", "role": "user"})
    assert (token.expires_at - token.created_at).days == 7
    text = page.get("/tokens").text
    assert secret not in text
    assert "night &lt;ly&gt;" in text


def test_a_token_begets_no_token(page, ctx):
    page.post("/tokens", {"name": "more", "days": "1"}, status=403, authorization="Bearer x")
    assert ctx.ledger.tokens.of() == []
    assert "<form" not in page.get("/tokens", headers={"authorization": "Bearer x"}).text


@pytest.mark.parametrize(
    ("name", "days", "field"),
    [
        ("", "7", "name"),
        ("x" * 101, "7", "name"),
        ("a", "0", "days"),
        ("a", "366", "days"),
        ("a", "odd", "days"),
        ("a", "٣", "days"),
    ],
)
def test_a_wrong_field_is_named_and_kept(page, ctx, name, days, field):
    text = page.post("/tokens", {"name": name, "days": days}, status=422).text
    assert f'id="{field}-problem"' in text
    assert f'value="{name}"' in text
    assert ctx.ledger.tokens.of() == []


def test_only_the_owner_sees_and_revokes_a_token(page, ctx):
    own, secret = ctx.ledger.tokens.create("jane", "mine", {}, 100)
    other, others = ctx.ledger.tokens.create("joe", "his", {}, 100)
    assert "his" not in re.findall(r'class="wrap">([^<]*)<', page.get("/tokens").text)
    for token in (own, other):
        assert page.post(f"/tokens/{token.id}/revoke").headers["location"] == "../../tokens"
    assert ctx.ledger.tokens.find(secret) is None
    assert ctx.ledger.tokens.find(others) is not None
    assert "revoked" in page.get("/tokens").text
    page.post(f"/tokens/{1 << 70}/revoke", status=404)
