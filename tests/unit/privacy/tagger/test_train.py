"""Training a tagger: reproducible, in time, replaced as a whole, refused where it cannot work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_encoder import samples

from deputize.core.errors import BadInput
from deputize.privacy.tagger import (
    Tagger,
    TaggerTrainingSettings,
    load_tagger,
    train_tagger,
)


@pytest.fixture
def base(tiny_base: Path) -> Path:
    return tiny_base


torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_same_seed_gives_the_same_weights(base: Path, tmp_path: Path) -> None:
    cards = [
        train_tagger(
            samples(40, 1),
            tmp_path / name,
            base_dir=base,
            settings=TaggerTrainingSettings(seed=seed, epochs=1, tokens_per_batch=256),
        )
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    ]
    sums = [card.checksums["tagger.safetensors"] for card in cards]
    assert sums[0] == sums[1] != sums[2]


def test_the_deadline_ends_training_and_is_told(base: Path, tmp_path: Path) -> None:
    ticks = iter(range(10_000))
    card = train_tagger(
        samples(100, 1),
        tmp_path / "t",
        base_dir=base,
        clock=lambda: float(next(ticks)),
        settings=TaggerTrainingSettings(seed=0, epochs=50, deadline_s=20, tokens_per_batch=256),
    )
    assert card.stopped_early and 0 < card.epochs < 50
    assert isinstance(load_tagger(tmp_path / "t"), Tagger)


def test_training_replaces_an_older_tagger_and_reports(base: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []

    def note(what: str, done: int, total: int | None = None) -> None:
        seen.append((what, done, total))

    rows: list[dict[str, Any]] = [
        {"id": "a", "text": "code 12", "spans": [{"type": "CODE", "start": 5, "end": 7}]},
        {"id": "b", "text": "none"},
    ]
    for types in ("CODE", "PIN"):
        rows[0]["spans"][0]["type"] = types
        train_tagger(
            rows,
            tmp_path / "t",
            base_dir=base,
            validation=[],
            progress=note,
            settings=TaggerTrainingSettings(seed=0, epochs=1),
        )
    assert load_tagger(tmp_path / "t").types == ("PIN",) and load_tagger(tmp_path / "t").card.threshold == 0.5
    assert seen[0][0] == "training the tagger" and [p.name for p in tmp_path.iterdir()] == ["t"]


def test_what_cannot_be_trained_on(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no labelled sample"):
        train_tagger(
            [{"id": "a", "text": "hello"}],
            tmp_path / "t",
            base_dir=base,
            settings=TaggerTrainingSettings(seed=0),
        )
    with pytest.raises(BadInput, match="outside its text"):
        train_tagger(
            [{"text": "a", "spans": [{"type": "P", "start": 0, "end": 5}]}],
            tmp_path / "t",
            base_dir=base,
            settings=TaggerTrainingSettings(seed=0),
        )
    with pytest.raises(BadInput, match=r"no readable tokenizer\.json"):
        train_tagger(
            samples(4, 1), tmp_path / "t", base_dir=tmp_path, settings=TaggerTrainingSettings(seed=0)
        )
    assert not (tmp_path / "t").exists()


def test_a_base_of_another_kind(base: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((base / name).read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(BadInput, match="not a BERT encoder"):
        train_tagger(
            samples(4, 1),
            tmp_path / "t",
            base_dir=tmp_path,
            validation=[],
            settings=TaggerTrainingSettings(seed=0),
        )
    config = json.loads((base / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_size": 96}))
    with pytest.raises(BadInput, match="do not fit"):
        train_tagger(
            samples(4, 1),
            tmp_path / "t",
            base_dir=tmp_path,
            validation=[],
            settings=TaggerTrainingSettings(seed=0),
        )
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(BadInput, match="cannot be read as safetensors"):
        train_tagger(
            samples(4, 1),
            tmp_path / "t",
            base_dir=tmp_path,
            validation=[],
            settings=TaggerTrainingSettings(seed=0),
        )
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadInput, match="not a tokenizer"):
        train_tagger(
            samples(4, 1),
            tmp_path / "t",
            base_dir=tmp_path,
            validation=[],
            settings=TaggerTrainingSettings(seed=0),
        )
