"""Detectors by name: what is known, what users add, and what is said where a name leads nowhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from deputize.core.config import read_privacy
from deputize.core.errors import BadInput, MissingExtra
from deputize.stages.curate.hub import CHUNK_CHARS, grouped, pieces, type_of
from deputize.stages.curate.plugins import OURS, make_detector


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
    ("name", "says"), [("Boastful", "outside of its text"), ("Forgetful", "answered 1 times to 2")]
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
        with pytest.raises(MissingExtra, match="pip install gliner"):
            make_detector("gliner:urchade/gliner_multi_pii-v1")
    assert set(OURS) == {"rules", "secrets", "presidio", "spacy", "credsweeper"}


def test_a_model_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingExtra, match="deputize models add NAME FOLDER"):
        make_detector(f"hub:{tmp_path / 'nowhere'}")
    (tmp_path / "config.json").write_text('{"model_type": "no such thing"}')
    with pytest.raises(BadInput, match="cannot be read as a token-classification model"):
        make_detector(f"hub:{tmp_path}")


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("private_person", "PERSON"), ("private_email", "EMAIL_ADDRESS"), ("private_address", "STREET_ADDRESS"),
        ("private_date", "DATE_TIME"), ("account_number", "BANK_ACCOUNT"), ("secret", "API_KEY"),
        ("B-FIRSTNAME", "PERSON"), ("I-date_of_birth", "DATE_OF_BIRTH"), ("PHONE_NUMBER", "PHONE_NUMBER"),
        ("medical_record_number", "MEDICAL_RECORD"), ("userName", "USERNAME"), ("ssn", "US_SSN"),
        ("ZIPCODE", "STREET_ADDRESS"), ("S-Disease", "HEALTH_CONDITION"), ("ipv4", "IP_ADDRESS"), ("B-ORG", "ORGANIZATION"),
        ("GPE", "LOCATION"), ("vehicle_identifier", "VEHICLE_IDENTIFIER"), ("O", ""), ("B-MISC", ""),
    ],
)  # fmt: skip
def test_labels_of_other_models_become_our_types(label: str, kind: str) -> None:
    assert type_of(label) == kind


def test_pieces_overlap_and_lose_nothing() -> None:
    text = "word " * 999 + "word"
    found = pieces(text)
    assert found[0][0] == 0 and all(text[at : at + len(p)] == p and len(p) <= CHUNK_CHARS for at, p in found)
    reached = 0
    for at, piece in found:
        assert at <= reached
        reached = at + len(piece)
    assert reached == len(text)
    assert pieces("x" * 5000)[-1][0] + len(pieces("x" * 5000)[-1][1]) == 5000 and pieces("  ") == []


def test_settings_of_a_home(tmp_path: Path) -> None:
    assert read_privacy(tmp_path).detectors == () and read_privacy(tmp_path).tagger == ""
    (tmp_path / "config.toml").write_text('[privacy]\ntagger = "0002"\ndetectors = ["credsweeper"]\n')
    assert read_privacy(tmp_path).tagger == "0002" and read_privacy(tmp_path).detectors == ("credsweeper",)
    (tmp_path / "config.toml").write_text("[privacy]\ntager = 1\n")
    with pytest.raises(BadInput, match=r"\[privacy\]: tager"):
        read_privacy(tmp_path)


def test_ends_of_entities_are_put_to_their_beginnings() -> None:
    text = "ask John van Smith or Ann, 4 May"
    rows = [
        ("private_person", "John van"), ("E-private_person", "Smith"), ("S-private_person", "Ann"), ("E-private_date", "4 May"),
    ]  # fmt: skip
    found = [
        {"entity_group": label, "start": text.index(v), "end": text.index(v) + len(v), "score": 0.9 - n / 10}
        for n, (label, v) in enumerate(rows)
    ]
    out = [
        (type_of(label), text[start:end], round(score, 1))
        for label, start, end, score in grouped(found, text)
    ]
    assert out == [("PERSON", "John van Smith", 0.8), ("PERSON", "Ann", 0.7), ("DATE_TIME", "4 May", 0.6)]
