"""The tagger from samples to spans, with a tiny random encoder in place of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.tiny_encoder import WORDS, samples

from deputize.core.errors import BadInput, Tampered
from deputize.privacy.tagger import (
    DetectionCounts,
    TaggerCard,
    load_tagger,
)
from deputize.privacy.tagger.tagger_detector import chunks


@pytest.fixture
def trained(tiny_tagger: Path) -> tuple[Path, TaggerCard]:
    return tiny_tagger, load_tagger(tiny_tagger).card


torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_it_learns_and_keeps_its_hands_off_the_rest(trained: tuple[Path, TaggerCard]) -> None:
    path, card = trained
    tagger = load_tagger(path, precision="fp32")
    fresh = samples(100, 2)
    tally = DetectionCounts()
    for sample, found in zip(fresh, tagger.detect([s.text for s in fresh]), strict=True):
        tally.add(sample, found)
    figures = tally.figures()
    assert (figures["span_recall"] or 0) >= 0.95 and (figures["over_masking"] or 0) <= 0.03
    assert card.types == ["TICKET"] == list(tagger.types) and not card.stopped_early and card.epochs == 6
    assert card.n_validation > 0 and card.validation["span_recall"] >= 0.9 and card.n_negatives > 0
    assert card.sources == {"toy": card.n_train} and card.spans_by_type == {
        "TICKET": card.n_train - card.n_negatives
    }
    assert (path / "tagger.json").stat().st_mode & 0o444
    assert sorted(p.name for p in path.iterdir()) == [
        "config.json",
        "tagger.json",
        "tagger.safetensors",
        "tokenizer.json",
    ]
    assert [p.name for p in path.parent.iterdir()] == ["tagger"], "nothing half-written stays behind"


def test_precisions_agree(trained: tuple[Path, TaggerCard]) -> None:
    texts = [s.text for s in samples(40, 3)]
    plain = load_tagger(trained[0], precision="fp32").detect(texts)
    for precision in ("int8", "bf16"):
        tagger = load_tagger(trained[0], precision=precision)
        other = tagger.detect(texts)
        same = sum(
            [(s.start, s.end) for s in a] == [(s.start, s.end) for s in b]
            for a, b in zip(plain, other, strict=True)
        )
        assert same >= 38, precision


def test_offsets_hold_in_any_text(trained: tuple[Path, TaggerCard]) -> None:
    """Windows, chunks, upper case, accents, invisible characters: offsets are those of the text given."""
    tagger = load_tagger(trained[0])
    chat = " ".join(WORDS)
    long = f"{chat}\n" * 20
    texts = [
        "",
        "   ",
        "ÄÖ Ünïcode \u200b 123-45 and",
        long + "Please call 456-78 back\n" + long,
        "😀" * 50 + " 123-45",
    ]
    found = tagger.detect(texts)
    assert len(found) == len(texts) and found[0] == found[1] == []
    assert "456-78" in [texts[3][s.start : s.end] for s in found[3]]
    for text, spans in zip(texts, found, strict=True):
        assert all(
            0 <= s.start < s.end <= len(text) and s.detector == "tagger" and 0 < s.score <= 1 for s in spans
        )
        assert all(a.end <= b.start for a, b in pairwise(spans))


def test_a_text_is_read_the_same_in_any_company(trained: tuple[Path, TaggerCard]) -> None:
    tagger = load_tagger(trained[0], precision="fp32")
    texts = [s.text for s in samples(30, 4)]
    alone = [tagger.detect([t])[0] for t in texts]
    assert [[(s.start, s.end) for s in x] for x in tagger.detect(texts)] == [
        [(s.start, s.end) for s in x] for x in alone
    ]


def test_a_lower_threshold_finds_more(trained: tuple[Path, TaggerCard]) -> None:
    tagger = load_tagger(trained[0])
    texts = [s.text for s in samples(30, 5)]
    lengths = [
        sum(s.end - s.start for x in tagger.detect(texts, threshold=t) for s in x) for t in (0.999, 0.5, 1e-6)
    ]
    assert lengths[0] <= lengths[1] <= lengths[2] and lengths[2] > lengths[0]


def test_a_changed_file_is_not_loaded(trained: tuple[Path, TaggerCard], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no tagger"):
        load_tagger(tmp_path)
    for name in ("tagger.json", "config.json", "tokenizer.json", "tagger.safetensors"):
        (tmp_path / name).write_bytes((trained[0] / name).read_bytes())
    weights = bytearray((tmp_path / "tagger.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "tagger.safetensors").write_bytes(weights)
    with pytest.raises(Tampered, match="does not match the checksum"):
        load_tagger(tmp_path)
    (tmp_path / "tagger.safetensors").unlink()
    with pytest.raises(BadInput, match=r"lacks tagger\.safetensors"):
        load_tagger(tmp_path)


def test_chunks_cut_at_spaces_and_lose_nothing() -> None:
    text = " ".join(["word"] * 50)
    found = chunks(text, 30)
    assert "".join(text[s:e] for s, e in found) == text
    assert all(e - s <= 30 for s, e in found) and all(text[e - 1] == " " for _, e in found[:-1])
    assert chunks("x" * 70, 30) == [(0, 30), (30, 60), (60, 70)] and chunks("", 30) == []
