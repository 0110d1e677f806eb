"""Street addresses in the forms of many languages."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules import RuleDetector


def found(text: str) -> set[str]:
    return {text[s.start : s.end] for s in RuleDetector().detect([text])[0] if s.type == "STREET_ADDRESS"}


@pytest.mark.parametrize(
    "address",
    [
        "18 boulevard Arago", "23 avenue Gambetta", "Plaza Mayor 14, 2º A", "Avenida de Cádiz 31", "Rua Sete de Setembro, 207, apto 12",
        "Av. Ipiranga, 85, apto 61", "ul. 1 Maja 26/7", "al. Piłsudskiego 9/14", "Papatya Sokak No:38 D:5", "Hinterm Hof 42",
        "朝阳区建国路118号3栋0905室", "中区栄3-15-8", "شارع الأمير سلطان، مبنى 47، شقة 8", "मकान नंबर 83, सेक्टर 22", "9 Linden Mews",
    ],
)  # fmt: skip
def test_found(address: str) -> None:
    assert any(address in hit for hit in found(f"→ {address}; "))


@pytest.mark.parametrize(
    "text", ["Am Montag 12", "in Version 3", "al 15", "via e-mail 3 times", "2024年3月14日", "第3号"]
)
def test_left(text: str) -> None:
    assert not found(text)
