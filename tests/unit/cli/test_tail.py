"""tail: the last calls, then those that come; nothing of their texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.cli.tail import line_of, new_calls
from deputize.core.records import Decision, Usage
from deputize.home import Home
from deputize.operations.call_rows import call_row, last_calls
from deputize.scoring.costs import load_prices
from deputize.store.memory import MemoryStore
from deputize.testing import ManualClock, call

USAGE = Usage(prompt_tokens=1_000_000, completion_tokens=0)
SERVED = Decision(served_by="slm", reason="live", route_id="r1", specialist_ms=2.0)


def test_the_last_calls_are_shown_without_their_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home(tmp_path) as home:
        home.store.append(
            [
                call(
                    f"c{i}",
                    "my secret",
                    agent="desk",
                    site="triage",
                    timestamp=float(i),
                    model="gpt-4o",
                    usage=USAGE,
                    latency_ms=3.0,
                    decision=SERVED if i % 2 else None,
                )
                for i in range(5)
            ]
        )
    assert run(["--home", str(tmp_path), "tail", "--no-follow", "--last", "2"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert len(lines) == 2 and max(map(len, lines)) <= 80 and "secret" not in out
    assert "specialist live" in lines[0] and "3 ms saved $" in lines[0] and "LLM" in lines[1]
    assert run(["--home", str(tmp_path), "--json", "tail", "--no-follow"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [f"c{i}" for i in range(5)] and "secret" not in str(rows)
    (entry,) = [e for e in Home(tmp_path).audit.entries() if e.detail.get("command") == "tail"][-1:]
    assert entry.action == "read.raw"


def test_json_and_following_do_not_go_together(tmp_path: Path) -> None:
    assert run(["--home", str(tmp_path), "--json", "tail"]) == 2


def test_calls_that_come_are_shown_once() -> None:
    store, clock = MemoryStore(), ManualClock(1000.0)
    store.append([call("old", timestamp=999.0)])
    arriving = iter([["a"], [], ["b", "c"]])

    def pause() -> None:
        clock.advance(1.0)
        store.append([call(id, timestamp=clock()) for id in next(arriving)])

    seen = new_calls(store, None, clock, pause=pause)
    assert [next(seen).id for _ in range(3)] == ["a", "b", "c"]


def test_the_whole_store_is_read_where_the_last_hour_has_too_few() -> None:
    store = MemoryStore()
    store.append([call("old", timestamp=1.0), call("new", timestamp=10_000.0)])
    assert [c.id for c in last_calls(store, None, 2, 10_001.0)] == ["old", "new"]
    assert [c.id for c in last_calls(store, None, 1, 10_001.0)] == ["new"]


def test_a_long_agent_gives_way_to_its_site_and_a_failure_is_named() -> None:
    row = call_row(
        call("a", agent="an agent with a long name", site="triage", status=502, latency_ms=1e6), load_prices()
    )
    assert "triage" in line_of(row) and "status 502" in line_of(row) and len(line_of(row)) <= 80
