"""privacy: texts and calls in, one line for each out, and no value of anybody in between; and training the tagger."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import tiny_encoder

from deputize.cli.main import run
from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.pipeline.artifact import Artifact
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import latest_run
from deputize.privacy.tagger.versions import chosen_path, next_path
from deputize.specialists import model_download
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.run_keys import run_key

TEXT = "I am Maria Lopez, write to maria.lopez@example.com"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(
        json.dumps({"id": "a", "text": TEXT}) + "\n{broken\n" + '{"id": "b", "text": ""}\n{"id": "c"}\n'
    )
    assert run(["privacy", "scan", str(path)]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [r["id"] for r in rows] == ["a", "b"]
    found = {s["type"]: TEXT[s["start"] : s["end"]] for s in rows[0]["spans"]}
    assert found["EMAIL_ADDRESS"] == "maria.lopez@example.com"
    assert set(rows[0]["spans"][0]) == {"type", "start", "end", "score", "detector"}
    assert "texts.jsonl:2: not JSON" in err and "texts.jsonl:4: no text" in err
    assert "Maria" not in out + err


def test_calls_name_the_part_and_gzip_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "calls.jsonl.gz"
    row = {
        "id": "c1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}],
        "response": {"role": "assistant", "content": "fine"},
    }
    with gzip.open(path, "wt") as out:
        out.write(json.dumps(row) + "\n" + json.dumps({**row, "id": "c2"}) + "\n")
    assert run(["privacy", "scan", str(path)]) == 0
    rows = lines(capsys)
    assert [r["id"] for r in rows] == ["c1", "c2"]
    mail = next(s for s in rows[0]["spans"] if s["type"] == "EMAIL_ADDRESS")
    assert (mail["part"], TEXT[mail["start"] : mail["end"]]) == ("messages[1]", "maria.lopez@example.com")


def test_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"id": "a", "text": TEXT}) + "\n[1]\n")
    assert run(["privacy", "scan", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [r["id"] for r in told["rows"]] == ["a"]
    assert told["skipped"] == [{"file": "texts.jsonl", "line": 2, "reason": "not a JSON object"}]


@pytest.mark.parametrize("content", [b"", b"{broken\n", b"\x1f\x8bnot gzip", b"\xff\xfe\x00"])
def test_a_file_with_nothing_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(content)
    assert run(["privacy", "scan", str(path)]) == 3
    assert "odd.jsonl" in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["privacy", "scan", str(tmp_path / "nowhere.jsonl")]) == 3
    assert "does not exist" in capsys.readouterr().err


def write_samples(path: Path, n: int, seed: int) -> Path:
    path.write_bytes(b"\n".join(msgspec.json.encode(s) for s in tiny_encoder.samples(n, seed)))
    return path


@pytest.fixture
def with_base(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny encoder in the place of the real one."""
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    model_download.add("all-MiniLM-L6-v2", tiny_base, tmp_path / "models")


