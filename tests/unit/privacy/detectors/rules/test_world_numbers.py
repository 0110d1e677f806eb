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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NHC: 7904553.", ("MEDICAL_RECORD", "7904553")),
        ("N.º de historia: 48/20931-B, alta", ("MEDICAL_RECORD", "48/20931-B")),
        ("Nº historia clínica HC-2031-447 de hoy", ("MEDICAL_RECORD", "HC-2031-447")),
        ("NASS: 31 40288173 05.", ("NATIONAL_ID", "31 40288173 05")),
        ("CIPA: nhc-903517.", ("HEALTH_ID", "nhc-903517")),
        ("Episodio: 6602918.", ("MEDICAL_RECORD", "6602918")),
        ("Médico: A. B.  NºCol: 50 50 11873.", ("LICENSE_NUMBER", "50 50 11873")),
        ("n.º de colegiado 28-28-60412", ("LICENSE_NUMBER", "28-28-60412")),
        ("demanda (no 30112/07) contra", ("CASE_NUMBER", "30112/07")),
        ("medical record no. 55-20-31", ("MEDICAL_RECORD", "55-20-31")),
        ("patient ID: PT 440192", ("MEDICAL_RECORD", "PT 440192")),
        ('{"nhc": "7904553"}', ("MEDICAL_RECORD", "7904553")),
        ("application nos. 30112/07, 30119/07", ("CASE_NUMBER", "30119/07")),
        ("Patientennummer: 0044-7719", ("MEDICAL_RECORD", "0044-7719")),
        ("Versichertennummer: B481920375", ("HEALTH_ID", "B481920375")),
        ("Aktenzeichen: 12 C 345/20", ("CASE_NUMBER", "12 C 345/20")),
        ("Az. und Geschäftszeichen III ZR 88/21 vom", ("CASE_NUMBER", "III ZR 88/21")),
        ("numéro de dossier : 2023/66104", ("MEDICAL_RECORD", "2023/66104")),
        ("n° d'assuré 7718-2209", ("HEALTH_ID", "7718-2209")),
        ("requête no 30112/07", ("CASE_NUMBER", "30112/07")),
        ("número do prontuário: 883104", ("MEDICAL_RECORD", "883104")),
        ("Processo nº 0001234-56.2020.8.26.0100", ("CASE_NUMBER", "0001234-56.2020.8.26.0100")),
        ("numer ewidencyjny: 4471/2022", ("MEDICAL_RECORD", "4471/2022")),
        ("nr polisy: 908 114 22", ("HEALTH_ID", "908 114 22")),
        ("sygn. akt II CSK 413/18", ("CASE_NUMBER", "II CSK 413/18")),
        ("Hasta dosya no: 2024-55103", ("MEDICAL_RECORD", "2024-55103")),
        ("Dosya numarası: 771940", ("MEDICAL_RECORD", "771940")),
        ("رقم الملف: 481920", ("MEDICAL_RECORD", "481920")),
        ("رقم التأمين: 77-481920", ("HEALTH_ID", "77-481920")),
        ("रोगी संख्या: 481920", ("MEDICAL_RECORD", "481920")),
        ("बीमा संख्या: 77-481920", ("HEALTH_ID", "77-481920")),
        ("病历号：0048192，患者", ("MEDICAL_RECORD", "0048192")),
        ("住院号 ZY481920", ("MEDICAL_RECORD", "ZY481920")),
        ("診察券番号：48-1920", ("MEDICAL_RECORD", "48-1920")),
        ("被保険者番号は48192033", ("HEALTH_ID", "48192033")),
    ],
)
def test_numbers_of_a_persons_files_are_found(text: str, value: tuple[str, str]) -> None:
    assert value in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "ticket no. 482193 is open",
        "case number: 482193",
        "booking reference: K7QX42",
        "order id 4481920 and invoice no. 10023/24, 10024/24",
        "numéro de commande : 2023/66104",
        "número de pedido: 883104",
        "historia de 25 años, episodio de 2019",
        "numer zamówienia: 4471/2022",
        "Sipariş no: 2024-55103",
        "订单号：0048192",
        "注文番号：48-1920",
        "रसीद संख्या: 481920",
        "application version 3.20/21",
        "the patient took 1500 mg twice",
    ],
)
def test_numbers_of_the_applications_own_are_left(text: str) -> None:
    assert not {kind for kind, _ in found(text)} - {"DATE_TIME", "URL", "AGE"}
