"""tasks discover: one line for each call, the same tasks for the same log, nothing stored."""

from __future__ import annotations

import json

import pytest

from deputize.cli.main import run
from deputize.core.artifacts import Discovered
from deputize.core.records import Contract, Recipe, Task
from deputize.store.keys import KeyRing
from deputize.store.sealed import write_sealed

ASKS = {
    "colour": ("Name the colour of the thing. Answer with one word.", ["red", "green", "blue"]),
    "late": ("Say whether the parcel is late. Answer with yes or no.", ["yes", "no"]),
}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "calls.jsonl"
    with path.open("w") as out:
        for i in range(120):
            kind = ("colour", "late")[i % 2]
            system, answers = ASKS[kind]
            row = {
                "id": f"{kind}-{i}", "run_id": f"e{i}", "agent": "a",
                "messages": [{"role": "system", "content": system}, {"role": "user", "content": f"Thing: number {i}"}],
                "response": {"role": "assistant", "content": answers[i % len(answers)]},
            }  # fmt: skip
            out.write(json.dumps(row) + "\n")
        out.write("{broken\n")
    return path


def test_discover(log, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(["tasks", "discover", str(log)]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 120
    assert set(rows[0]) == {"id", "task", "name", "signature", "template"}
    tasks = {kind: {r["task"] for r in rows if r["id"].startswith(kind)} for kind in ASKS}
    assert len(tasks["colour"]) == len(tasks["late"]) == 1
    assert tasks["colour"] != tasks["late"]
    assert "calls.jsonl:121: not JSON" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calls.jsonl"]


def test_an_empty_log(tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    assert run(["tasks", "discover", str(tmp_path / "empty.jsonl")]) == 3
    assert "empty.jsonl" in capsys.readouterr().err


def test_list(tmp_path, capsys):
    assert run(["--home", str(tmp_path), "tasks", "list"]) == 3
    capsys.readouterr()
    folder = tmp_path / "runs" / "0001-abc"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    contract = Contract(kind="tool_call", tools=["look", "send"], may_leave=True)
    task = Task(
        id="t1", name="next step", contract=contract, recipe=Recipe(), keys=["k"], n_calls=12, n_episodes=7
    )
    discovered = Discovered(tasks=[task], keyspaces=[], assignment={})
    write_sealed(folder / "cluster.sealed", discovered, KeyRing.open(tmp_path))
    assert run(["--home", str(tmp_path), "tasks", "list"]) == 0
    assert "tool call or left to the LLM: look, send" in capsys.readouterr().out
    assert run(["--home", str(tmp_path), "--json", "tasks", "list"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n_calls"] == 12
