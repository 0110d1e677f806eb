"""One table of stages: commands, rights and help come from it."""

from __future__ import annotations

import pytest

from deputize.cli.commands import COMMANDS
from deputize.cli.main import cli
from deputize.cli.rights import RIGHTS
from deputize.core.artifacts import Selected
from deputize.core.errors import UsageError
from deputize.core.task_results import Evaluated
from deputize.pipeline.stage_table import STAGES, STEPS, stage_of, steps_from


def test_every_stage_has_its_command_right_and_help() -> None:
    import click

    assert STEPS == ("curate", "cluster", "select", "finetune", "evaluate")
    assert [s.paper_step for s in STAGES] == ["S2", "S3", "S4", "S5", "S6"]
    for stage in STAGES:
        assert RIGHTS[stage.step] is stage.right and stage.step in COMMANDS
        command = cli.get_command(click.Context(cli), stage.step)
        assert command is not None and command.help == stage.help and stage.title in stage.help


def test_a_stage_by_name_and_all_after_it() -> None:
    assert stage_of("select").artifact is Selected
    assert steps_from("finetune") == ("finetune", "evaluate")
    with pytest.raises(UsageError, match="'refine' is not a stage; stages are curate"):
        stage_of("refine")


def test_facts_are_of_the_artifact() -> None:
    done = Selected(
        candidates={}, plan={"t": ["linear", "lora"], "u": []}, base_model="m", refused={"u": "too few"}
    )
    facts = stage_of("select").facts(done)
    assert facts["plan"] == {"t": "linear then lora", "u": "nothing"} and facts["refused"] == {"u": "too few"}
    assert stage_of("evaluate").facts(Evaluated(results=[])) == {"certified": [], "refused": {}}
