"""Commands on the curated data: drops by reason, an export with its card, and what to do where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.test_dataset import NAME, actions, fill, run_stage

from deputize.cli.main import run
from deputize.core.config import Convert


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    fill(home)
    run_stage(home, "curate", Convert(share_across_tenants=True))
    run_stage(home, "cluster", Convert(share_across_tenants=True))
    return home


def test_drops_are_counted_and_shown_by_reason(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "--json", "dataset", "dropped"]) == 0
    counts = json.loads(capsys.readouterr().out)["reasons"]
    assert set(counts) >= {"failed episode", "empty answer"}
    assert run(["--home", str(home), "dataset", "dropped", "--reason", "failed episode", "--limit", "2"]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n--- ") + said.out.startswith("---") == 2 and "Parcel" in said.out
    shown = said.out.replace(NAME, "")  # the episode's id; a surrogate's first name may be this one by chance
    assert (
        "Zelmanovich" not in shown
        and "@mail.com" not in shown
        and f"2 of {counts['failed episode']}" in said.err
    )
    assert actions(home)[-1] == "read.curated"
    assert run(["--home", str(home), "dataset", "dropped", "--reason", "whim"]) == 0
    assert "reasons are: " in capsys.readouterr().err


def test_export_from_the_command_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "--json", "tasks", "list"]) == 0
    task = json.loads(capsys.readouterr().out)[0]["id"]
    out = tmp_path / "out"
    command = [
        "--home",
        str(home),
        "--json",
        "dataset",
        "export",
        "--out",
        str(out),
        "--task",
        task,
        "--split",
        "train",
    ]
    assert run(command) == 0
    done = json.loads(capsys.readouterr().out)
    lines = (out / "train.jsonl").read_text("utf-8").splitlines()
    assert done["rows"] == {"train": len(lines)} and len(lines) > 30 and task in lines[0]
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "train.jsonl"]
    assert not any(
        word in path.read_text("utf-8") for path in out.iterdir() for word in ("Zelmanovich", "mail.com")
    )
    assert actions(home)[-1] == "export.curated"
    assert run(command) == 3  # the folder is taken
    assert run([*command[:-4], "--out", str(tmp_path / "b"), "--task", "t-none"]) == 3


def test_without_a_curated_run_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (["card"], ["dropped"], ["restore", "x"], ["export", "--out", str(tmp_path / "o")]):
        assert run(["--home", str(tmp_path / "home"), "dataset", *verb]) == 3
        assert "deputize curate" in capsys.readouterr().err