@pytest.mark.usefixtures("with_base")
def test_training_measures_and_keeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, path = tmp_path / "home", write_samples(tmp_path / "mine.jsonl", 80, 3)
    with path.open("a") as file:
        file.write('\nnot json\n{"text": "x", "spans": [{"type": "A", "start": 0, "end": 9}]}\n')
    command = ["privacy", "train", str(path), "--minutes", "0.5", "--seed", "4", "--home", str(home)]
    assert run([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    card = told["card"]
    assert told["path"] == str(home / "taggers" / "0001") and told["n_skipped"] == 2
    assert "mine.jsonl:81: not JSON" in err and "outside its text" in err
    assert card["seed"] == 4 and card["types"] == ["TICKET"] and card["sources"] == {"mine": card["n_train"]}
    assert card["n_test"] > 0 and card["n_train"] + card["n_validation"] + card["n_test"] <= 80
    for figures in (card["test"], card["test_union"]):
        assert {"char_recall", "char_recall_direct", "over_masking"} <= figures.keys()
    assert card["test_union"]["char_recall"] >= card["test"]["char_recall"]
    assert msgspec.json.decode((home / "taggers" / "0001" / "tagger.json").read_bytes()) == card
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert "measured recall" in shown and "held-out samples of mine" in shown and "anonymised" not in shown
    assert (chosen_path(home), next_path(home)) == (home / "taggers" / "0002", home / "taggers" / "0003")


@pytest.mark.usefixtures("with_base")
def test_what_cannot_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few, many = write_samples(tmp_path / "few.jsonl", 10, 1), write_samples(tmp_path / "many.jsonl", 60, 1)
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    alike = tmp_path / "alike.jsonl"
    row = {"text": "call 12", "spans": [{"type": "CODE", "start": 5, "end": 7}]}
    alike.write_text("\n".join(json.dumps({**row, "id": n}) for n in range(50)))
    for arguments, says in (
        ([str(few)], "5 samples with spans are too few"),
        ([str(alike)], "1 samples with spans are too few"),
        ([str(tmp_path / "none.jsonl")], "cannot be read as labelled samples"),
        ([str(other)], "cannot be read as labelled samples"),
        ([str(many), "--out", str(other)], "contains something other than a tagger"),
        ([str(many), "--out", str(few)], "is a file; a tagger is a folder"),
    ):
        assert run(["privacy", "train", *arguments, "--home", str(tmp_path / "home")]) == 3
        assert says in capsys.readouterr().err
    assert (other / "letter.txt").read_text() == "dear" and not (tmp_path / "home" / "taggers").exists()
    assert run(["privacy", "train"]) == 2
    assert run(["privacy", "train", str(many), "--minutes", "0"]) == 2


def test_samples_without_negatives_are_warned_of(
    with_base: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.jsonl"
    path.write_bytes(b"\n".join(msgspec.json.encode(s) for s in tiny_encoder.samples(100, 1) if s.spans))
    assert run(["privacy", "train", str(path), "--minutes", "0.2", "--home", str(tmp_path / "home")]) == 0
    assert "Every sample holds personal data" in capsys.readouterr().err


def home_with(tagger: Path, home: Path) -> Path:
    home.mkdir(exist_ok=True)
    (home / "taggers").mkdir()
    (home / "taggers" / "0001").symlink_to(tagger)
    return home


def test_a_homes_tagger_scans_too_and_its_output_is_input_for_training(
    tiny_tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = home_with(tiny_tagger, tmp_path / "home")
    path = tmp_path / "texts.jsonl"
    text = "please call me back about 123-45 today"
    path.write_text(json.dumps({"id": "a", "text": text}) + "\n")
    assert run(["privacy", "scan", str(path), "--with-text", "--home", str(home)]) == 0
    (row,) = lines(capsys)
    assert row["id"] == "a" and row["text"] == text
    assert ("TICKET", "123-45", "tagger") in {
        (s["type"], text[s["start"] : s["end"]], s["detector"]) for s in row["spans"]
    }
    call = {
        "id": "c1",
        "messages": [{"role": "user", "content": text}],
        "response": {"role": "assistant", "content": "fine"},
    }
    path.write_text(json.dumps(call) + "\n")
    assert run(["privacy", "scan", str(path), "--with-text", "--home", str(home)]) == 0
    rows = lines(capsys)
    assert [(r["id"], r["text"]) for r in rows] == [("c1 messages[0]", text), ("c1 response", "fine")]
    (home / "config.toml").write_text('[privacy]\ntagger = "none"\n')
    assert run(["privacy", "scan", str(path), "--home", str(home)]) == 0
    assert "TICKET" not in capsys.readouterr().out
    (home / "config.toml").write_text('[privacy]\ntagger = "0007"\n')
    assert run(["privacy", "scan", str(path), "--home", str(home)]) == 3
    assert "No tagger is called '0007'; taggers of this home: 0001." in capsys.readouterr().err


def test_convert_uses_the_newest_tagger_and_starts_again_for_it(tiny_tagger: Path, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with path.open("w") as out:
        for n in range(12):
            said = f"please call me back about {100 + n}-{20 + n} today"
            row = {
                "id": f"c{n}",
                "agent": "desk",
                "run_id": f"e{n}",
                "messages": [{"role": "user", "content": said}],
                "response": {"role": "assistant", "content": json.dumps({"n": n % 2})},
            }
            out.write(json.dumps(row) + "\n")
    home = tmp_path / "home"

    def curated() -> Curated:
        with Home(home) as opened:
            convert(opened, Convert(), paths=[path], stop_after="curate")
        run_id = latest_run(opened)
        folder = home / "runs" / str(run_id)
        return Artifact(folder, "curate", Curated, run_key(folder, KeyRing.open(home))).read()

    before = curated()
    assert {"default tagger", "tagger"} & set(before.detectors) == {"default tagger"}
    assert "the tagger of the package" in before.tagger_recall and "TICKET" not in before.entities
    assert b"100-20" in msgspec.json.encode(before)
    home_with(tiny_tagger, home)
    after = curated()
    assert {"default tagger", "tagger"} & set(after.detectors) == {"tagger"}
    assert after.entities["TICKET"] >= 12
    assert b"100-20" not in msgspec.json.encode(after)
    assert len(list((home / "runs").iterdir())) == 2
    curated()
    assert len(list((home / "runs").iterdir())) == 2, "nothing has changed, so the run goes on"


def test_names_of_taggers(tmp_path: Path) -> None:
    assert chosen_path(tmp_path) is None and chosen_path(tmp_path, "none") is None
    with pytest.raises(BadInput, match="none yet"):
        chosen_path(tmp_path, "0001")
    assert next_path(tmp_path) == tmp_path / "taggers" / "0001"
