"""Credentials where each protocol looks for them."""

from __future__ import annotations

from deputize.upstreams.upstream_auth import ANTHROPIC_VERSION, for_dialect, with_key

CLIENTS = [("authorization", "Bearer sk"), ("anthropic-beta", "x"), ("a", "1")]


def test_an_upstreams_own_key_replaces_the_clients() -> None:
    assert with_key(CLIENTS, "own", "openai")[-1] == ("authorization", "Bearer own")
    sent = with_key(CLIENTS, "own", "anthropic")
    assert ("x-api-key", "own") in sent and not any(v == "Bearer sk" for _, v in sent)


def test_a_clients_key_moves_to_the_other_place() -> None:
    assert for_dialect(CLIENTS, "messages") == [
        ("a", "1"),
        ("x-api-key", "sk"),
        ("anthropic-version", ANTHROPIC_VERSION),
    ]
    assert for_dialect([("x-api-key", "sk")], "chat") == [("authorization", "Bearer sk")]
    assert for_dialect([("authorization", "Bearer sk")], "responses") == [("authorization", "Bearer sk")]
