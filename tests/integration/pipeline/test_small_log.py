"""A small log through the real pipeline: nothing that is learned or chosen depends on the answers in its reserve,
which is calibrated on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import tiny_model
from tests.integration.pipeline.letters import letters

from deputize.cli.main import run
from deputize.core.artifacts import Curated, Discovered, Finetuned
from deputize.core.records import Call
from deputize.core.task_results import Evaluated
from deputize.home import Home
from deputize.pipeline.run import Run, latest_run, read_state

N_CALLS = 200


def converted(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], Curated, Discovered, Finetuned, Evaluated]:
    options = ["--model", tiny_model.NAME, "--method", "linear", "--epsilon", "0.1"]
    assert run(["--home", str(home), "--json", "convert", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    with Home(home) as opened:
        done = Run(opened, read_state(opened, latest_run(opened) or ""))
        curated = done.load_curated()
        curated = msgspec.structs.replace(curated, examples=list(curated.examples))
        parts = (done.load("cluster", Discovered), done.load("finetune", Finetuned))
        return report, curated, *parts, done.load("evaluate", Evaluated)


@pytest.mark.slow
def test_what_is_chosen_does_not_depend_on_the_calls_that_are_calibrated_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_model.installed(tmp_path / "models", tmp_path)
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    calls = [
        msgspec.structs.replace(call, timestamp=1.7e9 + i) for i, call in enumerate(letters("email", N_CALLS))
    ]
    with Home(tmp_path / "one") as home:
        home.store.append([])
    shutil.copytree(tmp_path / "one", tmp_path / "two")  # the same keys, so the same surrogates
    with Home(tmp_path / "one") as home:
        home.store.append(calls)
    report, curated, discovered, finetuned, evaluated = converted(tmp_path / "one", capsys)
    (task,) = report["tasks"]
    assert report["curate"]["splits"]["validation"]["n_calls"] == 0
    n_reserve = report["curate"]["splits"]["reserve"]["n_groups"]
    n_calibration = report["curate"]["splits"]["calibration"]["n_groups"]
    assert n_reserve > 15 and task["evaluation"]["n_calibration_groups"] == n_reserve + n_calibration
    assert (
        task["evaluation"]["is_cross_fitted"]
        and "by cross-fitting on train" in task["evaluation"]["chosen_because"]
    )
    page = next((tmp_path / "one" / "runs").glob("*/report.html")).read_text("utf-8")
    assert "each of" in page and "was answered by a model fitted on other episodes" in page
    card = next((tmp_path / "one" / "runs").glob("*/dataset-card.md")).read_text("utf-8")
    assert "The reserve is calibration too" in card

    reserve = {e.call_id for e in curated.examples if e.split == "reserve"}
    shifted = _with_replies_of_others(calls, reserve)
    with Home(tmp_path / "two") as home:
        home.store.append(shifted)
    _, curated_two, discovered_two, finetuned_two, evaluated_two = converted(tmp_path / "two", capsys)
    assert [e.split for e in curated_two.examples] == [e.split for e in curated.examples]
    assert [t.contract for t in discovered_two.tasks] == [t.contract for t in discovered.tasks]
    assert finetuned_two.cross_fitted == finetuned.cross_fitted
    assert [s.checksums for s in finetuned_two.specialists] == [s.checksums for s in finetuned.specialists]
    assert [s.settings for s in finetuned_two.specialists] == [s.settings for s in finetuned.specialists]
    (one,), (two,) = evaluated.results, evaluated_two.results
    assert one.evaluation.chosen_because == two.evaluation.chosen_because
    right = [{c.call_id for c in r.calibration if c.right} for r in (one, two)]
    assert right[0] - right[1] <= reserve and len(right[0] & reserve) > 10 > len(right[1] & reserve)


def _with_replies_of_others(calls: list[Call], ids: set[str]) -> list[Call]:
    """The calls, each of those with these ids with the reply of another one."""
    theirs = [call for call in calls if call.id in ids]
    replies = {a.id: b.response for a, b in zip(theirs, [*theirs[1:], theirs[0]], strict=True)}
    return [msgspec.structs.replace(call, response=replies.get(call.id, call.response)) for call in calls]
