"""The protocols."""

from __future__ import annotations

from deputize.wire.registry import CHAT, DIALECTS, MESSAGES, RESPONSES


def test_each_protocol_has_names_of_its_own() -> None:
    assert DIALECTS == (CHAT, MESSAGES, RESPONSES)
    for values in ({d.name for d in DIALECTS}, {d.path for d in DIALECTS}, {d.id_prefix for d in DIALECTS}):
        assert len(values) == 3
    assert all(d.path.startswith("/v1/") for d in DIALECTS)
