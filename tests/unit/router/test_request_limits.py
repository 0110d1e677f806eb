"""The requests that a certificate speaks of: everything else is left to the LLM, with the reason."""

from __future__ import annotations

import time
from typing import Any

import pytest
from msgspec import structs

from deputize.core.answer_params import answer_params
from deputize.core.records import Call, RequestLimits, Usage, decode, encode
from deputize.router.request_limits import (
    RequestFacts,
    facts_of,
    has_text,
    limits_of,
    lists_unseen,
    only_llm_reason,
    outside,
    outside_of_call,
)


def call(i: int = 0, *, sent: dict[str, Any] | None = None, subject: str = "", **more: Any) -> RequestFacts:
    given = {
        "id": f"c{i}",
        "messages": [{"role": "user", "content": f"q{i}"}],
        "response": {"role": "assistant", "content": "complaint"},
        "episode": f"e{i}",
        "agent": "desk",
        "site": "triage",
        "model": "gpt-4o",
        "params": {"temperature": 0} if sent is None else sent,
        "usage": Usage(prompt_tokens=50, completion_tokens=3),
        "source": "gateway",
        **more,
    }
    return facts_of(Call(**given), subject)


def reason(limits: RequestLimits, sent: dict[str, Any] | None = None, **more: Any) -> str | None:
    given = {
        "model": "gpt-4o",
        "agent": "desk",
        "site": "triage",
        "audience": "unknown",
        "with_text": True,
        **more,
    }
    return outside(limits, answer_params({"temperature": 0} if sent is None else sent), **given)


LIMITS = limits_of(call(i) for i in range(20))


@pytest.mark.parametrize(
    ("sent", "more", "expected"),
    [
        (None, {}, None),
        (None, {"audience": "code"}, None),
        ({"temperature": 0, "stream": True, "user": "u", "service_tier": "flex"}, {}, None),
        ({"temperature": 0, "max_tokens": 3}, {}, None),
        (None, {"audience": "human"}, "audience"),
        (None, {"model": "o3-pro"}, "model"),
        (None, {"agent": "other"}, "agent"),
        (None, {"agent": "", "site": ""}, "agent"),
        (None, {"site": "chat-with-people"}, "site"),
        ({}, {}, "params:temperature"),
        ({"temperature": 2, "seed": 5}, {}, "params:temperature"),
        ({"temperature": 0, "top_p": 0.1}, {}, "params:top_p"),
        ({"temperature": 0, "max_tokens": 1}, {}, "params:max_tokens"),
        ({"temperature": 0, "max_completion_tokens": 2}, {}, "params:max_tokens"),
        ({"temperature": 0, "stop": ["comp"]}, {}, "params:stop"),
        ({"temperature": 0, "logit_bias": {"1": -100}}, {}, "params:logit_bias"),
        ({"temperature": 0, "seed": 7}, {}, "params:seed"),
        ({"temperature": 0, "reasoning_effort": "high"}, {}, "params:reasoning_effort"),
        ({"temperature": 0, "parallel_tool_calls": False}, {}, "params:parallel_tool_calls"),
        ({"temperature": 0, "web_search_options": {}}, {}, "params:web_search_options"),
        ({"temperature": 0, "prediction": {"type": "content"}}, {}, "params:prediction"),
        ({"temperature": 0, "n": 3}, {}, "params:n"),
        ({"temperature": 0, "logprobs": True}, {}, "params:logprobs"),
        ({"temperature": 0, "modalities": ["text", "audio"]}, {}, "params:modalities"),
        ({"temperature": 0, "audio": {"voice": "v"}}, {}, "params:modalities"),
        ({"temperature": 0, "made_up_\nname": 1}, {}, "params:other"),
    ],
)
def test_what_was_not_calibrated_goes_to_the_llm(
    sent: dict[str, Any] | None, more: dict[str, Any], expected: str | None
) -> None:
    assert reason(LIMITS, sent, **more) == expected


def test_what_was_calibrated_is_within() -> None:
    sent = [
        {"temperature": 0.2, "stop": ["\n"], "seed": 1, "custom": "x"},
        {"temperature": 0.8, "stop": ["\n"], "seed": 2, "custom": "x"},
    ]
    limits = limits_of([*(call(i, sent=sent[i % 2]) for i in range(20)), call(30, agent="b", site="c")])
    for one in sent:
        assert reason(limits, one) is None
    assert reason(limits, {**sent[0], "temperature": 0.5}) is None
    assert reason(limits, {**sent[0], "temperature": 0.9}) == "params:temperature"
    assert reason(limits, {**sent[0], "seed": 3}) == "params:seed"
    assert reason(limits, {**sent[0], "custom": "y"}) == "params:other"
    assert reason(limits, agent="b", site="c") is None
    assert reason(limits, agent="desk", site="c") == "site"
    assert decode(encode(limits), RequestLimits) == limits


