"""The contract suite over every detector of the registry, ours and a user's, and what holds for several together."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import tiny_model

from deputize.core.errors import MissingExtra
from deputize.home import Home
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.registry import make_detector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spans import detect_all
from deputize.privacy.detectors.verification import VerificationDetector
from deputize.privacy.standard_detectors import standard_detectors
from deputize.privacy.tagger import load_tagger
from deputize.privacy.tagger.network import build
from deputize.testing import check_detector, check_spans

TOKEN = "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
"""Has the form of a code host's token; made up."""


@pytest.fixture(scope="session")
def hub_model(tiny_tagger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a folder in the hub's form: what an openly published token-classification model looks like."""
    from tokenizers import Tokenizer
    from tokenizers.processors import BertProcessing
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("hub") / "model"
    network = build(tiny_tagger, 3, weights="tagger.safetensors")
    network.config.id2label = {0: "O", 1: "B-ticket_number", 2: "I-ticket_number"}
    network.config.label2id = {label: n for n, label in network.config.id2label.items()}
    network.save_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(tiny_tagger / "tokenizer.json"))
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = BertProcessing(*ends)  # type: ignore[arg-type]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=320,
    )
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def privacy_filter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """openai/privacy-filter's architecture and labels, tiny and with random weights: what it finds means nothing."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    if not hasattr(transformers, "OpenAIPrivacyFilterConfig"):
        pytest.skip("this version of transformers does not know openai/privacy-filter")
    source = tiny_model.make(tmp_path_factory.mktemp("tokens"))
    folder = tmp_path_factory.mktemp("filter") / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    config = transformers.OpenAIPrivacyFilterConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        pad_token_id=2,
        eos_token_id=0,
        sliding_window=16,
        max_position_embeddings=4096,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.OpenAIPrivacyFilterForTokenClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


MAKERS: dict[str, tuple[Callable[[pytest.FixtureRequest], Detector], str, str]] = {
    "rules": (lambda _: make_detector("rules"), "mail ann.lee@example.com now", "ann.lee@example.com"),
    "rules, deobfuscated": (
        lambda _: DeobfuscatingDetector(RuleDetector()),
        "mail an\u200bn@example.com",
        "an\u200bn@example.com",
    ),
    "secrets": (lambda _: make_detector("secrets"), f"token: {TOKEN}", TOKEN),
    "presidio": (lambda _: make_detector("presidio"), "card 4111 1111 1111 1111", "4111 1111 1111 1111"),
    "spacy": (lambda _: make_detector("spacy"), "Yesterday Barack Obama met Angela Merkel.", "Barack Obama"),
    "residual": (
        lambda _: VerificationDetector(),
        "ask bob (at) gmail (dot) com",
        "bob (at) gmail (dot) com",
    ),
    "credsweeper": (lambda _: make_detector("credsweeper"), f"token: {TOKEN}", TOKEN),
    "tagger": (lambda r: load_tagger(r.getfixturevalue("tiny_tagger")), "please call 456-78 back", "456-78"),
    "hub model": (
        lambda r: make_detector(f"hub:{r.getfixturevalue('hub_model')}"),
        "please call 456-78 back",
        "456-78",
    ),
    "gliner": (
        lambda r: make_detector(f"gliner:{r.getfixturevalue('gliner_model')}"),
        "please call 456-78 back",
        "456-78",
    ),
    "a user's, in one file": (
        lambda _: make_detector("tests.a_users_detector:Badges"),
        "badge BX1234 lost",
        "BX1234",
    ),
}
"""Name -> (what makes the detector, a text, a value that it has to find there)."""


@pytest.fixture(params=sorted(MAKERS), scope="session")
def member(request: pytest.FixtureRequest) -> tuple[Detector, str, str]:
    make, text, value = MAKERS[request.param]
    try:
        return make(request), text, value
    except MissingExtra as error:
        pytest.skip(str(error))


def test_it_keeps_the_contract(member: tuple[Detector, str, str]) -> None:
    check_detector(*member)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(max_size=60), max_size=3))
def test_any_text_can_be_read(member: tuple[Detector, str, str], texts: list[str]) -> None:
    check_spans(member[0], texts)


def test_a_union_covers_what_any_member_found(tiny_tagger: Path) -> None:
    members = [
        make_detector("rules"),
        load_tagger(tiny_tagger),
        make_detector("tests.a_users_detector:Badges"),
    ]
    texts = ["mail ann@example.com, ticket 456-78, badge BX1234", "thanks a lot for the help"]
    (joined, nothing) = detect_all(members, texts)
    assert nothing == [] and all(a.end <= b.start for a, b in pairwise(joined))
    covered = {i for s in joined for i in range(s.start, s.end)}
    for detector in members:
        for s in detector.detect(texts)[0]:
            assert covered.issuperset(range(s.start, s.end))
    assert {"EMAIL_ADDRESS", "BADGE"} <= {s.type for s in joined}


def test_the_standard_set_of_a_home_with_a_tagger(tiny_tagger: Path, tmp_path: Path) -> None:

    home = tmp_path / "home"
    (home / "taggers").mkdir(parents=True)
    (home / "taggers" / "0001").symlink_to(tiny_tagger)
    (home / "config.toml").write_text(
        f"[privacy]\ndetectors = {json.dumps(['tests.a_users_detector:Badges'])}\n"
    )
    standard = standard_detectors(home=home, privacy=Home(home).privacy())
    assert {"rules", "presidio", "tagger", "badges"} <= set(standard.names)
    (found,) = detect_all(standard.all, ["ticket 456-78, badge BX1234"])
    assert {"TICKET", "BADGE"} <= {s.type for s in found}
    (home / "config.toml").write_text('[privacy]\ntagger = "none"\n')
    assert "tagger" not in standard_detectors(home=home, privacy=Home(home).privacy()).names


def test_the_architecture_of_privacy_filter_can_be_read(privacy_filter: Path) -> None:
    """Untrained: whatever it finds has to lie in the text and bear one of our types."""
    from deputize.privacy.detectors.token_classification import TokenClassificationDetector

    detector = TokenClassificationDetector(str(privacy_filter), threshold=0.0)
    texts = ["please refund order LH-12345 to ada.king42@example.org", "", "é 😀 yes", "lamp " * 600]
    found = check_spans(detector, texts)
    assert any(found), "with no threshold a random model marks something"
    assert {s.type for row in found for s in row} <= {
        "BANK_ACCOUNT",
        "STREET_ADDRESS",
        "DATE_TIME",
        "EMAIL_ADDRESS",
        "PERSON",
        "PHONE_NUMBER",
        "PRIVATE_URL",
        "API_KEY",
    }
