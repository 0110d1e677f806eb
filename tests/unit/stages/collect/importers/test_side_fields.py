"""Ids, times, tokens, costs and outcomes under all their names."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.records import Outcome, Usage
from deputize.stages.collect.importers import field_names as names
from deputize.stages.collect.importers import side_fields as side


@pytest.mark.parametrize(
    "value",
    [
        1760000000,
        1760000000.0,
        1760000000000,
        1760000000000000,
        1760000000000000000,
        "1760000000000000000",
        "2025-10-09T08:53:20Z",
        "2025-10-09T08:53:20.000000000Z",
        "2025-10-09 08:53:20",
        "2025-10-09 08:53:20 UTC",
        "2025-10-09 08:53:20.000000 UTC",
        "2025/10/09 08:53:20",
    ],
)
def test_times_of_every_size_are_unix_seconds(value: Any) -> None:
    assert side.seconds(value) == 1760000000.0


@pytest.mark.parametrize("value", ["yesterday", -5, True, None, "", "10/09/2025 09:00", float("nan"), 10**30])
def test_what_is_no_time_is_none(value: Any) -> None:
    assert side.seconds(value) is None


@pytest.mark.parametrize(
    "row",
    [
        {"latency_ms": 812},
        {"delay_ms": "812"},
        {"latency_s": 0.812},
        {"latency": 0.812},
        {"response_time": 812},
        {"response_time": 0.812},
        {"duration": "0.812s"},
        {"startTime": 1760000000.0, "endTime": 1760000000.812},
        {"start_time": "2025-10-09T08:53:20Z", "end_time": "2025-10-09T08:53:20.812Z"},
        {"requestedAt": 1760000000000, "receivedAt": 1760000000812},
    ],
)
def test_latencies(row: dict[str, Any]) -> None:
    assert side.latency_ms((row,)) == 812.0


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ({"prompt_tokens": 9.0, "completion_tokens": "1"}, Usage(prompt_tokens=9, completion_tokens=1)),
        ({"input": 9, "output": 1, "total": 10}, Usage(prompt_tokens=9, completion_tokens=1)),
        (
            {"inputTokens": 9, "outputTokens": 1, "cacheReadInputTokens": 4},
            Usage(prompt_tokens=13, completion_tokens=1, cached_tokens=4),
        ),
        (
            {
                "input_tokens": 2,
                "output_tokens": 1,
                "cache_read_input_tokens": 4,
                "cache_creation_input_tokens": 3,
            },
            Usage(prompt_tokens=9, completion_tokens=1, cached_tokens=4, cache_write_tokens=3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(prompt_tokens=9, completion_tokens=1, cached_tokens=4),
        ),
        (
            {"input_tokens": 9, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 4}},
            Usage(prompt_tokens=9, completion_tokens=5, reasoning_tokens=4),
        ),
        (  # the total says that the cache and the thoughts are counted apart
            {
                "input": 6,
                "input_cached_tokens": 4,
                "output": 3,
                "output_reasoning_tokens": 2,
                "total": 15,
            },
            Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4, reasoning_tokens=2),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "total_tokens": 15,
                "input_token_details": {"cache_read": 4},
            },
            Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4),
        ),
        (  # more from the cache than there was: it is counted apart
            {"promptTokens": 3, "completionTokens": 1, "cachedPromptTokens": 7},
            Usage(prompt_tokens=10, completion_tokens=1, cached_tokens=7),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4},
            Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4),
        ),
        (
            {
                "billed_units": {"input_tokens": 1},
                "tokens": {"input_tokens": 10, "output_tokens": 5},
            },
            Usage(prompt_tokens=10, completion_tokens=5),
        ),
        ({"prompt": "text", "completion": "text"}, None),
        ([1], None),
    ],
)
def test_tokens(raw: Any, wanted: Usage | None) -> None:
    assert side.usage_of(raw) == wanted


def test_numbers_in_prompt_and_completion_of_a_row_are_no_tokens() -> None:
    assert side.row_usage({"prompt": "12", "completion": "13"}) is None


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (True, Outcome(success=True)),
        ("success", Outcome(success=True)),
        ("failed", Outcome(success=False)),
        (1, Outcome(reward=1.0)),
        ({"score": 0.5}, Outcome(reward=0.5)),
        ({"success": "true"}, Outcome(success=True)),
        ({"Factuality": 1.0}, Outcome(reward=1.0, metric="Factuality")),
        ({"a": 1, "b": 0}, None),
        ({"thumbs": "up"}, Outcome(success=True, metric="thumbs")),
        ("thumbs-down", Outcome(success=False)),
        ("\U0001f44d", Outcome(success=True)),
        ("it went well", None),
        (None, None),
    ],
)
def test_outcomes(raw: Any, wanted: Outcome | None) -> None:
    assert side.outcome_of(raw) == wanted


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"status": 500}, 500),
        ({"status_code": "504"}, 504),
        ({"response_status": 429, "status": "x"}, 429),
        ({"status": "failure", "error_str": "Error 429: slow down"}, 429),
        ({"is_success": False}, 500),
        ({"ok": False}, 500),
        ({"http_code": 504}, 504),
        ({"status": "success"}, 200),
        ({"status": 200, "level": "info"}, 200),
        ({"level": "ERROR", "statusMessage": "503 gone"}, 503),
        ({}, 200),
    ],
)
def test_http_failures(row: dict[str, Any], status: int) -> None:
    assert side.http_status((row,)) == status


def test_ids_cost_and_time_to_the_first_token() -> None:
    assert side.text(({"sessionId": "", "session": {"id": "s1"}},), ("sessionId", "session")) == "s1"
    assert side.cost_usd(({"cost": "0.25"},)) == 0.25
    assert side.ttft_ms(({"startTime": 1760000000.0, "completionStartTime": 1760000000.2},)) == 200.0
    assert side.status_of_error({"error": {"code": 503}}) == 503


@pytest.mark.parametrize(
    "row",
    [
        {"SessionId": "s", "UserId": "u"},
        {"sessionID": "s", "userID": "u"},
        {"session-id": "s", "user-id": "u"},
        {"conversation": {"id": "s"}, "user": {"id": "u"}},
    ],
)
def test_ids_in_all_spellings(row: dict[str, Any]) -> None:
    assert (side.episode((row,)), side.text((row,), names.ORIGIN)) == ("s", "u")


def test_a_conversation_as_text_is_no_id() -> None:
    assert side.episode(({"conversation": "Hello. Good morning."},)) == ""


@pytest.mark.parametrize(
    "row",
    [
        {"latency_seconds": 0.8},
        {"duration_us": 800_000},
        {"durationNano": 800_000_000},
        {"responseTimeMs": 800},
        {"duration": "0:00:00.800"},
        {"duration": "PT0.8S"},
        {"latency": "800 ms"},
    ],
)
def test_latencies_in_all_units(row: dict[str, Any]) -> None:
    assert side.latency_ms((row,)) == 800.0


def test_dates_and_prices_of_databases() -> None:
    assert side.seconds({"$date": {"$numberLong": "1760000000000"}}) == 1760000000.0
    assert side.cost_usd(({"cost": "$0.25"},)) == side.cost_usd(({"cost": {"total": 0.25}},)) == 0.25


def test_the_end_of_a_whole_answer_is_not_its_first_token() -> None:
    row = {"startTime": 1760000000.0, "completionStartTime": 1760000000.8, "endTime": 1760000000.8}
    assert side.ttft_ms((row,)) is None


def test_details_come_from_the_fullest_of_equal_counts() -> None:
    bare = Usage(prompt_tokens=10, completion_tokens=5)
    full = Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4)
    assert side.fullest([None, bare, full]) == full
    assert side.fullest([bare, Usage(prompt_tokens=90, completion_tokens=5, cached_tokens=4)]) == bare
