"""The catalogue as a list, and folders with weights that are taken into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.cli.models import recommended_models
from deputize.specialists.catalogue import Manifest

SHOWN = {
    "name",
    "params_m",
    "context",
    "licence",
    "memory_gb",
    "source",
    "checked",
    "unchecked",
    "here",
    "conditions",
    "fetched",
}


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_every_model_is_listed_and_none_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "models", "list"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = document["models"]
    assert document["machine"]["n_cores"] >= 1 and document["budget_gb"] > 0
    assert "SmolLM2-135M-Instruct" in {row["name"] for row in rows}
    assert all(row.keys() >= SHOWN and not row["fetched"] for row in rows)


def test_an_added_model_is_listed_as_here(
    models: Path, tiny: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, name = tiny
    assert run(["--json", "models", "add", "mine", str(folder / name), "--licence", "MIT"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "mine", "path": str(models / "mine")}
    assert run(["--json", "models", "list"]) == 0
    (mine,) = (row for row in json.loads(capsys.readouterr().out)["models"] if row["name"] == "mine")
    assert mine["fetched"] and mine["licence"] == "MIT"


def test_a_folder_without_weights_and_a_name_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["models", "add", "mine", str(tmp_path / "empty")]) == 3
    assert run(["models", "fetch", "no-such-model"]) == 3


def test_the_list_says_first_what_this_machine_can_do_and_fits_80_columns(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "list", "--home", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("This machine: ") and max(map(len, lines)) <= 80
    text = " ".join(lines)
    assert "licences that your settings do not accept" in text
    assert (
        text.index("Can be trained and served here:")
        < text.index("SmolLM2-135M-Instruct")
        < text.index("xLAM-2-8B")
    )


def test_all_about_one_model_with_pages_and_the_reason_why_not(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "show", "xlam-2-8b", "--home", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "tokenizer: llama3 (not checked)" in text and "checked against https://" in text
    assert "conditions that the settings do not accept: non-commercial" in text
    (tmp_path / "config.toml").write_text(
        '[convert]\nlicence_conditions = ["notice", "non-commercial", "use-policy", "naming", "user-limit"]\n'
    )
    (tmp_path / "models.toml").write_text('["xLAM-2-8B"]\ncontext = 99\n')
    assert run(["--json", "models", "show", "xlam-2-8b", "--home", str(tmp_path)]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["context"] == 99 and "context" in about["unchecked"] and "machine" in about
    assert run(["models", "show", "xlam-2-8b", "--home", str(tmp_path)]) == 0
    assert "do not accept" not in capsys.readouterr().out
    (tmp_path / "models.toml").write_text("[x]\nparams_m = 'a'\n")
    assert run(["models", "list", "--home", str(tmp_path)]) == 3
    assert "models.toml, line 2" in capsys.readouterr().err


def test_the_recommended_models_are_those_of_a_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def fetched(name: str, folder: Path, *_: object, **__: object) -> Path:
        asked.append(name)
        return folder / name

    monkeypatch.setattr("deputize.specialists.model_download.fetch", fetched)
    monkeypatch.setattr(
        "deputize.specialists.catalogue.manifest", lambda *_: Manifest(name="", origin="hub", sha256={})
    )
    assert run(["--home", str(tmp_path), "models", "fetch", "--recommended"]) == 0
    assert asked == ["SmolLM2-135M-Instruct", "all-MiniLM-L6-v2"] == list(recommended_models())
    assert capsys.readouterr().out.count("is in") == 2
    for words in ([], ["x", "--recommended"], ["--recommended", "--commit", "a"]):
        assert run(["--home", str(tmp_path), "models", "fetch", *words]) == 2
