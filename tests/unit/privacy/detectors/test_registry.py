"""Detectors by name: what is known, what users add, and what is said where a name leads nowhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.errors import BadInput, MissingExtra
from deputize.home import Home
from deputize.privacy.detectors.hub_models import CHUNK_CHARS, overlapping_chunks
from deputize.privacy.detectors.registry import BUILT_IN, make_detector
from deputize.privacy.detectors.token_classification import (
    TokenClassificationDetector,
    entity_type_of,
    group_entities,
)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            "nobody",
            "No detector is called 'nobody'. Known: rules, secrets, presidio, spacy, credsweeper, hub:MODEL",
        ),
        ("no.such.module:x", "cannot be imported: No module named 'no'"),
        ("tests.a_users_detector:Missing", "cannot be imported"),
        ("tests.a_users_detector:nothing", "has no name and detect"),
        ("tests.a_users_detector:broken", "cannot be made: RuntimeError: no badge list"),
        ("json:dumps", "cannot be made: TypeError"),
        (":", "No detector is called"),
        (":x", "cannot be imported"),
    ],
)
def test_names_that_lead_nowhere(spec: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        make_detector(spec)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"), [("Boastful", "outside of its text"), ("Forgetful", "returned 1 lists of spans for 2")]
)
def test_a_plug_in_is_not_believed_blindly(name: str, says: str) -> None:
    detector = make_detector(f"tests.a_users_detector:{name}")
    with pytest.raises(BadInput, match=says):
        detector.detect(["one", "two"])


def test_an_entry_point_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "acme_badges-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-badges\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[deputize.detectors]\nacme = tests.a_users_detector:Badges\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = "badge BX1234"
    (found,) = make_detector("acme").detect([text])
    assert [(s.type, text[s.start : s.end]) for s in found] == [("BADGE", "BX1234")]


def test_what_is_not_installed_is_named_with_its_install_line() -> None:
    if importlib.util.find_spec("credsweeper") is None:
        with pytest.raises(MissingExtra, match=r"pip install 'deputize\[secrets\]'"):
            make_detector("credsweeper")
    if importlib.util.find_spec("gliner") is None:
        with pytest.raises(MissingExtra, match=r"pip install 'deputize\[gliner\]'") as caught:
            make_detector("gliner:urchade/gliner_multi_pii-v1")
        assert caught.value.exit_code == 4
    assert set(BUILT_IN) == {"rules", "secrets", "presidio", "spacy", "credsweeper"}


def test_a_model_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    with pytest.raises(MissingExtra, match="deputize models add NAME FOLDER"):
        make_detector(f"hub:{tmp_path / 'nowhere'}")
    with pytest.raises(MissingExtra, match="no hub that has it answers from here"):
        make_detector(f"hub:owner/name@{'0' * 40}")
    for unpinned in ("owner/name", "owner/name@main", "owner/name@abc123"):
        with pytest.raises(BadInput, match="hub:owner/name@COMMIT"):
            make_detector(f"hub:{unpinned}")
    with pytest.raises(BadInput, match=r"holds no config\.json, so hub:"):
        make_detector(f"hub:{tmp_path}")
    for config in ('{"model_type": "no such thing"}', "[]", "{"):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(BadInput, match="cannot be read as a token-classification model"):
            make_detector(f"hub:{tmp_path}")


def test_a_model_that_brings_code_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForTokenClassification": "mine.M"}}'
    )
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(BadInput, match="cannot be read as a token-classification model"):
        make_detector(f"hub:{tmp_path}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("private_person", "PERSON"),
        ("private_email", "EMAIL_ADDRESS"),
        ("private_address", "STREET_ADDRESS"),
        ("private_date", "DATE_TIME"),
        ("account_number", "BANK_ACCOUNT"),
        ("secret", "API_KEY"),
        ("B-FIRSTNAME", "PERSON"),
        ("I-date_of_birth", "DATE_OF_BIRTH"),
        ("PHONE_NUMBER", "PHONE_NUMBER"),
        ("medical_record_number", "MEDICAL_RECORD"),
        ("userName", "USERNAME"),
        ("ssn", "US_SSN"),
        ("ZIPCODE", "STREET_ADDRESS"),
        ("S-Disease", "HEALTH_CONDITION"),
        ("ipv4", "IP_ADDRESS"),
        ("B-ORG", "ORGANIZATION"),
        ("GPE", "LOCATION"),
        ("vehicle_identifier", "VEHICLE_IDENTIFIER"),
        ("O", ""),
        ("B-MISC", ""),
    ],
)
def test_labels_of_other_models_become_our_types(label: str, kind: str) -> None:
    assert entity_type_of(label) == kind


@given(
    st.text(alphabet="ab \n,é😀", max_size=3000),
    st.integers(1, CHUNK_CHARS),
    st.sampled_from(["", "word " * 700, "x" * 3000]),
)
@settings(max_examples=60, deadline=None)
def test_pieces_overlap_and_lose_nothing(text: str, room: int, before: str) -> None:
    text = before + text
    found = overlapping_chunks(text, lambda piece: len(piece) <= room)
    covered = [False] * len(text)
    for at, piece in found:
        assert text[at : at + len(piece)] == piece and 0 < len(piece) <= max(room, 1)
        covered[at : at + len(piece)] = [True] * len(piece)
    assert not [c for c, seen in zip(text, covered, strict=True) if c.isalnum() and not seen]


def test_pieces_begin_and_end_between_words() -> None:
    """The rest of a word looks like a name or a number to a model."""
    text = " ".join(f"word{n}" for n in range(900))
    for fits in (lambda piece: True, lambda piece: len(piece) < 150):
        words = [w for _, piece in overlapping_chunks(text, fits) for w in piece.split()]
        assert set(words) == set(text.split())
    (first, second, *_) = overlapping_chunks(text)
    assert len(first[1]) + first[0] - second[0] > 150, "a value at a cut is whole in one of both"


def test_long_texts_are_read_to_their_end_whatever_they_are_made_of(
    tiny_tagger: Path, tmp_path: Path
) -> None:
    """The pipeline cuts off silently what its window does not hold: in scripts of one piece a letter, most of it."""
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tiny_tagger / "tokenizer.json"),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    tokenizer.save_pretrained(tmp_path)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=66,
        id2label={0: "PERSON", 1: "NAME"},
        label2id={"PERSON": 0, "NAME": 1},
    )
    BertForTokenClassification(config).save_pretrained(tmp_path)
    detector = TokenClassificationDetector(str(tmp_path), threshold=0.0)
    for text in ("王小明" * 300, "x" * 900, "a-b.c " * 200 + "end"):
        covered = {i for s in detector.detect([text])[0] for i in range(s.start, s.end)}
        bare = "".join("." if i in covered else c for i, c in enumerate(text))
        # where spans of two pieces overlap, a rest of one or two characters is nobody's
        assert not re.search(r"\w{3}", bare) and len(text) - 1 in covered, bare


def test_settings_of_a_home(tmp_path: Path) -> None:
    assert Home(tmp_path).privacy().detectors == () and Home(tmp_path).privacy().tagger == ""
    (tmp_path / "config.toml").write_text('[privacy]\ntagger = "0002"\ndetectors = ["credsweeper"]\n')
    assert Home(tmp_path).privacy().tagger == "0002" and Home(tmp_path).privacy().detectors == (
        "credsweeper",
    )
    (tmp_path / "config.toml").write_text("[privacy]\ntager = 1\n")
    with pytest.raises(BadInput, match=r"\[privacy\]: tager"):
        Home(tmp_path).privacy()


def test_ends_of_entities_are_put_to_their_beginnings() -> None:
    text = "ask John van Smith or Ann, 4 May"
    rows = [
        ("private_person", "John van"),
        ("E-private_person", "Smith"),
        ("S-private_person", "Ann"),
        ("E-private_date", "4 May"),
    ]
    found = [
        {"entity_group": label, "start": text.index(v), "end": text.index(v) + len(v), "score": 0.9 - n / 10}
        for n, (label, v) in enumerate(rows)
    ]
    out = [
        (entity_type_of(label), text[start:end], round(score, 1))
        for label, start, end, score in group_entities(found, text)
    ]
    assert out == [("PERSON", "John van Smith", 0.8), ("PERSON", "Ann", 0.7), ("DATE_TIME", "4 May", 0.6)]
