"""The protocols."""

from __future__ import annotations

from deputize.wire.registry import ALL_DIALECTS, CHAT, DECISIONS, DIALECTS, MESSAGES, RESPONSES, SYSTEM_ONE


def test_each_protocol_has_names_of_its_own() -> None:
    assert DIALECTS == (CHAT, MESSAGES, RESPONSES) and (*DIALECTS, DECISIONS, SYSTEM_ONE) == ALL_DIALECTS
    for field in ("name", "path", "id_prefix"):
        assert len({getattr(d, field) for d in ALL_DIALECTS}) == 5
    assert all(d.path.startswith("/v1/") for d in ALL_DIALECTS)
