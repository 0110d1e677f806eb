"""GLiNER as a detector, against the real package: models built from its own configuration, saved, and loaded by our
adapter."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_gliner

from deputize.cli.main import run
from deputize.core.errors import BadInput, Tampered
from deputize.privacy.detectors.base import Span
from deputize.privacy.entity_types import DIRECT, INDIRECT
from deputize.specialists import catalogue

gliner = pytest.importorskip(
    "gliner", reason="gliner asks for an older transformers than ours: see `make detectors`"
)

from deputize.privacy.detectors.gliner import LABELS, GlinerDetector  # noqa: E402


@pytest.fixture(scope="module")
def detector(gliner_model: Path) -> GlinerDetector:
    return GlinerDetector(str(gliner_model))


def values(detector: GlinerDetector, text: str) -> list[str]:
    return [text[s.start : s.end] for s in detector.detect([text])[0]]


def n_tokens(detector: GlinerDetector, labels: Sequence[str], piece: str) -> int:
    """What GLiNER itself makes of a piece and its labels, counted where its encoder would read it."""
    processor = detector._model.data_processor
    words = [word for word, _, _ in processor.words_splitter(piece)]
    (together,), _ = processor.prepare_inputs([words], list(labels))
    return len(
        processor.transformer_tokenizer(together, is_split_into_words=True, verbose=False)["input_ids"]
    )


def test_every_type_has_one_label() -> None:
    assert sorted(LABELS.values()) == sorted(DIRECT | INDIRECT)
    assert all(label == label.strip() and label for label in LABELS)


def test_labels_are_asked_for_in_groups_that_the_model_was_made_for(
    detector: GlinerDetector, tmp_path: Path
) -> None:
    assert sorted(x for group in detector._label_groups for x in group) == sorted(LABELS)
    assert max(map(len, detector._label_groups)) <= detector._model.config.max_types == 25
    small = tiny_gliner.untrained(tmp_path / "encoder", [], max_types=100)
    small.data_processor.transformer_tokenizer.model_max_length = 120
    small.save_pretrained(tmp_path / "model", safe_serialization=True)
    narrow = GlinerDetector(str(tmp_path / "model"))
    assert len(narrow._label_groups) > 4, "without whole words a label takes many of 120 tokens"
    assert all(n_tokens(narrow, group, "") <= 60 for group in narrow._label_groups)


def test_the_type_is_that_of_the_label(detector: GlinerDetector) -> None:
    (found,) = detector.detect(["please call 456-78 back"])
    (span,) = [s for s in found if s.end - s.start > 3]
    assert (span.type, span.start, span.end, span.detector) == ("CASE_NUMBER", 12, 18, detector.name)
    assert span.score > 0.5 and LABELS[tiny_gliner.LABEL] == "CASE_NUMBER"


@pytest.mark.parametrize(
    "before",
    [
        "é 😀 ",
        "e\u0301e\u0301 ",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 ",
        "\ud83d ",
        "\u202e",
        "中文 ",
        "a\x00b ",
        "\r\n\t",
    ],
)
def test_offsets_count_characters(detector: GlinerDetector, before: str) -> None:
    text = f"{before}please call 456-78 back"
    assert "456-78" in values(detector, text)


def test_a_higher_threshold_finds_less(tmp_path: Path) -> None:
    # one that was trained is sure of all that it finds
    model = tiny_gliner.untrained(tmp_path / "encoder", list(LABELS))
    model.save_pretrained(tmp_path / "model", safe_serialization=True)
    rng = random.Random(1)
    texts = ["".join(rng.choices("abc 123-45 order", k=40)) for _ in range(20)]

    def scores(threshold: float) -> list[float]:
        detector = GlinerDetector(str(tmp_path / "model"), threshold=threshold)
        return sorted(s.score for row in detector.detect(texts) for s in row)

    found = scores(0.01)
    middle = found[len(found) // 2]
    assert found[0] < middle
    assert 0 < len(scores(middle)) < len(found) and min(scores(middle)) >= middle
    assert len(scores(min(1.0, found[-1] + 1e-6))) < len(scores(middle))


@pytest.mark.parametrize(
    "filler",
    [".,:;' ( ) " * 200, "a " * 900, "x" * 3000 + " ", "7-8-9 " * 300, "please send me the order\n" * 90],
    ids=["marks", "short words", "one long word", "digits", "lines"],
)
def test_nothing_is_cut_off_by_the_limits_of_the_model(detector: GlinerDetector, filler: str) -> None:
    """GLiNER warns (and warnings are errors here) of words beyond max_len; its tokenizer says nothing beyond its
    window."""
    text = f"{filler} please call 456-78 back about the order today"
    assert "456-78" in values(detector, text)
    from deputize.privacy.detectors.hub_models import overlapping_chunks

    for _, piece in overlapping_chunks(text, detector._fits):
        assert all(n_tokens(detector, group, piece) <= 318 for group in detector._label_groups)


def test_batches_of_any_company_say_the_same(detector: GlinerDetector) -> None:
    rng = random.Random(2)
    texts = [
        " ".join(rng.choices([*"abc", "order", "456-78", "please", "99-1"], k=rng.randint(0, 30)))
        for _ in range(16)
    ]
    together = detector.detect(texts)
    assert any(together)

    def places(found: Sequence[Span]) -> list[tuple[str, int, int]]:
        return [(s.type, s.start, s.end) for s in found]

    assert [places(row) for row in together] == [places(detector.detect([text])[0]) for text in texts]


@pytest.mark.parametrize(
    "settings",
    [
        {"span_mode": "token_level"},
        {"span_mode": "markerV1"},
        {"subtoken_pooling": "mean"},
        {"fuse_layers": True},
    ],
    ids=["token_level", "markerV1", "mean", "fused"],
)
def test_other_kinds_of_gliner_can_be_read(tmp_path: Path, settings: dict[str, Any]) -> None:
    """With random weights: whatever is found has to lie in the text and bear one of our types."""
    tiny_gliner.untrained(tmp_path / "encoder", list(LABELS), **settings).save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "pytorch_model.bin").is_file(), "the form that most published ones have"
    detector = GlinerDetector(str(tmp_path / "model"), threshold=0.01)
    texts = ["please call 456-78 back", "", "😀 yes"]
    found = detector.detect(texts)
    assert any(found) and found[1] == []
    for text, spans in zip(texts, found, strict=True):
        assert all(0 <= s.start < s.end <= len(text) and s.type in DIRECT | INDIRECT for s in spans)


def broken(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "broken"))


def test_a_folder_that_is_no_gliner(gliner_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no gliner_config\.json, so gliner:"):
        GlinerDetector(str(tmp_path))
    folder = broken(gliner_model, tmp_path)
    (folder / "gliner_config.json").write_text("[1]")
    with pytest.raises(BadInput, match="is not a configuration of a GLiNER model"):
        GlinerDetector(str(folder))
    (folder / "gliner_config.json").write_text('{"max_width": "many"}')
    with pytest.raises(BadInput, match="cannot be loaded from"):
        GlinerDetector(str(folder))


@pytest.mark.parametrize("weights", [None, b"", b"\x00" * 100])
def test_weights_that_are_missing_or_damaged(
    gliner_model: Path, tmp_path: Path, weights: bytes | None
) -> None:
    folder = broken(gliner_model, tmp_path)
    (folder / "model.safetensors").unlink()
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(BadInput, match=r"cannot be loaded from .* as a GLiNER model"):
        GlinerDetector(str(folder))


def test_nothing_but_the_named_model_is_fetched(
    gliner_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model without a tokenizer builds on another repository; that one's state nobody has chosen."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    folder = broken(gliner_model, tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    config = json.loads((folder / "gliner_config.json").read_text())
    (folder / "gliner_config.json").write_text(json.dumps({**config, "model_name": "owner/encoder"}))
    with pytest.raises(BadInput, match="under 'owner/encoder'"):
        GlinerDetector(str(folder))


@pytest.mark.parametrize("where", ["encoder_config", "base"])
def test_a_model_that_brings_code_is_refused(gliner_model: Path, tmp_path: Path, where: str) -> None:
    """gliner builds encoders with trust_remote_code: a folder of somebody else's could run whatever it likes."""
    folder = broken(gliner_model, tmp_path)
    config = json.loads((folder / "gliner_config.json").read_text())
    encoder = {**config.pop("encoder_config"), "auto_map": {"AutoModel": "modeling.Evil"}}
    if where == "encoder_config":
        config["encoder_config"] = encoder
    else:
        (folder / "config.json").write_text(json.dumps(encoder))
        config["model_name"] = str(folder)
    # an escape in JSON is no way past
    (folder / "gliner_config.json").write_text(json.dumps(config).replace("auto_map", "\\u0061uto_map"))
    (folder / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(BadInput, match="Python code of its own"):
        GlinerDetector(str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("setting", [{"relations_layer": "dot"}, {"labels_decoder": "some/decoder"}])
def test_a_gliner_for_other_work_is_refused(
    gliner_model: Path, tmp_path: Path, setting: dict[str, str]
) -> None:
    folder = broken(gliner_model, tmp_path)
    config = json.loads((folder / "gliner_config.json").read_text())
    (folder / "gliner_config.json").write_text(json.dumps({**config, **setting}))
    with pytest.raises(BadInput, match="a plain one is needed"):
        GlinerDetector(str(folder))


def test_a_model_that_was_added_is_named_by_its_weights(
    gliner_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From `deputize models add` to `privacy scan`."""
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    home = tmp_path / "home"
    home.mkdir()
    assert run(["models", "add", "tickets", str(gliner_model), "--licence", "apache-2.0"]) == 0
    assert catalogue.find("tickets", tmp_path / "models").role == "detector", "never a candidate for a task"
    (home / "config.toml").write_text('[privacy]\ndetectors = ["gliner:tickets"]\n')
    (tmp_path / "texts.jsonl").write_text('{"id": "1", "text": "please call 456-78 back"}\n')
    capsys.readouterr()
    assert run(["--home", str(home), "--json", "privacy", "scan", str(tmp_path / "texts.jsonl")]) == 0
    (document,) = json.loads(capsys.readouterr().out)["rows"]
    spans = document["spans"]
    (digest,) = catalogue.manifest("tickets", tmp_path / "models").sha256.values()
    assert len(digest) == 64
    named = [s["detector"] for s in spans if s["type"] == "CASE_NUMBER"]
    assert any(name.startswith("gliner:tickets@") for name in named)
    weights = tmp_path / "models" / "tickets" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    with pytest.raises(Tampered, match="is not the file that was fetched or added"):
        GlinerDetector("tickets")
