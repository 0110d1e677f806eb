"""Numbers after the words that name them, in many languages."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector

RULES = DeobfuscatingDetector(RuleDetector())


def found(text: str) -> set[tuple[str, str]]:
    return {(s.type, text[s.start : s.end]) for s in RULES.detect([text])[0]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Steuer-ID 72731708812, bitte", ("TAX_ID", "72731708812")),
        ("numéro de sécurité sociale 2 55 08 14 168 025 38", ("NATIONAL_ID", "2 55 08 14 168 025 38")),
        ("mi DNI es 12345678Z", ("NATIONAL_ID", "12345678Z")),
        ("身份证号11010519491231002X，周二", ("NATIONAL_ID", "11010519491231002X")),
        ("マイナンバー649270765597、火曜", ("NATIONAL_ID", "649270765597")),
        ("رقم الهوية 1990320867، تعاني", ("NATIONAL_ID", "1990320867")),
        ("आधार 5926 3503 8658, मंगलवार", ("NATIONAL_ID", "5926 3503 8658")),
        ("TC kimlik no 10000000146,", ("NATIONAL_ID", "10000000146")),
        ("Dokument CF894985Q, Inhaber", ("PASSPORT", "CF894985Q")),
        ("证件E61417955，持有人", ("PASSPORT", "E61417955")),
        ("HPBN 3JZ-55-0042 member", ("HEALTH_ID", "3JZ-55-0042")),
        ("Kennzeichen KA-PA 777 steht", ("VEHICLE_ID", "KA-PA 777")),
        ("car VIN WAUZZZ8K9BA012345", ("VEHICLE_ID", "WAUZZZ8K9BA012345")),
        ("IMEI 490154203237518 stolen", ("DEVICE_ID", "490154203237518")),
        ("adid 38400000-8cf0-11bd-b23e-10b96e40000d", ("DEVICE_ID", "38400000-8cf0-11bd-b23e-10b96e40000d")),
        ("device 00aa.11bb.22cc seen", ("DEVICE_ID", "00aa.11bb.22cc")),
        ("pick up at 52.516275, 13.377704", ("COORDINATES", "52.516275, 13.377704")),
        ("the nine digits are 531124001 ok", ("US_SSN", "531124001")),
        ("the patient is 97 years old", ("AGE", "97 years old")),
        ("she is in 90210 now", ("POSTAL_CODE", "90210")),
        ("see https://example.org/people/7", ("URL", "https://example.org/people/7")),
        ("seed: " + " ".join(["abandon", "ability"] * 6), ("PASSWORD", " ".join(["abandon", "ability"] * 6))),
    ],
)
def test_found(text: str, value: tuple[str, str]) -> None:
    assert value in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "order 784407414 is late",
        "the patient is 45 years old",
        "plate of pasta",
        "registration closes at 5",
        "document of 2024-03-14",
    ],
)
def test_left(text: str) -> None:
    assert not {kind for kind, _ in found(text)} - {"DATE_TIME"}
