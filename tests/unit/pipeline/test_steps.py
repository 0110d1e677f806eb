"""The steps hand the earlier results to their stage: without them they say which command is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.errors import UsageError
from deputize.core.records import Record
from deputize.home import Home
from deputize.pipeline import certify_on_engine
from deputize.pipeline.run import Run, RunState
from deputize.pipeline.stage_table import stage_of
from deputize.pipeline.steps import missing_encoder
from deputize.specialists.catalogue import MANIFEST

DONE: dict[str, Record] = {
    "curate": Curated(examples=[], sites=[], n_calls=0, n_episodes=0, n_code_calls=0),
    "cluster": Discovered(tasks=[], keyspaces=[], assignment={}),
    "select": Selected(candidates={}, plan={}, base_model=""),
    "finetune": Finetuned(specialists=[]),
}


@pytest.mark.parametrize(
    ("step", "missing"),
    [("cluster", "curate"), ("select", "cluster"), ("finetune", "select"), ("evaluate", "finetune")],
)
def test_a_step_needs_the_ones_before_it(step: str, missing: str, tmp_path: Path) -> None:
    state = RunState(run_id="0001-a", settings=Convert().model_dump(mode="json"), n_calls=0, calls_digest="")
    run = Run(Home(tmp_path), state)
    run.save()
    for earlier, record in DONE.items():
        if earlier == missing:
            break
        run.artifact(earlier, type(record)).write(record)
    stage = stage_of(step)
    with pytest.raises(UsageError, match=f"run `deputize {missing}` first"):
        stage.run(run, run.artifact(step, stage.artifact))
    assert not run.has(step)


def test_evaluation_is_given_its_part_of_the_time_where_training_took_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Begun(Exception):
        """Evaluation has begun, with so many seconds."""

    def begun(run: Run, discovered: Discovered, finetuned: Finetuned, deadline: Deadline) -> None:
        raise Begun(deadline.left_s())

    monkeypatch.setattr(certify_on_engine, "certified", begun)
    config = Convert(minutes=10).model_dump(mode="json")
    state = RunState(
        run_id="0001-a", settings=config, n_calls=0, calls_digest="", timings_s={"finetune": 3600.0}
    )
    run = Run(Home(tmp_path), state)
    run.save()
    for earlier, record in DONE.items():
        run.artifact(earlier, type(record)).write(record)
    stage = stage_of("evaluate")
    with pytest.raises(Begun) as seen:
        stage.run(run, run.artifact("evaluate", stage.artifact))
    assert seen.value.args[0] == pytest.approx(90.0, abs=5.0)


def test_a_text_encoder_that_is_not_here_is_named_with_what_goes_without_it(tmp_path: Path) -> None:
    found = missing_encoder(Convert(), tmp_path)
    assert "deputize models fetch all-MiniLM-L6-v2" in found and "slower" in found
    assert missing_encoder(Convert(methods=("linear",)), tmp_path) == ""
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    (tmp_path / "all-MiniLM-L6-v2" / MANIFEST).touch()
    assert missing_encoder(Convert(), tmp_path) == ""
