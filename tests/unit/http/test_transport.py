"""The errors that every HTTP client raises in the same words."""

from __future__ import annotations

import ssl

from deputize.core.errors import UpstreamTimeout
from deputize.http import transport


def test_sentences() -> None:
    where = "The upstream at h:1"
    assert str(transport.unreachable(where, None)) == f"{where} cannot be reached: no connection."
    assert str(transport.not_secure(where, ssl.SSLError())).endswith("safely: no secure connection.")
    for late in (transport.no_answer_in_time(where), transport.not_finished_in_time(where)):
        assert isinstance(late, UpstreamTimeout) and str(late).startswith(where)
    assert str(transport.broke_off(where)) == f"{where} broke off its answer."
