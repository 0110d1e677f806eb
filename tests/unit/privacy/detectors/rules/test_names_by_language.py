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
        ("Guten Tag, hier ist Friederike Quistgaard.", "Friederike Quistgaard"),
        ("document, titulaire Perpetua Quéméneur, né", "Perpetua Quéméneur"),
        ("Hola, soy Íñigo Etxeberria.", "Íñigo Etxeberria"),
        ("Proszę, tu Agnieszka Dąbrowiecka.", "Agnieszka Dąbrowiecka"),
        ("Merhaba, ben Feride Gündoğdu.", "Feride Gündoğdu"),
        ("Hello, Perpetua Quistgaard here.", "Perpetua Quistgaard"),
        ("Mit freundlichen Grüßen\nPerpetua Quistgaard", "Perpetua Quistgaard"),
        ("PASSENGER MUST SIGN: GARETH QUISTGAARD", "GARETH QUISTGAARD"),
        ("spoke with P. Quistgaard about it", "P. Quistgaard"),
        ("你好，我是朱国栋，没有", "朱国栋"),
        ("こんにちは、森田大輔です。", "森田大輔"),
        ("荷物を吉川健一様に", "吉川健一"),
        ("مرحبا، معك أمينة الزهراني.", "أمينة الزهراني"),
        ("नमस्ते, मैं उर्मिला भटनागर बोल रही हूँ", "उर्मिला भटनागर"),
        ("see https://crm.example/people/perpetua-quistgaard/edit", "perpetua-quistgaard"),
        ("see linkedin.com/in/perpetua-quistgaard", "perpetua-quistgaard"),
        ("dm me @perpetua_quistgaard", "perpetua_quistgaard"),
        ("attached: CV_Perpetua_Quistgaard_2024.pdf", "Perpetua_Quistgaard"),
        ("transfer_to_Perpetua_Quistgaard", "Perpetua_Quistgaard"),
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


def test_parts_of_identifiers() -> None:
    text = "fix/GarethOttilieLogin"
    assert [text[a:b] for a, b in names_in_identifiers(text)] == ["GarethOttilie"]
    assert not names_in_identifiers("getOrderStatus max_tokens")