def of_people(n: int, **given: Any) -> list[RequestFacts]:
    return [call(i, subject=f"person {i}", **given) for i in range(n)]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"model": "tuned for anna"}, "model"),
        ({"agent": "anna's agent"}, "agent"),
        ({"site": "anna's site"}, "site"),
        ({"sent": {"temperature": 0, "anna": True}}, "params:other"),
        ({"sent": {"temperature": 0, "reasoning_effort": "anna's"}}, "params:reasoning_effort"),
    ],
)
def test_what_one_person_alone_sends_is_not_in_the_limits(own: dict[str, Any], expected: str) -> None:
    """Limits are in clear in the route file and the report; such calls go to the LLM."""
    by_one = [call(i, subject="anna", **own) for i in range(50, 90)]
    assert b"anna" in encode(limits_of([*of_people(5), *by_one]))
    limits = limits_of([*of_people(5), *by_one], min_origins=2)
    assert b"anna" not in encode(limits)
    assert limits == limits_of(of_people(5))
    assert {outside_of_call(limits, one) for one in by_one} == {expected}
    by_two = [*by_one, call(99, subject="bert", **own)]
    assert b"anna" in encode(limits_of([*of_people(5), *by_two], min_origins=2))


def test_a_limit_of_length_that_one_person_alone_gives_is_not_listed() -> None:
    own = call(9, sent={"temperature": 0, "max_tokens": 4711}, subject="anna")
    limits = limits_of([*of_people(5), own], min_origins=2)
    assert limits.max_tokens == [""]
    assert outside_of_call(limits, own) is None, "it is longer than any answer"


def test_values_that_differ_from_call_to_call_are_not_listed_when_few_calls_are_left() -> None:
    calls = [call(i, sent={"seed": i}, subject=f"p{i}", model=f"m{i}" if i > 7 else "m") for i in range(60)]
    limits = limits_of(calls, min_origins=2)
    assert limits.models == ["m"] and limits.varying == ["seed"] and limits.values == {}


def test_nothing_is_within_limits_where_everybody_sends_something_else() -> None:
    calls = [call(i, subject=f"p{i}", model=f"m{i}") for i in range(20)]
    limits = limits_of(calls, min_origins=2)
    assert {outside_of_call(limits, one) for one in calls} == {"model"}
    assert reason(limits) == "model"
    assert reason(limits, {}, agent="", site="") == "model"


def test_a_parameter_that_every_call_had_may_not_be_left_out() -> None:
    limits = limits_of(call(i, sent={"temperature": 0, "reasoning_effort": "high"}) for i in range(9))
    assert reason(limits) == "params:reasoning_effort"
    assert reason(limits, {"temperature": 0, "reasoning_effort": "high"}) is None


def test_a_parameter_that_differs_from_call_to_call_may_have_any_value() -> None:
    limits = limits_of(call(i, sent={"temperature": 0, "trace": f"t{i}", "seed": i % 4}) for i in range(60))
    assert limits.varying == ["trace"]
    assert reason(limits, {"temperature": 0, "trace": "new", "seed": 3}) is None
    assert reason(limits, {"temperature": 0, "trace": "new", "seed": 4}) == "params:seed"


def test_where_answers_were_cut_only_the_limits_seen_will_do() -> None:
    cut = [call(i, sent={"temperature": 0, "max_tokens": 3}) for i in range(9)]
    limits = limits_of(cut)
    assert reason(limits, {"temperature": 0, "max_tokens": 3}) is None
    assert reason(limits, {"temperature": 0, "max_tokens": 300}) == "params:max_tokens"
    assert reason(limits) == "params:max_tokens"


def test_answers_without_counted_tokens_are_taken_for_longer_than_they_are() -> None:
    limits = limits_of([call(usage=None, response={"role": "assistant", "content": "a" * 400})])
    assert limits.enough_tokens == 201


NOTHING_ASKED: dict[str, list[dict[str, Any]]] = {
    "no message": [],
    "no content": [{"role": "user", "content": None}],
    "empty": [{"role": "user", "content": ""}],
    "white space": [{"role": "user", "content": " \n"}],
    "no part": [{"role": "user", "content": []}],
    "an image": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
    "an object": [{"role": "user", "content": {"text": "q"}}],
    "system only": [{"role": "system", "content": "Sort the letters."}],
    "an empty turn": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": ""},
    ],
    "an answer begun": [{"role": "user", "content": ""}, {"role": "assistant", "content": "{"}],
}


@pytest.mark.parametrize("messages", NOTHING_ASKED.values(), ids=NOTHING_ASKED.keys())
def test_a_request_without_text_goes_to_the_llm_unless_calibration_had_such(
    messages: list[dict[str, Any]],
) -> None:
    assert not has_text(messages)
    silent = call(99, messages=messages)
    assert outside_of_call(LIMITS, silent) == reason(LIMITS, with_text=False) == "no_text"
    seen = limits_of([*(call(i) for i in range(20)), silent])
    assert outside_of_call(seen, silent) is None
    of_one = limits_of(
        [*(call(i, subject=f"p{i}") for i in range(20)), *[structs.replace(silent, subject="p1")] * 3],
        min_origins=2,
    )
    assert outside_of_call(of_one, silent) == "no_text", "one person alone had such calls"
    unrecorded = structs.replace(silent, has_params=False)
    assert outside_of_call(LIMITS, unrecorded) == "no_text" and outside_of_call(seen, unrecorded) is None


