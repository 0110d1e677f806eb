"""Logs in every form become the same calls; bad lines are named, never fatal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput, UsageError
from deputize.core.recording_policy import Recording
from deputize.core.records import Call
from deputize.stages.collect.import_logs import import_paths, read_calls

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


def test_an_import_keeps_to_the_policy_of_recording(tmp_path: Path) -> None:
    rows = [{"id": n, "messages": ASK, "response": SAY, "agent": n} for n in ("all", "some", "none")]
    store = ListStore()
    policy = Recording(sites={"some": "metadata", "none": "off"})
    done = import_paths(store, Keys(), [log(tmp_path / "a.jsonl", *rows)], recording=policy)  # type: ignore[arg-type]
    kept = {c.agent: c for c in store.kept.values()}
    assert (done.n_calls, done.n_not_kept, sorted(kept)) == (2, 1, ["all", "some"])
    assert kept["all"].messages == ASK and kept["some"].recorded == "metadata" and not kept["some"].messages
    nothing = import_paths(ListStore(), Keys(), [tmp_path / "a.jsonl"], recording=Recording(default="off"))  # type: ignore[arg-type]
    assert (nothing.n_calls, nothing.n_not_kept) == (0, 3)
