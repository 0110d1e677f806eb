"""feedback from the command line, and the right answer in place of the LLM's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.feedback import read_correction_option
from deputize.cli.main import run
from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.core.records import Call, Decision
from deputize.home import Home
from deputize.pipeline.conversion import open_run
from deputize.pipeline.curation import CorrectedCalls, LearnableCalls
from deputize.testing import call


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Home(tmp_path) as opened:
        opened.store.append(
            [
                call("c1", reply="refund", episode="ticket-1", site="triage"),
                call("c2", reply="yes", episode="ticket-1", site="policy"),
                call("c3", reply="refund", episode="ticket-2", site="triage"),
                call("d1", reply="refund", decision=Decision(served_by="slm", reason="live")),
            ]
        )
    return tmp_path


def calls(home: Path) -> dict[str, Call]:
    with Home(home) as opened:
        return {c.id: c for c in opened.store.calls()}


def test_an_episode_by_its_id(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "feedback", "ticket-1", "--failure", "--score", "2"]) == 0
    assert "episode ticket-1." in capsys.readouterr().out
    with Home(home) as opened:  # a whole id is looked up: no call was read
        assert not [e for e in opened.audit.entries() if e.action == "read.raw"]
    found = calls(home)
    outcome = found["c2"].outcome
    assert outcome is not None and (outcome.success, outcome.reward) == (False, 2.0)
    assert found["c3"].outcome is None


def test_an_episode_by_its_beginning(home: Path) -> None:
    with Home(home) as opened:
        opened.store.append([call("c4", reply="refund", episode="order-7")])
    assert run(["--home", str(home), "feedback", "ord", "--success"]) == 0
    outcome = calls(home)["c4"].outcome
    assert outcome is not None and outcome.success


@pytest.mark.parametrize("given", ["ticket-2", "c3"])
def test_a_correction_takes_the_place_of_the_answer(home: Path, given: str) -> None:
    assert run(["--home", str(home), "feedback", given, "--correction", "shipping"]) == 0
    right = {"role": "assistant", "content": "shipping"}
    assert calls(home)["c3"].correction == right and calls(home)["c3"].response["content"] == "refund"
    with Home(home) as opened:
        started = open_run(opened, Convert(), silent)
        learned = {c.id: c for c in CorrectedCalls(started)}
        certified = [c for c in LearnableCalls(started) if c.id == "c3"] + [
            *LearnableCalls(started).get(["c3"])
        ]
    assert learned["c3"].response == right and learned["c1"].response["content"] == "refund"
    assert [c and c.response["content"] for c in certified] == ["refund", "refund"], "what the LLM said"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nobody", "--success"], 3, "no episode or call 'nobody'"),
        (["ticket", "--success"], 3, "more than one"),
        (["ticket-1", "--correction", "x"], 3, "c1 (triage), c2 (policy)"),
        (["ticket-1"], 2, "nothing to tell"),
        (["c1", "--correction", "@nowhere"], 3, "cannot be read"),
    ],
)
def test_what_cannot_be_told(
    home: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(home), "feedback", *words]) == code
    assert said in capsys.readouterr().err


def test_a_correction_of_a_specialist_says_what_it_is_not_for(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(home), "feedback", "d1", "--correction", "x"]) == 0
    assert "not trained on" in capsys.readouterr().out


def test_a_correction_from_a_file_may_be_a_message(tmp_path: Path) -> None:
    calls = [{"function": {"name": "close", "arguments": "{}"}}]
    (tmp_path / "m.json").write_text(json.dumps({"tool_calls": calls}))
    assert read_correction_option(f"@{tmp_path / 'm.json'}")["tool_calls"] == calls
    assert read_correction_option('{"queue": "returns"}') == {
        "role": "assistant",
        "content": '{"queue": "returns"}',
    }, "an answer that is JSON is a text"
