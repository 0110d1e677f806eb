"""Every sample of ../shared/cases is read right, or refused by the name of what it is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls

CASES = Path(__file__).parents[5] / "shared" / "cases"
pytestmark = pytest.mark.data

N_CALLS = {
    **dict.fromkeys(("alpaca.json", "chatgpt_conversations.json", "continue_chatInteraction.jsonl"), 3),
    **dict.fromkeys(
        ("openai_ft_prompt_completion.jsonl", "plain_prompt_completion.csv", "plain_prompt_completion.jsonl"),
        3,
    ),
    **dict.fromkeys(
        ("codex_rollout.jsonl", "gemini_cli_session.json", "gemini_cli_session.jsonl", "glaive.jsonl"), 2
    ),
    **dict.fromkeys(("hermes_function_calling.jsonl", "lmsys_chat.jsonl", "sharegpt.json"), 2),
    **dict.fromkeys(
        (
            "bfcl_result.jsonl",
            "continue_session.json",
            "openai_assistants_thread.json",
            "xlam_function_calling.json",
        ),
        1,
    ),
    "cline_api_conversation_history.json": 4,
    "REAL_atif_harbor_openhands.json": 2,
    "REAL_claude_code_representative.jsonl": 5,
    "REAL_claude_code_todowrite.jsonl": 6,
    "REAL_inspect_popularity.eval": 10,
    "REAL_inspect_popularity.json": 3,
    "REAL_langsmith_js_wrap_openai_default.json": 1,
    "REAL_openhands_basic.json": 2,
    "REAL_swe_agent_function_calling.traj": 11,
    "REAL_tau_bench_gpt4o_airline_3.json": 31,
    "REAL_vcr_anthropic_tools.yaml": 1,
    "REAL_vcr_openai_tool_calls.yaml": 3,
}
"""Files that are not written from the canonical calls, and how many calls they hold."""


class Read(NamedTuple):
    calls: list[Call]
    skips: list[Skip]

    @property
    def lost(self) -> list[Skip]:
        return [skip for skip in self.skips if not skip.is_no_call]


def read(path: Path) -> Read:
    found = list(read_calls(path, pseudonym=lambda raw, tenant: raw))
    return Read([f for f in found if isinstance(f, Call)], [f for f in found if isinstance(f, Skip)])


def as_value(text: Any) -> str:
    """A text, with JSON in one spelling."""
    if isinstance(text, list):
        text = "\n".join(str(part.get("text")) for part in text)
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (TypeError, ValueError):
        return text or ""


def seen(message: dict[str, Any]) -> tuple[Any, ...]:
    calls = [
        (c["function"]["name"], as_value(c["function"]["arguments"])) for c in message.get("tool_calls") or ()
    ]
    return message.get("role"), as_value(message.get("content")), tuple(calls)


def key(messages: list[dict[str, Any]], reply: dict[str, Any] | None) -> tuple[Any, ...]:
    return tuple(map(seen, messages)), seen(reply) if reply else None


def tool_forms(tools: Any) -> list[Any]:
    return sorted(
        (t["function"]["name"], json.dumps(t["function"].get("parameters"), sort_keys=True))
        for t in tools or ()
    )


def differences(call: Call, wanted: dict[str, Any]) -> list[str]:
    """Fields of a call that say something else than the canonical one; a field that the format does not have is none."""
    found = []
    if call.tools is not None and tool_forms(call.tools) != tool_forms(wanted["tools"]):
        found.append("tools")
    if call.usage is not None and (call.usage.prompt_tokens, call.usage.completion_tokens) not in (
        (wanted["p"], wanted["c"]),
        (wanted["p"], 0),  # a sample that gives the prompt's tokens only
    ):
        found.append("usage")
    if call.latency_ms is not None and abs(call.latency_ms - wanted["lat"] * 1000) > 1:
        found.append("latency")
    if call.timestamp is not None and abs(call.timestamp - wanted["ts"]) > 300:
        found.append("time")
    if wanted["error"] and call.response == {} and call.status not in (wanted["error"][0], 500):
        found.append("status")
    return found


def verdict(path: Path, canonical: list[dict[str, Any]]) -> str:
    """right, refused or a word of what is wrong."""
    got = read(path)
    if not got.calls:
        named = got.skips and not any("in no format" in skip.reason for skip in got.skips)
        return "refused" if named else f"wrong: {got.skips[:1]}"
    if path.name in N_CALLS:
        n = len(got.calls)
        return (
            "right" if n == N_CALLS[path.name] and all(c.response for c in got.calls) else f"wrong: {n} calls"
        )
    if len(got.lost) >= len(got.calls):
        return f"wrong: lost {Counter(s.reason for s in got.lost)}"
    keys = {key(c["msgs"], c["resp"]): c for c in canonical}
    matched = [(call, keys.get(key(call.messages, call.response))) for call in got.calls]
    strangers = [call for call, wanted in matched if wanted is None and call.response.get("content")]
    found = sorted({d for call, wanted in matched if wanted is not None for d in differences(call, wanted)})
    episodes: dict[str, set[str]] = {}
    for call, wanted in matched:
        if wanted is not None and call.episode:
            episodes.setdefault(call.episode, set()).add(wanted["ep"])
    if any(len(several) > 1 for several in episodes.values()):
        found.append("episodes mixed")
    missing = 0 if strangers and len(strangers) <= 1 else len(strangers)
    return "right" if not found and not missing else f"wrong: {found or f'{missing} strange calls'}"


def test_the_shared_logs_are_read_right_or_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    folder = CASES / "logs"
    if not folder.exists():
        pytest.skip("../shared/cases/logs is not here")
    canonical = json.loads((folder / "canonical_calls.json").read_text())
    verdicts = {
        p.name: verdict(p, canonical) for p in sorted(folder.iterdir()) if p.name != "canonical_calls.json"
    }
    count = Counter(word.split(":")[0] for word in verdicts.values())
    with capsys.disabled():
        print(f"\nshared logs: {len(verdicts)} files: {dict(count)}")  # noqa: T201
    assert {name: word for name, word in verdicts.items() if word.startswith("wrong")} == {}
    assert count["right"] >= 86


REFUSED = {
    *(
        "blank.jsonl",
        "empty.jsonl",
        "empty.jsonl.gz",
        "empty_array.json",
        "empty_object.json",
        "excel.xlsx",
        "html_error.json",
    ),
    *("junk.bin", "null.json", "number.json", "single_quotes.jsonl"),
}
LOSING = {
    *(
        "array_cut.json",
        "cut.jsonl.gz",
        "deep_nest.jsonl",
        "latin1.jsonl",
        "mixed_formats.jsonl",
        "odd_content.jsonl",
    ),
    *("odd_response.jsonl", "odd_roles.jsonl", "one_good_of_1000.jsonl", "trunc_last.jsonl", "with_partial"),
}
"""Files that hold records which nobody could read; each has to be named."""


def test_the_nasty_files_lose_nothing_and_say_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    folder = CASES / "nasty"
    if not folder.exists():
        pytest.skip("../shared/cases/nasty is not here")
    found = {path.name: read(path) for path in sorted(folder.iterdir())}
    whole = [name for name, got in found.items() if got.calls and not got.lost]
    with capsys.disabled():
        text = (
            f"\nnasty files: {len(found)}: {len(whole)} whole, {len(REFUSED)} refused, {len(LOSING)} in part"
        )
        print(text)  # noqa: T201
    assert {name for name, got in found.items() if not got.calls} == REFUSED
    assert {name for name, got in found.items() if got.calls and got.lost} == LOSING
    assert all(skip.reason for got in found.values() for skip in got.skips)
