"""Values by the names of their fields, in data of many kinds and languages."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.rules.named_fields import table_cells


def found(text: str) -> set[tuple[str, str]]:
    lines = text.split("\n")
    lines += table_cells(lines)
    return {
        (s.type, line[s.start : s.end])
        for line, row in zip(lines, RuleDetector().detect(lines), strict=True)
        for s in row
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"nachname": "Quistgaard"}', ("PERSON", "Quistgaard")),
        ('{"apellidos": "Oxenford Vanterpool"}', ("PERSON", "Oxenford Vanterpool")),
        ('{"姓名": "欧阳锋"}', ("PERSON", "欧阳锋")),
        ('{"الاسم": "نورة العلوي"}', ("PERSON", "نورة العلوي")),
        ('{"msisdn": "939317438"}', ("PHONE_NUMBER", "939317438")),
        ('{"geburtsdatum": "4. März 1963"}', ("DATE_OF_BIRTH", "4. März 1963")),
        ('{"addr1": "Am Hang 86"}', ("STREET_ADDRESS", "Am Hang 86")),
        ('{"ssn": 531124001}', ("NATIONAL_ID", "531124001")),
        ("<kunde><nachname>Quistgaard</nachname></kunde>", ("PERSON", "Quistgaard")),
        ("id,last_name,what\n17,Quistgaard,late", ("PERSON", "Quistgaard")),
        ("| who | what |\n|---|---|\n| Perpetua Quistgaard | late |", ("PERSON", "Perpetua Quistgaard")),
        ("https://a.example/?apellido=Quistgaard&x=1", ("PERSON", "Quistgaard")),
        ("customer_name = 'Perpetua Quistgaard'", ("PERSON", "Perpetua Quistgaard")),
        ("doğum tarihi: 20.01.1977", ("DATE_OF_BIRTH", "20.01.1977")),
    ],
)
def test_found(text: str, value: tuple[str, str]) -> None:
    assert value in found(text)


@pytest.mark.parametrize(
    "text", ['{"name": "late_parcel"}', '{"customer": "required"}', "address: see below", "first: the parcel"]
)
def test_left(text: str) -> None:
    assert not found(text)


def test_only_personal_columns_are_read() -> None:
    assert table_cells(["a,b", "1,2"]) == []
    assert table_cells(["email;what", "a@b.de;x", "prose, and more"]) == ['"email": "a@b.de"']
