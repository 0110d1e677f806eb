"""API keys: where they are found, and what they allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import AccessDenied, NotAuthenticated
from deputize.core.records import Usage
from deputize.gateway.auth import ApiKeyAuthenticator, Caller, NoAuthentication, key_text
from deputize.home import Home
from deputize.scoring.costs import load_prices
from deputize.store.access.roles import Right


def test_keys_are_found_wherever_clients_put_them() -> None:
    assert key_text({"authorization": "bearer dpk_1"}) == key_text({"x-api-key": "dpk_1"}) == "dpk_1"
    assert key_text({"x-deputize-key": "any", "authorization": "Bearer sk"}) == "any"
    assert key_text({"api-key": "dpk_1"}) == key_text({"x-goog-api-key": "dpk_1"}) == "dpk_1"
    assert key_text({"authorization": "Bearer sk-1"}) == ""


def test_without_keys_everybody_is_let_in() -> None:
    nobody = NoAuthentication()
    assert nobody.authenticate({}, Right.SEE_STATUS) == Caller()
    nobody.charge(Caller(), "m", Usage())


def test_a_key_is_asked_for_where_required_and_checked_where_shown(tmp_path: Path) -> None:
    home = Home(tmp_path)
    authenticator = ApiKeyAuthenticator(
        home.api_keys, home.key_limits(1), load_prices(tmp_path), required=lambda: True
    )
    with pytest.raises(NotAuthenticated, match="wants an API key"):
        authenticator.authenticate({}, Right.WRITE_CALLS)
    with pytest.raises((NotAuthenticated, AccessDenied)):
        authenticator.authenticate({"x-api-key": "dpk_wrong"}, Right.WRITE_CALLS)
