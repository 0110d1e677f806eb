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
        ("Steuer-ID 55807302157, bitte", ("TAX_ID", "55807302157")),
        ("numéro de sécurité sociale 2 55 08 14 168 025 38", ("NATIONAL_ID", "2 55 08 14 168 025 38")),
        ("mi DNI es 12345678Z", ("NATIONAL_ID", "12345678Z")),
        ("身份证号11010519491231002X，周二", ("NATIONAL_ID", "11010519491231002X")),
        ("マイナンバー468193036426、火曜", ("NATIONAL_ID", "468193036426")),
        ("رقم الهوية 1212997220، تعاني", ("NATIONAL_ID", "1212997220")),
        ("आधार 1332 2453 8323, मंगलवार", ("NATIONAL_ID", "1332 2453 8323")),
        ("TC kimlik no 10000000146,", ("NATIONAL_ID", "10000000146")),
        ("Dokument LX204417K, Inhaber", ("PASSPORT", "LX204417K")),
        ("证件E28830146，持有人", ("PASSPORT", "E28830146")),
        ("health plan number 7KD-31-9406 lapsed", ("HEALTH_ID", "7KD-31-9406")),
        ("Kennzeichen MI-RT 482 steht", ("VEHICLE_ID", "MI-RT 482")),
        ("car VIN VF1RFB00X61234987", ("VEHICLE_ID", "VF1RFB00X61234987")),
        ("IMEI 356405622415499 stolen", ("DEVICE_ID", "356405622415499")),
        ("adid 5f3c0a91-22de-4b7a-9c41-7d0e8a6b1f20", ("DEVICE_ID", "5f3c0a91-22de-4b7a-9c41-7d0e8a6b1f20")),
        ("device 3c52.8270.ad1f seen", ("DEVICE_ID", "3c52.8270.ad1f")),
        ("pick up at 48.137154, 11.576124", ("COORDINATES", "48.137154, 11.576124")),
        ("its 9 digits read 478203916 ok", ("US_SSN", "478203916")),
        ("the patient is 93 years old", ("AGE", "93 years old")),
        ("she is in 60614 now", ("POSTAL_CODE", "60614")),
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
