"""`dataset relabel`: LLMs (simulated here) are asked again about training calls, and the next curation learns from
their votes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deputize.cli.main import run
from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.contracts import text_of
from deputize.core.records import Call, Example, Message
from deputize.home import Home
from deputize.pipeline import conversion
from deputize.stages.curate.new_answers import read_new_answers
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.testing import ScriptedUpstream, ScriptError, in_thread

NAME = "Mia Zelmanovich"
CONFIG = Convert()


def right(number: int) -> str:
    return "late" if number % 3 == 0 else "in time"


def fill(home: Path) -> None:
    """A log in which every seventh answer is wrong."""
    keyring = KeyRing.open(home)
    store = Home(home, keyring=keyring).open_store()
    store.append(
        [
            Call(
                id=f"call-{n}",
                agent="a",
                episode=f"e{n}",
                timestamp=1e9 + n,
                origin=keyring.pseudonym(f"customer-{n % 9}", "default"),
                messages=[
                    {"role": "system", "content": "Say whether the parcel is late: late, or in time."},
                    {"role": "user", "content": f"I am {NAME}. Parcel {n} of {n % 3} days."},
                ],
                response={"role": "assistant", "content": right(n if n % 7 else n + 1)},
            )
            for n in range(120)
        ]
    )
    store.close()


def stage(home: Path, step: str, *, again: bool = False) -> list[Example]:
    with Home(home) as opened:
        done = conversion.run_stage(opened, step, CONFIG, again=again)
        return list(done.artifact("curate", Curated).examples())


def careful(body: dict[str, Any]) -> Message:
    """A simulated LLM that reads the days, unlike the one of the log."""
    asked = str(body["messages"][-1]["content"])
    return {"role": "assistant", "content": "late" if " of 0 days" in asked else "in time"}


def relabel(home: Path, *more: str) -> int:
    return run(["--home", str(home), "--json", "dataset", "relabel", "--model", "careful", *more])


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


def set_upstream(home: Path, url: str) -> None:
    (home / "config.toml").write_text(f'[[gateway.upstreams]]\nname = "llm"\nbase_url = "{url}"\n')


def test_the_next_curation_learns_what_most_llms_answer(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {e.call_id: e for e in stage(home, "curate")}
    with in_thread(ScriptedUpstream(careful)) as llm:
        set_upstream(home, llm.url)
        assert relabel(home) == 0
    document = json.loads(capsys.readouterr().out)
    train = {id for id, e in before.items() if e.split == "train" and e.trainable}
    assert document["same"] + document["other"] == len(train) and document["divided"] == 0
    assert document["n_questions"] == document["same"] + 2 * document["other"] and document["n_left"] == 0
    # what the LLM was sent is de-identified
    assert llm.n_requests == document["n_questions"] and NAME not in json.dumps(list(llm.requests))
    after = {e.call_id: e for e in stage(home, "curate", again=True)}
    changed = {id for id in before if text_of(before[id].response) != text_of(after[id].response)}
    assert changed == {id for id in train if int(id.split("-")[1]) % 7 == 0 and _wrong(before[id])}
    assert len(changed) == document["other"] >= 3
    assert all(after[id].answered_by == "careful" for id in changed)
    assert run(["--home", str(home), "dataset", "card"]) == 0
    assert f"{len(changed)} examples of train have an answer of careful" in capsys.readouterr().out
    entries = AuditLog(home, KeyRing.open(home)).entries()
    assert [e.detail["models"] for e in entries if e.action == "dataset.relabel"] == ["careful"]


def _wrong(example: Example) -> bool:
    return text_of(example.response) != right(int(example.call_id.split("-")[1]))


def test_a_second_round_goes_on_where_the_first_ended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with in_thread(ScriptedUpstream(careful)) as llm:
        set_upstream(home, llm.url)
        assert relabel(home, "--max-questions", "10") == 0
        first = json.loads(capsys.readouterr().out)
        assert first["n_questions"] <= 10 and first["stopped"]
        assert relabel(home) == 0
        second = json.loads(capsys.readouterr().out)
        assert second["same"] + second["other"] == first["n_left"] and second["n_left"] == 0
        assert relabel(home) == 3
        assert "no call of train left" in capsys.readouterr().err


def test_a_budget_ends_it_and_what_was_paid_for_is_kept(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with in_thread(ScriptedUpstream(careful)) as llm:
        set_upstream(home, llm.url)
        assert relabel(home, "--budget-usd", "0.000001") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert 1 <= document["n_questions"] <= 2 and "budget" in document["stopped"]
    assert len(read_new_answers(home, KeyRing.open(home))) == 1


def test_an_llm_that_fails_leaves_its_calls_open(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(body: dict[str, Any]) -> Message:
        raise ScriptError(400, "no such model")

    with in_thread(ScriptedUpstream(failing)) as llm:
        set_upstream(home, llm.url)
        assert relabel(home) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["n_questions"] == llm.n_requests == 3 and "status 400" in document["stopped"]
    assert read_new_answers(home, KeyRing.open(home)) == {}


def test_an_erased_call_leaves_no_new_answer(home: Path) -> None:
    with in_thread(ScriptedUpstream(careful)) as llm:
        set_upstream(home, llm.url)
        assert relabel(home) == 0
    before = set(read_new_answers(home, KeyRing.open(home)))
    assert run(["--home", str(home), "erase", "--origin", "customer-3"]) == 0
    gone = {id for id in before if int(id.split("-")[1]) % 9 == 3}
    assert gone and set(read_new_answers(home, KeyRing.open(home))) == before - gone


def test_wrong_words_are_refused_before_anything_is_sent(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert relabel(home) == 2 and "no upstream" in capsys.readouterr().err
    with in_thread(ScriptedUpstream(careful)) as llm:
        set_upstream(home, llm.url)
        assert relabel(home, "--votes", "4") == 2 and "odd" in capsys.readouterr().err
        assert relabel(home, "--upstream", "other") == 2 and "llm" in capsys.readouterr().err
        assert relabel(home, "--task", "nothing") == 3
        assert llm.n_requests == 0
