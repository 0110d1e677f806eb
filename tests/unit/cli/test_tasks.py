"""tasks discover: one line for each call, the same tasks for the same log, nothing stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.cli.main import run
from deputize.core.artifacts import Curated, Discovered, Selected
from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.core.records import (
    Contract,
    Example,
    Field,
    KeySpace,
    PromptRecipe,
    Request,
    Route,
    RouteFile,
    Task,
    encode,
)
from deputize.core.signature import signature
from deputize.core.template_key import TemplateMatcher
from deputize.core.text_measures import TextMeasure
from deputize.home import Home
from deputize.pipeline.artifact import Artifact
from deputize.pipeline.conversion import do
from deputize.pipeline.edits_file import read_edits
from deputize.pipeline.run import Run, RunState, latest_run, read_state
from deputize.pipeline.stage_table import stage_of, steps_from
from deputize.routes_file import read_routes, write_routes
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.run_keys import run_key

ASKS = {
    "colour": ("Name the colour of the thing. Answer with one word.", ["red", "green", "blue"]),
    "late": ("Say whether the parcel is late. Answer with yes or no.", ["yes", "no"]),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    with path.open("w") as out:
        for i in range(120):
            kind = ("colour", "late")[i % 2]
            system, answers = ASKS[kind]
            row = {
                "id": f"{kind}-{i}",
                "run_id": f"e{i}",
                "agent": "a",
                "messages": [
                    {"role": "system", "content": system},
                    {"role": "user", "content": f"Thing: number {i}"},
                ],
                "response": {"role": "assistant", "content": answers[i % len(answers)]},
            }
            out.write(json.dumps(row) + "\n")
        out.write("{broken\n")
    return path


def test_discover(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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


def test_an_empty_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    assert run(["tasks", "discover", str(tmp_path / "empty.jsonl")]) == 3
    assert "empty.jsonl" in capsys.readouterr().err


def test_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "tasks", "list"]) == 3
    capsys.readouterr()
    folder = tmp_path / "runs" / "0001-abc"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    contract = Contract(kind="tool_call", tools=["look", "send"], may_defer=True)
    task = Task(
        id="t1",
        name="next step",
        contract=contract,
        recipe=PromptRecipe(),
        keys=["k"],
        n_calls=12,
        n_episodes=7,
    )
    discovered = Discovered(tasks=[task], keyspaces=[], assignment={})
    Artifact(folder, "cluster", Discovered, KeyRing.open(tmp_path)).write(discovered)
    assert run(["--home", str(tmp_path), "tasks", "list"]) == 0
    assert "tool call or left to the LLM: look, send" in capsys.readouterr().out
    assert run(["--home", str(tmp_path), "--json", "tasks", "list"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n_calls"] == 12


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A home whose newest run is finished: two tasks, each of two templates, and a live route for the first."""
    lines = [system for system, _ in ASKS.values()]
    examples = [
        Example(
            call_id=f"c{i}",
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"e{i}",
            split="train",
            request=Request(
                messages=[
                    {"role": "system", "content": "\n".join([lines[i % 2], *["Be brief."] * (i % 4 // 2)])}
                ]
            ),
            response={"role": "assistant", "content": "yes"},
        )
        for i in range(80)
    ]
    space = KeySpace(signature=signature(examples[0].request), lines=[*lines, "Be brief."])
    keys = [TemplateMatcher(space).key(e.request) for e in examples[:4]]
    label = Contract(kind="label", labels=["yes"])
    tasks = [
        Task(
            id="t1", name="colour", contract=label, recipe=PromptRecipe(), keys=[keys[0], keys[2]], n_calls=40
        ),
        Task(
            id="t2", name="late", contract=label, recipe=PromptRecipe(), keys=[keys[1], keys[3]], n_calls=40
        ),
        Task(id="t3", name="prose", contract=Contract(kind="text"), recipe=PromptRecipe(), keys=["x"]),
    ]
    keyring = KeyRing.open(tmp_path)
    state = RunState(
        run_id="0001-abc",
        settings=Convert().model_dump(mode="json"),
        n_calls=0,
        calls_digest="",
        finished=True,
        timings_s={"curate": 1.0, "cluster": 2.0, "select": 3.0},
    )
    folder = tmp_path / "runs" / state.run_id
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(encode(state))
    Artifact(folder, "curate", Curated, keyring).write(
        Curated(examples=examples, sites=[], n_calls=80, n_episodes=80, n_code_calls=80)
    )
    assignment = {e.call_id: f"t{1 + i % 2}" for i, e in enumerate(examples)}
    Artifact(folder, "cluster", Discovered, keyring).write(
        Discovered(tasks=tasks, keyspaces=[space], assignment=assignment)
    )
    Artifact(folder, "select", Selected, keyring).write(Selected(candidates={}, plan={}, base_model="m"))
    route = Route(
        id="route-t1",
        task_id="t1",
        task_name="colour",
        keys=[keys[2]],
        contract=label,
        specialist="runs/x",
        threshold=0.5,
        state="live",
    )
    file = RouteFile(run_id=state.run_id, keyspaces=[space], routes=[route])
    write_routes(tmp_path / "routes.json", file, Home(tmp_path).routes_seal)
    return tmp_path


def tasks_of(home: Path) -> list[Task]:
    return Artifact(home / "runs/0001-abc", "cluster", Discovered, KeyRing.open(home)).read().tasks


def told(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert run(["--home", str(home), "--json", "tasks", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_merge_then_split(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = told(edited, capsys, "merge", "t1", "t2")
    assert done["forgotten"] == ["select"] and done["tasks"][0]["n_calls"] == 80
    assert not (edited / "runs/0001-abc/select.sealed").exists()
    state = read_state(Home(edited), "0001-abc")
    assert not state.finished and state.timings_s == {"curate": 1.0, "cluster": 2.0}
    assert run(["--home", str(edited), "tasks", "split", done["tasks"][0]["id"]]) == 0
    out, err = capsys.readouterr()
    assert "Be brief." in out and "forgotten" not in err
    assert sorted(t.n_calls for t in tasks_of(edited)) == [0, 20, 20, 20, 20]
    noted = [e.action for e in AuditLog(edited, KeyRing.open(edited)).entries()]
    assert [a for a in noted if a.startswith("tasks.")] == ["tasks.merge", "tasks.split"]
    kept = (edited / "tasks.json").read_text()
    assert [e.action for e in read_edits(Home(edited)).edits] == ["merge", "split"]
    assert "brief" not in kept and "parcel" not in kept


def test_the_sentence_that_says_what_is_forgotten(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(edited), "tasks", "hide", "t2"]) == 0
    assert "(select) is forgotten; `deputize convert` makes it again" in capsys.readouterr().err


def test_rename_costs_nothing(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(edited, capsys, "rename", "t1", "tint")["forgotten"] == []
    assert (edited / "runs/0001-abc/select.sealed").exists()
    assert tasks_of(edited)[0].name == "tint" == read_routes(edited / "routes.json").routes[0].task_name
    assert read_state(Home(edited), "0001-abc").finished


def test_hide_closes_the_route_and_undo(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(edited, capsys, "hide", "t1")["tasks"][0]["hidden"] is True
    assert read_routes(edited / "routes.json").routes[0].state == "closed"
    assert run(["--home", str(edited), "tasks", "list"]) == 0
    assert "colour (hidden)" in capsys.readouterr().out
    told(edited, capsys, "hide", "t1", "--undo")
    assert not tasks_of(edited)[0].hidden


def test_what_cannot_be_edited(
    edited: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code, said in (
        (["merge", "t1", "t3"], 2, "text"),
        (["hide", "t9"], 3, "t1, t2, t3"),
        (["split", "t3"], 2, "nothing to split"),
    ):
        assert run(["--home", str(edited), "tasks", *words]) == code
        assert said in capsys.readouterr().err
    assert (edited / "runs/0001-abc/select.sealed").exists() and not (edited / "tasks.json").exists()
    empty = str(tmp_path_factory.mktemp("empty"))
    assert run(["--home", empty, "tasks", "hide", "t1"]) == 3
    (edited / "tasks.json").write_text("{")
    assert run(["--home", str(edited), "tasks", "hide", "t1"]) == 3
    assert "tasks.json" in capsys.readouterr().err


def test_tasks_found_again_are_edited_again(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = read_state(Home(edited), "0001-abc")
    with Home(edited) as opened:
        job = Run(opened, state, silent)
        job.forget(steps_from("cluster"))
        do(job, stage_of("cluster"))
        found = tasks_of(edited)
        told(edited, capsys, "rename", found[-1].id, "my own name")
        told(edited, capsys, "hide", found[-1].id)
        job.forget(steps_from("cluster"))
        do(job, stage_of("cluster"))
    again = tasks_of(edited)
    assert [(t.id, t.hidden) for t in again] == [(t.id, t is found[-1]) for t in found]
    assert again[-1].name == "my own name"


def test_tasks_keep_their_ids_in_later_runs(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"

    def find_tasks() -> tuple[Path, Discovered]:
        for step in (["curate"], ["cluster"]):
            assert run(["--home", str(home), *step]) == 0, capsys.readouterr().err
        path = home / "runs" / str(latest_run(Home(home))) / "cluster.sealed"
        return path, Artifact(
            path.parent, "cluster", Discovered, run_key(path.parent, KeyRing.open(home))
        ).read()

    assert run(["--home", str(home), "import", str(log)]) == 0
    path, first = find_tasks()
    # as if an earlier version had named them in another way
    other = {t.id: f"old{i}" for i, t in enumerate(first.tasks)}
    renamed = msgspec.structs.replace(
        first,
        tasks=[msgspec.structs.replace(t, id=other[t.id]) for t in first.tasks],
        assignment={c: other[t] for c, t in first.assignment.items()},
    )
    Artifact(path.parent, "cluster", Discovered, run_key(path.parent, KeyRing.open(home))).write(renamed)
    with log.open("a") as out:
        for i in range(120, 150):
            system, answers = ASKS["late"]
            messages = [
                {"role": "system", "content": system},
                {"role": "user", "content": f"Thing: number {i}"},
            ]
            row = {"id": f"late-{i}", "run_id": f"e{i}", "agent": "a", "messages": messages}
            out.write(
                json.dumps({**row, "response": {"role": "assistant", "content": answers[i % 2]}}) + "\n"
            )
    assert run(["--home", str(home), "import", str(log)]) == 0
    again, second = find_tasks()
    assert again != path
    assert {c: t for c, t in second.assignment.items() if c in renamed.assignment} == renamed.assignment
    assert {t.id for t in second.tasks} == set(other.values())


def test_the_type_of_a_field_is_set_by_hand(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(edited), "tasks", "field", "t1", "why", "free"]) == 3
    assert (
        "t1 has no field 'why'; there are: none: its replies are no JSON objects" in capsys.readouterr().err
    )
    folder = edited / "runs/0001-abc"
    keyring = KeyRing.open(edited)
    found = Artifact(folder, "cluster", Discovered, keyring).read()
    curated = Artifact(folder, "curate", Curated, keyring).read()
    reply = {"role": "assistant", "content": json.dumps({"why": "It is blue.", "n": 1})}
    examples = [msgspec.structs.replace(e, response=reply) for e in curated.examples]
    Artifact(folder, "curate", Curated, keyring).write(msgspec.structs.replace(curated, examples=examples))
    fields = [Field(name="why", type="value"), Field(name="n", type="value")]
    task = msgspec.structs.replace(found.tasks[0], contract=Contract(kind="json", fields=fields))
    found = msgspec.structs.replace(found, tasks=[task, *found.tasks[1:]])
    Artifact(folder, "cluster", Discovered, keyring).write(found)
    assert run(["--home", str(edited), "tasks", "field", "t1", "n", "free"]) == 2
    done = told(edited, capsys, "field", "t1", "why", "free")
    assert done["action"] == "field" and done["forgotten"] == ["select"]
    assert tasks_of(edited)[0].contract.uncompared == ["why"]
    assert [(e.action, e.name, e.type) for e in read_edits(Home(edited)).edits] == [("field", "why", "free")]
    assert run(["--home", str(edited), "tasks", "list"]) == 0
    assert "json: why (not compared), n" in capsys.readouterr().out


def test_texts_are_left_to_a_judge_that_is_named(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, keyring = edited / "runs/0001-abc", KeyRing.open(edited)
    found = Artifact(folder, "cluster", Discovered, keyring).read()
    task = msgspec.structs.replace(found.tasks[0], contract=Contract(kind="text"))
    Artifact(folder, "cluster", Discovered, keyring).write(
        msgspec.structs.replace(found, tasks=[task, *found.tasks[1:]])
    )
    assert run(["--home", str(edited), "tasks", "measure", "t1", "judge"]) == 2
    assert "There is no judge" in capsys.readouterr().err
    (edited / "config.toml").write_text('[judge]\nbase_url = "http://localhost:1"\nmodel = "j"\n')
    assert run(["--home", str(edited), "tasks", "measure", "t1", "judge", "--level", "0.8"]) == 2
    assert "knows no level" in capsys.readouterr().err
    assert told(edited, capsys, "measure", "t1", "judge")["action"] == "measure"
    measure = tasks_of(edited)[0].contract.measure
    assert measure is not None and measure.name == "judge"


def test_a_measure_is_shown_and_then_set(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(edited), "tasks", "measure", "t1", "words"]) == 2
    assert "its replies are none" in capsys.readouterr().err
    folder, keyring = edited / "runs/0001-abc", KeyRing.open(edited)
    found = Artifact(folder, "cluster", Discovered, keyring).read()
    curated = Artifact(folder, "curate", Curated, keyring).read()
    said = ["send the parcel today", "send the parcel now"]
    examples = [
        msgspec.structs.replace(e, response={"role": "assistant", "content": said[i // 2 % 2]})
        for i, e in enumerate(curated.examples)
    ]
    Artifact(folder, "curate", Curated, keyring).write(msgspec.structs.replace(curated, examples=examples))
    task = msgspec.structs.replace(found.tasks[0], contract=Contract(kind="text"))
    found = msgspec.structs.replace(found, tasks=[task, *found.tasks[1:]])
    Artifact(folder, "cluster", Discovered, keyring).write(found)
    shown = told(edited, capsys, "measure", "t1", "words")
    assert shown["n_equal_requests"] == 38 and shown["equal_requests"] == [1.0, 1.0]
    assert shown["n_different_requests"] == 1 and shown["different_requests"] == [0.75, 0.75]
    assert run(["--home", str(edited), "tasks", "measure", "t1", "words"]) == 0
    assert "Replies to different requests (1 pairs): 0.75 at the median" in capsys.readouterr().out
    assert tasks_of(edited)[0].contract.measure is None, "looking changes nothing"
    done = told(edited, capsys, "measure", "t1", "words", "--level", "0.8")
    assert done["action"] == "measure" and done["forgotten"] == ["select"]
    assert tasks_of(edited)[0].contract.measure == TextMeasure(name="words", level=0.8)
    assert run(["--home", str(edited), "tasks", "measure", "t1", "words", "--level", "0.7"]) == 0
    assert "agreement says little" in capsys.readouterr().err, "chance reaches .75"
    assert run(["--home", str(edited), "tasks", "list"]) == 0
    assert "text: compared by an F1 of words of 0.7" in capsys.readouterr().out
    told(edited, capsys, "measure", "t1", "exact")
    assert tasks_of(edited)[0].contract.measure is None
    assert [e.action for e in read_edits(Home(edited)).edits] == ["measure"] * 3
