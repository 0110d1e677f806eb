"""Names after the words that introduce them, and inside of identifiers."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.rules.names_by_language import names_in_identifiers


def found(text: str) -> set[str]:
    return {
        text[s.start : s.end] for s in RuleDetector().detect([text])[0] if s.type in ("PERSON", "USERNAME")
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Guten Tag, hier ist Rosalinde Tønnesgaard.", "Rosalinde Tønnesgaard"),
        ("document, titulaire Melisande Kerguélen, né", "Melisande Kerguélen"),
        ("Hola, soy Aitzol Zubizarreta.", "Aitzol Zubizarreta"),
        ("Proszę, tu Jadwiga Świętochowska.", "Jadwiga Świętochowska"),
        ("Merhaba, ben Nermin Karabağlı.", "Nermin Karabağlı"),
        ("Hello, Melisande Tønnesgaard here.", "Melisande Tønnesgaard"),
        ("Mit freundlichen Grüßen\nMelisande Tønnesgaard", "Melisande Tønnesgaard"),
        ("PASSENGER MUST SIGN: GARETH TONNESGAARD", "GARETH TONNESGAARD"),
        ("spoke with P. Tønnesgaard about it", "P. Tønnesgaard"),
        ("你好，我是马志远，没有", "马志远"),
        ("こんにちは、藤本直樹です。", "藤本直樹"),
        ("荷物を小野寺誠様に", "小野寺誠"),
        ("مرحبا، معك سعاد القحطاني.", "سعاد القحطاني"),
        ("नमस्ते, मैं कविता मल्होत्रा बोल रही हूँ", "कविता मल्होत्रा"),
        ("see https://crm.example/people/melisande-tonnesgaard/edit", "melisande-tonnesgaard"),
        ("see linkedin.com/in/melisande-tonnesgaard", "melisande-tonnesgaard"),
        ("dm me @melisande_tonnesgaard", "melisande_tonnesgaard"),
        ("attached: CV_Melisande_Tønnesgaard_2024.pdf", "Melisande_Tønnesgaard"),
        ("transfer_to_Melisande_Tønnesgaard", "Melisande_Tønnesgaard"),
    ],
)
def test_found(text: str, name: str) -> None:
    assert name in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "this is Very Important Stuff for Customer Support".replace("Very Important Stuff", "a test"),
        "Customer: Premium Support",
        "max_tokens and user_id of get_order_status",
        "@pytest.fixture",
        "PLEASE READ THE TERMS OF SERVICE",
        "我是客户，请帮我",
        "お客様の荷物です",
    ],
)
def test_left(text: str) -> None:
    assert not found(text)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("see @GarethOttilie77: fine", "USERNAME", "GarethOttilie77"),
        ("see #GarethOttilie", "PERSON", "GarethOttilie"),
        ("me@GarethOttilie", "PERSON", "GarethOttilie"),
    ],
)
def test_a_name_in_a_handle_makes_the_handle_a_user_name(text: str, kind: str, value: str) -> None:
    assert (kind, value) in {(s.type, text[s.start : s.end]) for s in RuleDetector().detect([text])[0]}


def test_parts_of_identifiers() -> None:
    text = "fix/GarethOttilieLogin"
    assert [text[a:b] for a, b in names_in_identifiers(text)] == ["GarethOttilie"]
    assert not names_in_identifiers("getOrderStatus max_tokens")
