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
        ('{"nachname": "Tønnesgaard"}', ("PERSON", "Tønnesgaard")),
        ('{"apellidos": "Ellsworth Tarkington"}', ("PERSON", "Ellsworth Tarkington")),
        ('{"姓名": "司马兰"}', ("PERSON", "司马兰")),
        ('{"الاسم": "هدى المطيري"}', ("PERSON", "هدى المطيري")),
        ('{"msisdn": "628405137"}', ("PHONE_NUMBER", "628405137")),
        ('{"geburtsdatum": "2. April 1957"}', ("DATE_OF_BIRTH", "2. April 1957")),
        ('{"addr1": "Am Wehr 19"}', ("STREET_ADDRESS", "Am Wehr 19")),
        ('{"ssn": 478203916}', ("NATIONAL_ID", "478203916")),
        ("<kunde><nachname>Tønnesgaard</nachname></kunde>", ("PERSON", "Tønnesgaard")),
        ("id,last_name,what\n17,Tønnesgaard,late", ("PERSON", "Tønnesgaard")),
        ("| who | what |\n|---|---|\n| Melisande Tønnesgaard | late |", ("PERSON", "Melisande Tønnesgaard")),
        ("https://a.example/?apellido=Tønnesgaard&x=1", ("PERSON", "Tønnesgaard")),
        ("customer_name = 'Melisande Tønnesgaard'", ("PERSON", "Melisande Tønnesgaard")),
        ("<ns:nachname>Tønnesgaard</ns:nachname>", ("PERSON", "Tønnesgaard")),
        ("<nombre><![CDATA[Tønnesgaard]]></nombre>", ("PERSON", "Tønnesgaard")),
        ("<dt>Kunde</dt><dd>Melisande Tønnesgaard</dd>", ("PERSON", "Melisande Tønnesgaard")),
        ("<td>氏名：</td> <td class='x'>高橋蘭</td>", ("PERSON", "高橋蘭")),
        (
            "<table><tr><th>Sum</th><th>Name</th></tr><tr><td>3</td><td><b>Melisande Tønnesgaard</b></td></tr></table>",
            ("PERSON", "Melisande Tønnesgaard"),
        ),
        ('{ firstName: "Melisande", lastName: "Tønnesgaard" }', ("PERSON", "Tønnesgaard")),
        ("{'nachname': 'Tønnesgaard'}", ("PERSON", "Tønnesgaard")),
        ("'nachname' => 'Tønnesgaard'", ("PERSON", "Tønnesgaard")),
        ("ATTENDEE;CN=Melisande Tønnesgaard:mailto:x", ("PERSON", "Melisande Tønnesgaard")),
        ("dn: cn=Melisande Tønnesgaard,ou=people", ("PERSON", "Melisande Tønnesgaard")),
        ('id,last_name,sum\n16,"Lund, Ann",3\n17,Tønnesgaard,4', ("PERSON", "Tønnesgaard")),
        ('id,customer,sum\n16,"Tønnesgaard, Melisande",3', ("PERSON", "Tønnesgaard, Melisande")),
        ("doğum tarihi: 17.09.1981", ("DATE_OF_BIRTH", "17.09.1981")),
    ],
)
def test_found(text: str, value: tuple[str, str]) -> None:
    assert value in found(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "late_parcel"}',
        '{"customer": "required"}',
        "address: see below",
        "first: the parcel",
        "{type: 'object', name: 'get_weather'}",
        "CN=mail.example.com,O=Acme",
        "<th>Name</th> and no more",
    ],
)
def test_left(text: str) -> None:
    assert not found(text)


def test_only_personal_columns_are_read() -> None:
    assert table_cells(["a,b", "1,2"]) == []
    assert table_cells(["email;what", "a@b.de;x", "prose, and more"]) == ['"email": "a@b.de"']
