"""Log-probabilities that may stay, and those that may not."""

from __future__ import annotations

from typing import Any

from deputize.core.records import Call
from deputize.stages.curate.reply_logprobs import reply_logprobs


def entry(token: str, *others: str) -> dict[str, Any]:
    tops = [{"token": t, "logprob": -2.0} for t in (token, *others)]
    return {"token": token, "logprob": -0.5, "top_logprobs": tops}


def call(content: str | None, logprobs: object) -> Call:
    response = {"role": "assistant", "content": content}
    return Call(id="c", messages=[], response=response, logprobs=logprobs)


def test_tokens_and_harmless_alternatives_stay() -> None:
    logged = {"content": [entry("refund", "login", "Anna", "4", "me@x"), entry("_now", "_later")]}
    one = call("refund_now", logged)
    assert reply_logprobs(one, one.response) == [
        [("refund", -0.5), ("login", -2.0)],
        [("_now", -0.5), ("_later", -2.0)],
    ]


def test_a_reply_that_was_changed_or_is_not_that_of_the_tokens_keeps_none() -> None:
    one = call("Anna", {"content": [entry("Anna")]})
    assert reply_logprobs(one, {"role": "assistant", "content": "Mary"}) == []
    assert reply_logprobs(one, one.response) == [[("Anna", -0.5)]], "it stands in the reply"
    for logged in (None, {}, {"content": None}, {"content": [entry("An")]}, {"content": [{"token": 1}]}, [1]):
        other = call("Anna", logged)
        assert reply_logprobs(other, other.response) == []
    assert reply_logprobs(call(None, {"content": []}), {"role": "assistant", "content": None}) == []
