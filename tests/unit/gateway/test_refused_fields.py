"""Fields that servers do not agree on."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.gateway.refused_fields import adapted, refused_field

ASKED: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "assistant", "content": "a", "reasoning_content": "r"}],
}


@pytest.mark.parametrize(
    ("given", "model", "refused", "name"),
    [
        ("max_tokens", "llama", (), "max_tokens"),
        ("max_tokens", "gpt-5-mini", (), "max_completion_tokens"),
        ("max_tokens", "openai/o3", (), "max_completion_tokens"),
        ("max_tokens", "mine", ("max_tokens",), "max_completion_tokens"),
        ("max_completion_tokens", "llama", (), "max_completion_tokens"),
        ("max_completion_tokens", "llama", ("max_completion_tokens",), "max_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_server_takes(
    given: str, model: str, refused: tuple[str, ...], name: str
) -> None:
    out = adapted({**ASKED, given: 9}, model, refused)
    assert {k for k in out if k.startswith("max_")} == {name} and out[name] == 9


@pytest.mark.parametrize(
    ("model", "refused", "kept"),
    [
        ("gpt-4o", (), False),
        ("deepseek-reasoner", (), True),
        ("deepseek-reasoner", ("reasoning_content",), False),
        ("mine", ("no reasoning",), True),
    ],
)
def test_earlier_reasoning_goes_to_servers_that_want_it(
    model: str, refused: tuple[str, ...], kept: bool
) -> None:
    assert ("reasoning_content" in adapted(ASKED, model, refused)["messages"][0]) is kept


@pytest.mark.parametrize(
    ("says", "sent", "model", "translated", "found"),
    [
        (b"Unrecognized argument: stream_options", b'{"stream_options":{}}', "m", False, "stream_options"),
        (b"Use 'max_completion_tokens' instead", b'{"max_tokens":9}', "m", True, "max_tokens"),
        (b"max_completion_tokens: extra inputs are not permitted", b"{}", "m", True, "max_completion_tokens"),
        (b"Extra inputs: reasoning_content", b"{}", "deepseek-r1", True, "reasoning_content"),
        (b"Missing reasoning_content", b"{}", "m", True, "no reasoning"),
        (b"Missing reasoning_content", b"{}", "m", False, None),
        (b"max_tokens is too large", b'{"max_tokens":9}', "m", True, None),
    ],
)
def test_a_refusal_names_what_the_server_does_not_take(
    says: bytes, sent: bytes, model: str, translated: bool, found: str | None
) -> None:
    assert refused_field(says, sent, model=model, refused=(), translated=translated) == found
    if found is not None:
        assert (
            refused_field(says, sent, model="deepseek-r1", refused=(found,), translated=translated) != found
        )
