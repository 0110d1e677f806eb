"""`dataset expand`: an LLM (simulated here) makes up examples of a task, and the next curation trains on them and
measures on none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.pipeline.test_relabelling import CONFIG, NAME, fill, set_upstream, stage

from deputize.cli.main import run
from deputize.core.artifacts import Discovered, Finetuned
from deputize.core.contracts import text_of
from deputize.core.errors import BadInput
from deputize.core.records import Contract, Example, Message, PromptRecipe, Request, Task
from deputize.home import Home
from deputize.pipeline import conversion
from deputize.pipeline.expansion import ExpansionLimits, expand, not_expandable
from deputize.pipeline.run import artifact_of, latest_run
from deputize.stages.curate.synthetic import read_synthetic
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.testing import ScriptedUpstream, in_thread
from deputize.wire.events import Completion

ROOT = Path(__file__).resolve().parents[3]
DESIGNER = os.environ.get("DEPUTIZE_DESIGNER_PYTHON") or ROOT / ".env-designer" / "bin" / "python"


@pytest.fixture(scope="module")
def with_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("with-tasks") / "home"
    fill(home)
    stage(home, "curate")
    stage(home, "cluster")
    return home


@pytest.fixture
def home(with_tasks: Path, tmp_path: Path) -> Path:
    """A copy, since each test changes it."""
    return Path(shutil.copytree(with_tasks, tmp_path / "home"))


def the_task(home: Path) -> Task:
    with Home(home) as opened:
        run_id = latest_run(opened)
        assert run_id is not None
        (task,) = artifact_of(opened, run_id, "cluster", Discovered).read().tasks
    return task


class Writer:
    """A simulated LLM that writes inputs: the same with another number; every fourth twice."""

    def __init__(self) -> None:
        self.n, self.shown = 0, list[str]()

    def __call__(self, texts: Sequence[str], kind: str, n: int) -> list[tuple[int, str]]:
        self.shown += texts
        out = []
        for at in range(n):
            self.n += at % 4 != 3
            out.append((at % len(texts), f"Parcel {9000 + self.n} of {self.n % 3} days."))
        return out


def answer(request: Request) -> Completion:
    """A simulated LLM that reads the days, and once in five says something else."""
    text = text_of(request.messages[-1])
    number = int(text.split()[1])
    content = "I cannot tell." if number % 5 == 0 else "late" if " of 0 days" in text else "in time"
    return Completion(message={"role": "assistant", "content": content}, finish_reason="stop")


def expanded(home: Path, n: int = 30, budget: float | None = None) -> Any:
    task = the_task(home)
    with Home(home) as opened:
        run_id = latest_run(opened)
        assert run_id is not None
        limits = ExpansionLimits(task.id, "writer", n, budget)
        return expand(opened, run_id, None, Writer(), answer, limits)


def test_made_up_examples_are_trained_on_and_nothing_else(home: Path) -> None:
    task_before = the_task(home)
    done = expanded(home)
    assert done.n_made == 30 and done.n_repeated > 0 and done.n_unanswered > 0 and not done.stopped
    assert done.n_questions > 60 and done.usd > 0
    before = stage(home, "curate")
    after = stage(home, "curate", again=True)
    made = [e for e in after if e.made_from]
    assert len(made) == 30 and [e for e in after if not e.made_from] == before
    of = {e.call_id: e for e in before}
    assert {e.split for e in made} == {"train"} == {of[e.made_from].split for e in made}
    assert all(e.group == of[e.made_from].group and e.origin == of[e.made_from].origin for e in made)
    assert all(e.answered_by == "writer" and e.training_only for e in made)
    with Home(home) as opened:
        settings = CONFIG.model_copy(update={"methods": ("linear",), "explore": True})
        for step in ("curate", "cluster", "select", "finetune"):
            done = conversion.run_stage(opened, step, settings)
        (specialist,) = done.artifact("finetune", Finetuned).read().specialists
    assert the_task(home).n_calls == task_before.n_calls, "no call of the log"
    in_train = [e for e in before if e.split == "train" and e.trainable]
    assert specialist.n_train == len(in_train) + 30
    assert set(specialist.trained_on) == {e.call_id for e in in_train}


def test_the_card_names_them_and_an_export_marks_them(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expanded(home)
    stage(home, "curate", again=True)
    assert run(["--home", str(home), "dataset", "card"]) == 0
    card = capsys.readouterr().out
    assert "30 more examples of train are synthetic: writer made them up" in card
    assert "120 examples from 120 calls" in card
    assert run(["--home", str(home), "dataset", "export", "--out", str(tmp_path / "out")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    assert sum(row["synthetic"] for row in rows) == 30


def test_only_deidentified_texts_of_train_are_shown(home: Path) -> None:
    task, writer = the_task(home), Writer()
    with Home(home) as opened:
        run_id = latest_run(opened)
        assert run_id is not None
        expand(opened, run_id, None, writer, answer, ExpansionLimits(task.id, "writer", 100))
    train = {text_of(e.request.messages[-1]) for e in stage(home, "curate") if e.split == "train"}
    assert writer.shown and set(writer.shown) <= train and NAME not in json.dumps(writer.shown)


def test_a_budget_ends_it_and_what_was_paid_for_is_kept(home: Path) -> None:
    done = expanded(home, budget=1e-5)
    assert 1 <= done.n_made < 30 and "budget" in done.stopped
    assert len(read_synthetic(home, KeyRing.open(home))) == done.n_made


def test_an_erased_call_takes_what_was_made_from_it(home: Path) -> None:
    expanded(home)
    stage(home, "curate", again=True)
    before = read_synthetic(home, KeyRing.open(home))
    assert run(["--home", str(home), "erase", "--origin", "customer-3"]) == 0
    after = read_synthetic(home, KeyRing.open(home))
    gone = {id for id, e in before.items() if int(e.made_from.split("-")[1]) % 9 == 3}
    assert gone and set(after) == set(before) - gone
    left = [e for e in stage(home, "curate") if e.made_from]
    assert {e.call_id for e in left} == set(after), "the run's examples went with them"


def test_a_call_that_leaves_train_takes_what_was_made_from_it(home: Path) -> None:
    expanded(home)
    (home / "config.toml").write_text("")
    with Home(home) as opened:
        other = CONFIG.model_copy(update={"seed": 5, "split": (0.2, 0.2, 0.3, 0.3)})
        done = conversion.run_stage(opened, "curate", other)
        examples: list[Example] = list(done.artifact("curate", type(done.load_curated())).examples())
    split_of = {e.call_id: e.split for e in examples}
    made = [e for e in examples if e.made_from]
    assert {split_of[e.made_from] for e in made} <= {"train"}
    assert len(made) < 30


def test_what_cannot_be_expanded_says_why(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = Task(
        id="s", name="s", contract=Contract(kind="text"), recipe=PromptRecipe(mode="dialogue"), keys=[]
    )
    assert "steps of an agent's run" in not_expandable(steps)
    listed = Task(
        id="l", name="l", contract=Contract(kind="text"), recipe=PromptRecipe(with_list=True), keys=[]
    )
    assert "lists its own tools" in not_expandable(listed)
    with Home(home) as opened:
        run_id = latest_run(opened)
        assert run_id is not None
        with pytest.raises(BadInput, match="no task 'nothing'"):
            expand(opened, run_id, None, Writer(), answer, ExpansionLimits("nothing", "writer"))
    with in_thread(ScriptedUpstream(lambda body: {"role": "assistant", "content": "x"})) as llm:
        set_upstream(home, llm.url)
        words = ["--home", str(home), "dataset", "expand", "--model", "m", "--task", the_task(home).id]
        assert run(words) == 4
        assert "data-designer is not installed" in capsys.readouterr().err
        assert run([*words, "--python", "/nowhere/python"]) == 3
        assert llm.n_requests == 0


def writes_and_answers(body: dict[str, Any]) -> Message:
    """A simulated LLM that is asked both to write inputs and to answer them."""
    asked = text_of(body["messages"][-1])
    if "END OF INPUT" in asked:
        writes_and_answers.n += 1  # type: ignore[attr-defined]
        number = writes_and_answers.n  # type: ignore[attr-defined]
        return {"role": "assistant", "content": f"Parcel {8000 + number} of {number % 3} days."}
    return {"role": "assistant", "content": "late" if " of 0 days" in asked else "in time"}


writes_and_answers.n = 0  # type: ignore[attr-defined]


@pytest.mark.slow
def test_data_designer_itself_writes_the_inputs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path(DESIGNER).exists():
        pytest.skip("data-designer has an environment of its own: make designer")
    with in_thread(ScriptedUpstream(writes_and_answers)) as llm:
        set_upstream(home, llm.url)
        words = [
            "--home",
            str(home),
            "--json",
            "dataset",
            "expand",
            "--model",
            "m",
            "--task",
            the_task(home).id,
        ]
        assert run([*words, "--examples", "12", "--python", str(DESIGNER)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["n_made"] == 12 and document["n_questions"] == 24 == llm.n_requests
        assert NAME not in json.dumps(list(llm.requests))
    entries = AuditLog(home, KeyRing.open(home)).entries()
    assert [e.detail["models"] for e in entries if e.action == "dataset.expand"] == ["m"]
