"""Street addresses in the forms of many languages."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules import RuleDetector


def found(text: str) -> set[str]:
    return {text[s.start : s.end] for s in RuleDetector().detect([text])[0] if s.type == "STREET_ADDRESS"}


@pytest.mark.parametrize(
    "address",
    [
        "61 boulevard Voltaire", "107 avenue Jean-Jaurès", "Plaza del Sol 78, 3º B", "Avenida de América 80", "Rua Quinze de Novembro, 419, apto 55",
        "Av. Paulista, 40, apto 108", "ul. 3 Maja 81/33", "al. Niepodległości 56/27", "Menekşe Sokak No:161 D:14", "Hinterm Deich 139",
        "西湖区文三路296号6栋1796室", "北区梅田2-26-4", "شارع الملك فهد، مبنى 209، شقة 24", "मकान नंबर 456, सेक्टर 14", "14 Harewood Mews",
    ],
)  # fmt: skip
def test_found(address: str) -> None:
    assert any(address in hit for hit in found(f"→ {address}; "))


@pytest.mark.parametrize(
    "text", ["Am Montag 12", "in Version 3", "al 15", "via e-mail 3 times", "2024年3月14日", "第3号"]
)
def test_left(text: str) -> None:
    assert not found(text)