def test_an_empty_result_of_a_tool_is_a_text() -> None:
    asked = {"role": "user", "content": [{"type": "text", "text": "q"}]}
    assert has_text([asked]) and has_text([asked, {"role": "assistant", "content": "a"}])
    assert has_text([asked, {"role": "assistant", "content": None}, {"role": "tool", "content": ""}])


def test_votes_stay_votes() -> None:
    sent = {"temperature": 0.7}
    asked = [{"role": "user", "content": "vote"}]
    votes = [call(i, sent=sent, episode=f"e{i // 5}", messages=asked) for i in range(40)]
    assert reason(limits_of(votes), sent) == "votes"
    single = [call(i, sent=sent) for i in range(40)]
    assert reason(limits_of(single), sent) is None
    steady = [call(i, episode="e", messages=asked) for i in range(40)]
    assert reason(limits_of(steady)) is None, "at temperature 0 all answers are alike"


def test_an_imported_log_need_not_name_what_callers_name() -> None:
    more: dict[str, Any] = {"source": "a file", "sent": {}, "model": "gpt-4o-2024-08-06"}
    limits = limits_of(call(i, agent="from-the-file", site="", **more) for i in range(9))
    assert reason(limits, agent="", site="") is None
    assert reason(limits, {"temperature": 0.5}, agent="", site="") is None
    assert reason(limits, {"temperature": 2}, agent="", site="") == "params:temperature"
    assert reason(limits, {"temperature": 0, "stop": ["x"]}, agent="", site="") == "params:stop"
    assert reason(limits, agent="other", site="") == "agent"
    assert reason(limits, agent="", site="", model="gpt-4o-2024-08-06") is None
    assert reason(limits, agent="", site="", model="gpt-4o-mini") == "model"
    unnamed = limits_of([call(source="", model="")])
    assert reason(unnamed, model="anything") is None


def test_without_calibration_only_a_plain_request_is_within() -> None:
    assert reason(RequestLimits(), {}, agent="", site="") is None
    assert reason(RequestLimits(), {}, agent="a", site="") == "agent"
    assert reason(RequestLimits(), {"temperature": 0}, agent="", site="") == "params:temperature"


def test_a_recorded_call_is_judged_as_the_gateway_would_have_judged_it() -> None:
    assert outside_of_call(LIMITS, call()) is None
    assert outside_of_call(LIMITS, call(audience="human")) == "audience"
    assert outside_of_call(LIMITS, call(sent={"temperature": 0, "n": 2})) == "params:n"
    assert outside_of_call(LIMITS, call(model="o3-pro")) == "model"
    assert outside_of_call(LIMITS, call(sent={}, source="a file")) is None, "nothing is known against it"
    several = limits_of([*(call(i) for i in range(9)), call(10, sent={"temperature": 0, "n": 2})])
    assert several == limits_of(call(i) for i in range(9)), "what no specialist may answer sets no limit"


def test_what_no_specialist_may_ever_answer() -> None:
    assert only_llm_reason({}, "human") == "audience"
    assert only_llm_reason({"background": "true"}, "unknown") == "params:background"
    assert only_llm_reason({"temperature": "2"}, "code") is None


def test_a_request_is_judged_in_microseconds() -> None:
    sent = {"temperature": 0, "max_tokens": 100, "stream": True, "user": "u"}
    params = answer_params(sent)
    given: dict[str, Any] = {
        "model": "gpt-4o",
        "agent": "desk",
        "site": "triage",
        "audience": "unknown",
        "with_text": True,
    }
    best = min(_seconds(lambda: outside(LIMITS, params, **given)) for _ in range(5))
    assert best < 20e-6


def _seconds(work: Any, n: int = 2000) -> float:
    began = time.perf_counter()
    for _ in range(n):
        work()
    return (time.perf_counter() - began) / n


def test_a_request_that_lists_what_was_not_in_training_is_outside() -> None:
    limits = structs.replace(LIMITS, listed=["a", "c", "e"])
    assert not lists_unseen(limits, ["c", "a"]) and not lists_unseen(limits, [])
    assert lists_unseen(limits, ["a", "b"]) and lists_unseen(limits, ["f"])
    assert not lists_unseen(LIMITS, ["b"]), "any will do"
    assert outside_of_call(limits, structs.replace(call(), listed=("a", "b"))) == "listed"
    assert outside_of_call(limits, structs.replace(call(), listed=("a",))) is None
    assert lists_unseen(structs.replace(LIMITS, listed=[]), ["a"])
