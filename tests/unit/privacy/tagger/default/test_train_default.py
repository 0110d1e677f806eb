"""Training of the default tagger from files to weights that a detector can use."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from deputize.core.records import decode
from deputize.privacy.tagger.default import train_default as module
from deputize.privacy.tagger.default.corpus import part_of
from deputize.privacy.tagger.default.default_tagger import CARD, WEIGHTS, DefaultTaggerCard
from deputize.privacy.tagger.default.encoder_pieces import packed_pieces
from deputize.privacy.tagger.default.numpy_network import NumpyNetwork
from deputize.privacy.tagger.default.train_default import (
    LineMix,
    average_checkpoints,
    names_of_corpus,
    train_default,
    training_lines,
)

torch = pytest.importorskip("torch")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = [
        {
            "id": f"{licence}-{i}",
            "text": f"ask Mia Torres number {i}",
            "lang": "en",
            "source": licence,
            "licence": licence,
            "spans": [{"type": "PERSON", "start": 4, "end": 14}],
            "covers": ["PERSON"],
            "doc": f"{licence}{i}",
        }
        for licence in ("CC0", "CC BY-SA 4.0")
        for i in range(30)
    ]
    folder = tmp_path / "corpus"
    folder.mkdir()
    with gzip.open(folder / "en.jsonl.gz", "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def test_lines_of_other_licences_and_parts_are_not_trained_on(corpus: Path) -> None:
    lines, licences = training_lines(corpus, {}, 0, LineMix({}))
    wanted = {f"CC0-{i}" for i in range(30) if part_of(f"CC0{i}") == "training"}
    assert {line.sample.id for line in lines} == wanted and licences == {"CC0": "CC0"}


def test_names_of_two_words_are_drawn_from_the_lines_to_train_on(corpus: Path) -> None:
    found = names_of_corpus(corpus)
    n_lines = sum(part_of(f"CC0{i}") == "training" for i in range(30))
    assert found["en"].first == ["Mia"] * n_lines and found["en"].last == ["Torres"] * n_lines


def test_weights_and_card_make_a_detector(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GENERATED_LINES", {"en": 20})
    monkeypatch.setattr(module, "generators", _one_generator)
    out = tmp_path / "out"
    out.mkdir()
    vectors = np.eye(2, dtype=np.float32)
    with (out / module.PIECES).open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            **packed_pieces(["▁Mia", "▁ask"], np.array([-1.0, -2.0], dtype=np.float32), vectors),
        )
    card = train_default(corpus, tmp_path, out, seconds=0.5, seed=1, start=None, progress=lambda *_: None)
    assert decode((out / CARD).read_bytes(), DefaultTaggerCard) == card
    assert card.sources == {"CC0": "CC0"} and card.n_generated == 20 and card.n_train > 40
    with np.load(out / WEIGHTS) as arrays:
        ((words, chances),) = NumpyNetwork(dict(arrays), card.dilations).scores(["ask Mia Torres"])
    assert chances.shape == (len(words), len(card.types)) == (3, 8)
    again = train_default(
        corpus, tmp_path, out, seconds=0.1, seed=1, start=out / "checkpoint.pt", progress=lambda *_: None
    )
    assert again.n_train == card.n_train


def _one_generator(plain: object, seed: int, names: object) -> object:
    from deputize.privacy.tagger.default.generated_text import (
        NamePool,
        PlainWords,
        TextGenerator,
        read_frames,
    )

    return {
        "en": TextGenerator("en", read_frames()["en"], PlainWords(), NamePool(["en_US"], seed, 200), seed)
    }


def test_checkpoints_are_averaged(tmp_path: Path) -> None:
    for number in (1.0, 3.0):
        torch.save({"w": torch.tensor([number, 2.0])}, tmp_path / f"{number}.pt")
    average_checkpoints([tmp_path / "1.0.pt", tmp_path / "3.0.pt"], tmp_path / "mean.pt")
    assert torch.load(tmp_path / "mean.pt", weights_only=True)["w"].tolist() == [2.0, 2.0]
