"""A log with too few episodes to certify anything: said before anything is trained, with the flag and the wait."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from tests import tiny_model
from tests.integration.pipeline.letters import letters

from deputize.cli.main import run
from deputize.core.artifacts import Finetuned
from deputize.home import Home
from deputize.pipeline.ledger_file import LedgerFile
from deputize.pipeline.run import Run, latest_run, read_state

N_CALLS, DAYS = 80, 20


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_model.installed(tmp_path / "models", tmp_path)
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    calls = [
        msgspec.structs.replace(call, timestamp=1.7e9 + 86_400.0 * DAYS * i / (N_CALLS - 1))
        for i, call in enumerate(letters("email", N_CALLS))
    ]
    with Home(tmp_path / "home") as opened:
        opened.store.append(calls)
    return tmp_path / "home"


def convert(home: Path, *options: str) -> int:
    return run(
        ["--home", str(home), "--json", "convert", "--model", tiny_model.NAME, "--method", "linear", *options]
    )


def test_nothing_is_trained_and_the_sentence_names_the_flags_and_the_wait(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(home) == 6
    out, err = capsys.readouterr()
    report = json.loads(out)
    (task,) = report["tasks"]
    found = task["feasibility"]
    assert (found["n_groups"], found["n_needed"], found["possible"]) == (80, 63, False)
    assert 15 <= found["n_units"] <= 20 and found["days"] == pytest.approx(
        found["n_more_groups"] * DAYS / 80, rel=0.01
    )
    for words in ("63 are needed", "`--epsilon 0.1", "more episodes would do, about", "`--explore`"):
        assert words in report["nothing_trained_reason"] and words in task["refusal_reason"].replace(
            "N", "n"
        ), words
        assert words in err
    with Home(home) as opened:
        finished = Run(opened, read_state(opened, latest_run(opened) or ""))
        assert finished.load("finetune", Finetuned).specialists == []
        timings = finished.state.timings_s
        assert timings["select"] + timings["finetune"] + timings["evaluate"] < 5
    page = next((home / "runs").glob("*/report.html")).read_text("utf-8").replace("\u00a0", " ")
    assert (
        report["nothing_trained_reason"].split("`")[0] in page and "Before training: 80 independent" in page
    )
    assert run(["--home", str(home), "report"]) == 0, "the report itself is fine"
    assert "63 are needed" in " ".join(capsys.readouterr().out.split())


def test_a_handful_of_calls_ends_in_the_same_way_and_promises_no_flag(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home(tmp_path / "small") as small:
        small.store.append(list(letters("email", 20)))
    assert convert(tmp_path / "small", "--explore") == 6
    report = json.loads(capsys.readouterr().out)
    (task,) = report["tasks"]
    assert "20 calls; at least 60 are needed" in task["refusal_reason"]
    assert "No task of this log can be certified" in report["nothing_trained_reason"]
    assert "--explore" not in report["nothing_trained_reason"]


@pytest.mark.slow
def test_to_explore_trains_and_certifies_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(home, "--explore") == 0
    report = json.loads(capsys.readouterr().out)
    (task,) = report["tasks"]
    assert task["specialist"] is not None and task["certificate"] is None
    assert report["nothing_trained_reason"] is None and not task["feasibility"]["possible"]
    assert (
        task["delta_spending"]["test_level"] == pytest.approx(0.04)
        and task["delta_spending"]["n_earlier"] == 0
    )
    with Home(home) as opened:
        (test,) = LedgerFile(opened).read().tests
        assert test.run_id == report["run_id"] and len(test.groups) == N_CALLS
    # the same episodes again, with another seed
    assert convert(home, "--seed", "1") == 6
    (again,) = json.loads(capsys.readouterr().out)["tasks"]
    assert again["feasibility"]["n_earlier"] == 1 and again["feasibility"]["n_needed"] == 95
    assert "an earlier test on the same episodes left 0.008 for this one" in again["refusal_reason"]
