"""Logs in every form become the same calls; bad lines are named, never fatal."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Call
from deputize.stages.collect.importers import import_paths, read_calls

ASK = [{"role": "system", "content": "Route."}, {"role": "user", "content": "hello"}]
SAY = {"role": "assistant", "content": "greeting"}


class ListStore:
    """A store in memory, as strict about ids as the real ones."""

    def __init__(self) -> None:
        self.kept: dict[str, Call] = {}

    def append(self, calls: Sequence[Call]) -> int:
        fresh = {c.id: c for c in calls if c.id not in self.kept}
        self.kept.update(fresh)
        return len(fresh)

    def calls(self, *, agent: str | None = None, since: float | None = None) -> Iterator[Call]:
        return iter(self.kept.values())

    def count(self) -> int:
        return len(self.kept)

    def add_feedback(self, *, episode: str = "", call_id: str = "", metric: str, value: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        return


class Keys:
    def pseudonym(self, raw_id: str, tenant: str = "default") -> str:
        return "p-" + raw_id[::-1]


def log(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n", "utf-8")
    return path


def calls_of(path: Path, **options: Any) -> list[Call]:
    out = list(read_calls(path, **options))
    assert all(isinstance(c, Call) for c in out), out
    return [c for c in out if isinstance(c, Call)]


def skips_of(path: Path, **options: Any) -> list[Skip]:
    return [s for s in read_calls(path, **options) if isinstance(s, Skip)]


def test_call_lines_keep_what_they_say(tmp_path: Path) -> None:
    row = {
        "id": "c1",
        "agent": "desk",
        "run_id": "r1",
        "task_id": 7,
        "step": 2,
        "model": "m",
        "messages": ASK,
        "tools": None,
        "response": SAY,
        "outcome": {"reward": 1.0, "success": True, "kind": "gold label"},
        "latency_s": 0.5,
        "usage": {"prompt_tokens": 9, "completion_tokens": 1},
        "timestamp": "2024-05-15T15:00:00Z",
        "response_format": {"type": "json_object"},
        "task_label": "leak",
        "cost_usd": 0.1,
    }
    (call,) = calls_of(log(tmp_path / "a.jsonl", row))
    assert (call.id, call.agent, call.episode, call.group, call.step) == ("c1", "desk", "r1", "desk:7", 2)
    assert call.outcome is not None and call.outcome.metric == "gold label" and call.outcome.success is True
    assert call.usage is not None and call.usage.prompt_tokens == 9
    assert call.latency_ms == 500 and call.timestamp == 1715785200 and call.cost_usd == 0.1
    assert call.params == {} and "leak" not in repr(call)


def test_request_response_logs_and_fine_tuning_lines_are_told_apart(tmp_path: Path) -> None:
    choice = {"index": 0, "message": SAY, "finish_reason": "stop"}
    request = {"model": "m", "messages": ASK, "temperature": 0, "user": "ann@example.org", "tools": []}
    wrapped = {
        "request": request,
        "response": {
            "id": "x",
            "created": 1715785200,
            "model": "m-1",
            "choices": [choice],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        },
    }
    plain = {"messages": ASK, "response": {"choices": [choice]}}
    tuning = {"messages": [*ASK, SAY]}
    text = {"messages": ASK, "completion": "greeting"}
    calls = calls_of(log(tmp_path / "a.jsonl", wrapped, plain, tuning, text), agent="given")
    assert [c.messages for c in calls] == [ASK] * 4
    assert {c.response["content"] for c in calls} == {"greeting"} and {c.agent for c in calls} == {"given"}
    first = calls[0]
    assert (first.finish_reason, first.timestamp, first.params) == ("stop", 1715785200, {"temperature": 0})
    assert first.origin == "" and "ann@" not in repr(first)


def test_origins_are_pseudonyms(tmp_path: Path) -> None:
    row = {"request": {"messages": ASK, "user": "ann"}, "response": SAY, "metadata": {"user_id": "bob"}}
    (call,) = calls_of(log(tmp_path / "a.jsonl", row), pseudonym=lambda raw, tenant: f"<{len(raw)} {tenant}>")
    assert call.origin == "<3 default>" and call.params == {}


def test_old_function_calls_become_tool_calls(tmp_path: Path) -> None:
    reply = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    row = {
        "messages": [*ASK, reply, {"role": "function", "name": "f", "content": "1"}],
        "response": reply,
        "functions": [{"name": "f"}],
    }
    (call,) = calls_of(log(tmp_path / "a.jsonl", row))
    assert call.response["tool_calls"][0]["function"]["name"] == "f" and "function_call" not in call.response
    assert call.tools == [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{broken", "not JSON"),
        ('{"messages": "\\ud800"', "not JSON"),
        ("[1]x", "not JSON"),
        ("3", "not a JSON object"),
        ({"response": SAY}, "no messages"),
        ({"messages": [], "response": SAY}, "at least one message"),
        ({"messages": ASK}, "no response"),
        ({"messages": ASK, "response": 3}, "not an object"),
        ({"messages": ASK, "response": {"role": "assistant"}}, "neither content nor tool calls"),
        ({"messages": ASK, "response": {"role": "user", "content": "x"}}, "not an assistant"),
        ({"messages": ASK, "response": {"error": {"message": "secret"}}}, "is an error"),
        ({"messages": ASK, "response": {"choices": []}}, "no choice"),
        ({"messages": [{"role": "alien", "content": "x"}], "response": SAY}, "known role"),
        ({"messages": [{"role": "user", "content": 3}], "response": SAY}, "content"),
        ({"messages": ASK, "response": SAY, "tools": "f"}, "tools"),
        ({"request": {"messages": ASK}}, "without its response"),
    ],
)
def test_bad_lines_are_named_and_the_rest_is_read(tmp_path: Path, line: Any, reason: str) -> None:
    path = log(
        tmp_path / "a.jsonl", {"messages": ASK, "response": SAY}, line, {"messages": ASK, "response": SAY}
    )
    read = list(read_calls(path))
    assert [type(r) for r in read] == [Call, Skip, Call]
    skip = read[1]
    assert isinstance(skip, Skip) and skip.file == "a.jsonl" and skip.line == 2 and reason in skip.reason


def test_gzip_is_told_by_content_and_a_cut_file_keeps_its_head(tmp_path: Path) -> None:
    plain = b"".join(
        json.dumps({"id": f"c{i}", "messages": ASK, "response": f"{i * 7919}"}).encode() + b"\n"
        for i in range(3000)
    )
    whole = tmp_path / "no-suffix"
    whole.write_bytes(gzip.compress(plain))
    assert len(calls_of(whole)) == 3000
    whole.write_bytes(gzip.compress(plain)[:-2000])
    read = list(read_calls(whole))
    assert len(read) > 100 and isinstance(read[-1], Skip) and "cut off" in read[-1].reason


def test_a_json_array_a_bom_and_empty_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([{"messages": ASK, "response": SAY}, 3], indent=1).encode())
    read = list(read_calls(path))
    assert isinstance(read[0], Call) and isinstance(read[1], Skip)
    path.write_text("\n\n" + json.dumps({"messages": ASK, "response": SAY}) + "\n\n")
    assert len(calls_of(path)) == 1
    path.write_text("[1, 2")
    assert skips_of(path)[0].reason.startswith("starts like a JSON array")


def test_ids_are_the_same_at_every_import_and_no_call_is_lost(tmp_path: Path) -> None:
    row = {"messages": ASK, "response": SAY}
    path = log(
        tmp_path / "a.jsonl", row, row, {"id": "x", **row}, {"id": "x", **row, "step": 1}, {"id": "x", **row}
    )
    ids = [c.id for c in calls_of(path)]
    assert ids == [c.id for c in calls_of(path)]
    assert ids[0] != ids[1] and ids[2:] == ["x", "x#2", "x"]


def test_import_is_idempotent_and_counts(tmp_path: Path) -> None:
    path = log(tmp_path / "a.jsonl", {"messages": ASK, "response": SAY, "user": "ann"}, "{broken")
    empty = log(tmp_path / "b.jsonl")
    store: Any = ListStore()
    keys: Any = Keys()
    first = import_paths(store, keys, [tmp_path])
    assert (first.n_calls, first.n_duplicates, first.n_skipped) == (1, 0, 2)
    assert [s.file for s in first.skipped] == [path.name, empty.name]
    second = import_paths(store, keys, [path])
    assert (second.n_calls, second.n_duplicates, store.count()) == (0, 1, 1)
    assert next(store.calls()).origin == "p-nna"


def test_what_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    store: Any = ListStore()
    keys: Any = Keys()
    with pytest.raises(BadInput, match="does not exist"):
        import_paths(store, keys, [tmp_path / "none.jsonl"])
    with pytest.raises(BadInput, match="holds no log"):
        import_paths(store, keys, [tmp_path])
    empty = log(tmp_path / "a.jsonl")
    with pytest.raises(BadInput, match="not one call"):
        import_paths(store, keys, [empty])
    with pytest.raises(BadInput, match=r"a\.jsonl, line 1: not JSON"):
        import_paths(store, keys, [log(empty, "{")])
    with pytest.raises(UsageError, match="formats are"):
        list(read_calls(empty, "xml"))


def test_nothing_is_stored_when_one_path_is_missing(tmp_path: Path) -> None:
    store: Any = ListStore()
    keys: Any = Keys()
    good = log(tmp_path / "a.jsonl", {"messages": ASK, "response": SAY})
    with pytest.raises(BadInput):
        import_paths(store, keys, [good, tmp_path / "none"])
    assert store.count() == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "messages",
                    "response",
                    "role",
                    "content",
                    "tool_calls",
                    "request",
                    "choices",
                    "message",
                    "usage",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(json_values | st.binary(max_size=30), max_size=5))
def test_any_line_is_a_call_or_a_skip(rows: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.jsonl"
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in rows]
    path.write_bytes(b"\n".join(lines))
    for item in read_calls(path):
        assert isinstance(item, Call | Skip)
