"""Every type that our rules find, with forms it must be found in and look-alikes that must stay."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.rules import RULES, RuleDetector, SecretDetector
from deputize.privacy.entity_types import DIRECT, INDIRECT, SECRET

ALL = RuleDetector()

FOUND: dict[str, list[tuple[str, str]]] = {
    "PHONE_NUMBER": [
        ("call +44 20 7946 0958 today", "+44 20 7946 0958"),
        ("reach me at (212) 555-0188", "(212) 555-0188"),
        ("tel. 030 1234567", "030 1234567"),
        ("mobile: 555.867.5309", "555.867.5309"),
        ("her number is +1 999-111-2222 x", "+1 999-111-2222"),
        ("Phone 2125550188,", "2125550188"),
    ],
    "API_KEY": [
        ("use sk-proj-Ab3dEf6hIj9kLm2nOp5q now", "sk-proj-Ab3dEf6hIj9kLm2nOp5q"),
        ("export STRIPE_SECRET_KEY=rk_live_9aB8cD7eF6gH5iJ4", "rk_live_9aB8cD7eF6gH5iJ4"),
        ('"access_token": "a8f5f167f44f4964e6c998dee827110c"', "a8f5f167f44f4964e6c998dee827110c"),
        ("glpat-aB3dE6gH9jK2mN5pQ8sT", "glpat-aB3dE6gH9jK2mN5pQ8sT"),
        ("api key for maps is 7f3d9b2ac1e84f60", "7f3d9b2ac1e84f60"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----", "MIIEow=="),
    ],
    "PASSWORD": [
        ("passwd=Tr0ub4dor&3", "Tr0ub4dor&3"),
        ("the passphrase is correct-horse-7", "correct-horse-7"),
        ("PIN code: 4921", "4921"),
        ("mysql://root:hunter22@db:3306/x", "hunter22"),
        ("IDENTIFIED BY 'S3cret pass'", "S3cret pass"),
        ("otp: 884213", "884213"),
    ],
    "USERNAME": [
        ("user name: jsmith84", "jsmith84"),
        ("login is anna.k", "anna.k"),
        ("GRANT ALL TO 'reporting'@'%'", "reporting"),
        ('"user_id": "liam_garcia_2391"', "liam_garcia_2391"),
    ],
    "MEDICAL_RECORD": [
        ("MRN: 00482913", "MRN: 00482913"),
        ("medical record number: A-229318", "A-229318"),
        ("Patient ID = 778812", "778812"),
        ("chart no. is 55-1234", "55-1234"),
    ],
    "STREET_ADDRESS": [
        ("lives at 221B Baker Street, London", "221B Baker Street, London"),
        ("ship to 12 N. Oak Ave Apt 4, Salem, OR 97301", "12 N. Oak Ave Apt 4, Salem, OR 97301"),
        ("address: 77 Rue de Rivoli", "77 Rue de Rivoli"),
        ('"zip": "94110"', "94110"),
    ],
    "BANK_ACCOUNT": [
        ("account number: 0034 1177 22", "0034 1177 22"),
        ("routing no. 021000021", "021000021"),
        ("acct 123456789012 was debited", "123456789012"),
        ("sort code: 20-00-00", "20-00-00"),
    ],
    "POLICY_NUMBER": [
        ("Policy number: P-7736612", "P-7736612"),
        ("claim no. is CLM-2024-0099", "CLM-2024-0099"),
        ("member id: XGH778812345", "XGH778812345"),
        ("group number = 00451-A", "00451-A"),
    ],
    "DATE_OF_BIRTH": [
        ("DOB 04/05/1990", "04/05/1990"),
        ("born on 5 April 1990", "5 April 1990"),
        ("date of birth is 1990-04-05", "1990-04-05"),
        ('"birthDate": "1990-04-05"', "1990-04-05"),
    ],
    "MEDICATION": [
        ("started Lisinopril 20 mg daily", "Lisinopril 20 mg"),
        ("takes metformin and", "metformin"),
        ("allergic to amoxicillin", "amoxicillin"),
        ("on atorvastatin", "atorvastatin"),
    ],
    "HEALTH_CONDITION": [
        ("history of type 2 diabetes", "type 2 diabetes"),
        ("has chronic obstructive pulmonary disease", "chronic obstructive pulmonary disease"),
        ("diagnosed with breast cancer", "breast cancer"),
        ("severe Asthma since", "Asthma"),
    ],
    "EMAIL_ADDRESS": [
        ("x.y+z@mail.example.co.uk", "x.y+z@mail.example.co.uk"),
        ("?m=bob%40example.com", "bob%40example.com"),
    ],
    "US_SSN": [("SSN: 925-22-8758", "925-22-8758"), ("social security number 925 22 8758 is", "925 22 8758")],
    "CREDIT_CARD": [
        ("visa 4111-1111-1111-1111", "4111-1111-1111-1111"),
        ("5555555555554444", "5555555555554444"),
    ],
    "IBAN_CODE": [
        ("GB29 NWBK 6016 1331 9268 19", "GB29 NWBK 6016 1331 9268 19"),
        ("to DE89370400440532013000", "DE89370400440532013000"),
    ],
    "IP_ADDRESS": [("from 203.0.113.77", "203.0.113.77"), ("host=10.2.3.4", "10.2.3.4")],
    "MAC_ADDRESS": [("aa:bb:cc:11:22:33", "aa:bb:cc:11:22:33"), ("AA-BB-CC-11-22-33", "AA-BB-CC-11-22-33")],
    "PASSPORT": [("passport number: X1234567", "X1234567"), ("Passport no. is 912345678", "912345678")],
    "DRIVER_LICENSE": [
        ("driver's license: D1234567", "D1234567"),
        ("driver license number is AB-123456", "AB-123456"),
    ],
    "NATIONAL_ID": [("NID-88213311", "NID-88213311"), ("tax id: 12-3456789", "12-3456789")],
    "LICENSE_NUMBER": [("NPI: 1234567893", "1234567893"), ("Bar No. CA 228812", "CA 228812")],
    "CASE_NUMBER": [("in 2023-CV-01882", "2023-CV-01882"), ("No. 1:22-cv-01234", "1:22-cv-01234")],
    "PERSON": [
        ("Patient: Maria Lopez", "Maria Lopez"),
        ("Dr. Okafor will see you", "Dr. Okafor"),
        ('"last_name": "Quark"', "Quark"),
    ],
    "JOB_TITLE": [
        ("a Senior Data Analyst left", "Senior Data Analyst"),
        ("the VP of Sales said", "VP of Sales"),
    ],
    "ORGANIZATION": [
        ("by Bluebell Systems Inc.", "Bluebell Systems Inc."),
        ("at Mercy General Hospital", "Mercy General Hospital"),
    ],
    "DATE_TIME": [("on 2024-03-05 we", "2024-03-05"), ("May 20, 2024 at noon", "May 20, 2024")],
    "TAX_ID": [("Steuer-ID 55807302157", "55807302157"), ("VAT number DE136695976", "DE136695976")],
    "HEALTH_ID": [
        ("health plan number 7KD-31-9406 lapsed", "7KD-31-9406"),
        ("Medicare 1EG4-TE5-MK73", "1EG4-TE5-MK73"),
    ],
    "VEHICLE_ID": [("VIN VF1RFB00X61234987", "VF1RFB00X61234987"), ("Kennzeichen MI-RT 482", "MI-RT 482")],
    "DEVICE_ID": [
        ("IMEI 356405622415499", "356405622415499"),
        ("device 3c52.8270.ad1f seen", "3c52.8270.ad1f"),
    ],
    "COORDINATES": [
        ("at 48.137154, 11.576124", "48.137154, 11.576124"),
        ("-33.8688, 151.2093", "-33.8688, 151.2093"),
    ],
    "AGE": [("is 93 years old", "93 years old"), ("edad: 101", "edad: 101")],
    "POSTAL_CODE": [("lives in 60614 now", "60614"), ("10115 Berlin", "10115")],
    "URL": [
        ("see https://example.org/a", "https://example.org/a"),
        ("www.example.org/b", "www.example.org/b"),
    ],
}

LEFT: dict[str, list[str]] = {
    "PHONE_NUMBER": [
        "order 4421486 of 2024",
        "1,234,567 rows in 3.25 s",
        "version 10.15.7 of 2023",
        "flight HAT1234567",
    ],
    "API_KEY": [
        "the api key is required",
        "token limit: 4096 tokens",
        "secret santa on friday",
        "key: value",
        "session ended at 12:30",
    ],
    "PASSWORD": [
        "forgot my password",
        "password: ********",
        "password must have 8 letters",
        "the pass is closed",
        "pin it to the wall",
    ],
    "USERNAME": ["user name: string", "the user is angry", "handle with care", "login: required"],
    "MEDICAL_RECORD": ["patient since 2019", "the medical record is complete", "chart 5 shows growth"],
    "STREET_ADDRESS": ["a 10 minute drive", "2 way street", "5 Way to Go", "the address is wrong"],
    "BANK_ACCOUNT": [
        "account for 30 percent of it",
        "my account is locked",
        "take into account 2 things",
        "account type: savings",
    ],
    "POLICY_NUMBER": [
        "our policy: refunds within 30 days",
        "claim number is missing",
        "member of 3 clubs",
        "policy: none",
    ],
    "DATE_OF_BIRTH": ["born to be wild", "the birthday party is on friday", "dob: required"],
    "MEDICATION": [
        "drink 200 ml of water",
        "the final statement",
        "add 20 units to the cart",
        "a stationary bike",
    ],
    "HEALTH_CONDITION": [
        "the system is healthy",
        "in good condition",
        "a migration of data",
        "she has a cold brew",
    ],
    "EMAIL_ADDRESS": ["meet @ noon", "the @mention", "a@b"],
    "US_SSN": ["call 555-12-34567", "part 12-345-6789", "SSN is required"],
    "CREDIT_CARD": ["4111 1111 1111 1112", "order 1234567890123456", "0000 0000 0000 0000"],
    "IBAN_CODE": ["GB28 NWBK 6016 1331 9268 19", "AB12 CDEF", "SKU DE12 3456 7890 1234"],
    "IP_ADDRESS": ["127.0.0.1", "version 1.2.3.4.5", "999.1.2.3", "bind 0.0.0.0"],
    "MAC_ADDRESS": ["at 10:20:30", "aa:bb:cc", "12:34:56:78"],
    "PASSPORT": ["passport photo 2x2", "my passport expires in 2026", "passport: required"],
    "DRIVER_LICENSE": ["a driver license costs 30 dollars", "license: MIT", "licence 2.0"],
    "NATIONAL_ID": ["tax id is needed", "national holiday 4 July", "tin can 12"],
    "LICENSE_NUMBER": ["the bar is at 20", "bar chart 3", "npi: required"],
    "CASE_NUMBER": ["in case 5 of 7", "2023-2024", "at 1:22 pm"],
    "PERSON": [
        "Dear Customer,",
        "Patient Portal is down",
        "my name is on the list",
        "Hello World",
        '"first_name": "string"',
    ],
    "JOB_TITLE": ["the manager said no", "an engineer", "officer on duty"],
    "ORGANIZATION": ["a company of friends", "the group of five", "systems are down"],
    "DATE_TIME": ["3 of 10 items", "1-2 days", "may be late", "ratio 5/7 of it"],
    "TAX_ID": ["tax of 12 %", "tin of beans 400", "pan 28 cm"],
    "HEALTH_ID": ["health plan", "medicare is late", "nhs is 24"],
    "VEHICLE_ID": ["plate of pasta", "registration closes at 5", "placa"],
    "DEVICE_ID": ["serial killer", "device is off", "serial 7"],
    "COORDINATES": ["1.5, 2.5", "52.5, 13.4", "version 1.2345"],
    "AGE": ["is 45 years old", "97 boxes", "90 years old"],
    "POSTAL_CODE": ["order 90210", "in 2024", "90210 rows"],
    "URL": ["http is slow", "example.org", "www"],
}


def found(text: str) -> set[tuple[str, str]]:
    return {(s.type, text[s.start : s.end]) for s in ALL.detect([text])[0]}


@pytest.mark.parametrize(("kind", "text", "value"), [(k, t, v) for k, rows in FOUND.items() for t, v in rows])
def test_found(kind: str, text: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k, rows in LEFT.items() for t in rows])
def test_left(kind: str, text: str) -> None:
    assert kind not in {k for k, _ in found(text)}


def test_every_type_has_both_kinds_of_examples() -> None:
    kinds = {rule.type for rule in RULES} | {"PHONE_NUMBER", "DATE_TIME"}
    assert kinds == FOUND.keys() == LEFT.keys()
    assert all(len(FOUND[k]) >= 2 and len(LEFT[k]) >= 3 for k in kinds)
    assert kinds <= DIRECT | INDIRECT | {"LOCATION"}


def test_the_secret_rules_alone_find_secrets_alone() -> None:
    secrets = SecretDetector()
    for kind in SECRET:
        for text, value in FOUND[kind]:
            assert (kind, value) in {(s.type, text[s.start : s.end]) for s in secrets.detect([text])[0]}
    others: list[list[Span]] = secrets.detect([t for k in FOUND.keys() - SECRET for t, _ in FOUND[k]])
    assert {s.type for row in others for s in row} <= SECRET
