"""Values as people and programs really write them; the recognizers find them, and leave alone what only looks like
them.

Keys and tokens are drawn when the test runs, so that no scanner of this repository takes them for real ones.
"""

from __future__ import annotations

import base64
import json
import random
import string
import time

import pytest

from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.entity_types import INDIRECT

_RNG = random.Random(20261125)
RULES = DeobfuscatingDetector(RuleDetector())


def draw(n: int, of: str = string.ascii_letters + string.digits) -> str:
    return "".join(_RNG.choice(of) for _ in range(n))


def web_token() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part({'sub': draw(10, string.digits)})}.{draw(43)}"


UP, HEX = string.ascii_uppercase + string.digits, "0123456789abcdef"
BODY = "\n".join(draw(64) for _ in range(3)) + "\n" + draw(20)

FOUND: dict[str, list[tuple[str, str]]] = {
    "API_KEY": [
        ("I put {} into the pipeline yesterday", "AK" + "IA" + draw(16, UP)),
        ("aws_secret_access_key = {}", draw(40)),
        ("git clone fails with token {}.", "gh" + "p_" + draw(36)),
        ("https://{}@github.com/a/b", "gh" + "o_" + draw(36)),
        ('{{"env":{{"GITHUB_TOKEN":"{}"}}}}', "github" + "_pat_" + draw(22) + "_" + draw(59)),
        ('SLACK_BOT_TOKEN="{}"', "xo" + "xb-" + draw(12, string.digits) + "-" + draw(24)),
        ('"app": "{}"', "xa" + "pp-1-" + draw(11, UP) + "-" + draw(13, string.digits)),
        ("curl -u {}: https://api.example.com", "sk_" + "live_" + draw(24)),
        ("export KEY={}", "sk-" + "proj-" + draw(48)),
        ("x-api-key: {}", "sk-" + "ant-api03-" + draw(93)),
        ("js?key={}&v=3", "AI" + "za" + draw(35)),
        ("twine upload -p {}", "py" + "pi-" + draw(60)),
        ("the app key is {}", draw(40, HEX)),
        ("apikey {}", draw(28)),
        ("AccountKey={};EndpointSuffix=x", draw(86) + "=="),
        ("Authorization: Bearer {}", web_token()),
        ("decoded from {}", web_token()),
        ('<add key="ApiKey" value="{}" />', "plum-9921-kite"),
        ("--token {} --verbose", "77ab-cc01-ff"),
        ("secret:\n  {}", "Zebra.Tango.99"),
        ('{{\\"apiSecret\\": \\"{}\\"}}', "lemon44tree"),
        ("secret_key_base: '{}'", "88hhJJ..k2"),
        ("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", BODY),
        ('"private_key": "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END', BODY.replace("\n", "\\n")),
    ],
    "PASSWORD": [
        ("pw: {}", "Sommer2024!"),
        ("The new passwd for the VPN: {}", "Kx9#mm"),
        ("Passwort: {}", "Fr0schk0nig"),
        ('reset her pass phrase to "{}"', "seven small lazy otters"),
        ("PIN {} unlocks it", "4821"),
        ("cvv {}", "123"),
        ("I changed the password from {} to x", "Rhino77"),
        ("the password from Rhino77 to {}.", "Tapir78"),
        ("temporary password - {}", "Qm4$Rt"),
        ("mysql -u root -p{}", "Horst77"),
        ("<password>{}</password>", "k1tt3n"),
        ("redis://:{}@10.1.2.3:6379/0", "foobared"),
        ("Data Source=h;User=app;Pwd={};", "zz9Plural"),
        ("host=db password={} dbname=x", "tulipriver"),
        ("the access code is {}", "7741-ZK"),
        ('{{"password":"{}"}}', 'p@ss\\"word1'),
    ],
    "USERNAME": [
        ("User ID: {}", "tfoley"),
        ("Benutzername = {}", "anna.weiss"),
        ("ssh {}@10.0.4.7", "dkumar"),
        ("logged in as {} from the kiosk", "rpatel2"),
        ("handle @{} on it", "marta_codes"),
        ("C:\\Users\\{}\\tax.xlsx", "hwilhelm"),
        ("/home/{}/.ssh/config", "oyvind"),
    ],
    "MEDICAL_RECORD": [
        ("medical record number {}", "7719-20-33"),
        ("MRN#{}", "A-558120"),
        ("Patient ID {} admitted", "PT-449120"),
        ("Med. Rec. No. {}", "55 12 87"),
        ("mrn {}", "1234567"),
        ("Hospital number: {}", "X82991"),
        ("her chart no. {} is missing", "991827"),
        ("MRN\n{}", "88124455"),
        ("Patientennummer: {}", "33920"),
    ],
    "POLICY_NUMBER": [
        ("policy no {}", "55120098"),
        ("claim {}", "CLM-2024-00918"),
        ("Insurance ID {}", "W2339 11820"),
        ("Policy: {}", "88-AB-7711"),
        ("Versicherungsnummer {}", "65 170839 J 003"),
        ('"policyNumber":"{}"', "PN7781234"),
        ("group no. {} subscriber", "0044821"),
        ("membership number {}", "00229811"),
    ],
    "BANK_ACCOUNT": [
        ("routing 021000021, checking {}", "9900112233"),
        ("BIC {}", "COBADEFFXXX"),
        ("SWIFT code {}", "GGBPGB4W"),
        ("Kontonummer {}", "532013000"),
        ("sort-code: {}", "40-47-84"),
    ],
    "IBAN_CODE": [
        ("{} is my iban", "nl91abna0417164300"),
        ("pay AT61 1904 3002 3457 3201 NOW", "AT61 1904 3002 3457 3201"),
    ],
    "PASSPORT": [
        ("passport {}", "533380006"),
        ("Passport no. {}", "C01X00T47"),
        ("Reisepass {}", "C3JK77PL2"),
    ],
    "DRIVER_LICENSE": [
        ("driver's license {}", "D123-4567-8901"),
        ("driver licence number: {}", "MORGA657054SM9IJ"),
    ],
    "STREET_ADDRESS": [
        ("Wohnhaft {}", "Hauptstraße 12a, 10827 Berlin"),
        ("{}, Köln", "Am Alten Markt 7"),
        ("to {}, Austin", "P.O. Box 5521"),
        ("12 Elm\n{}", "New York, NY 10118"),
        ("Leeds {}.", "LS6 2AB"),
        ("in {}", "Calle Mayor 15, 28013 Madrid"),
        ("at {}, Paris", "77 Rue de Rivoli"),
        ("{}", "14, rue Marc Leblanc"),
        ("I live at {}.", "8952 Hill Squares"),
        ("ship it to {} please", "Angelinastraat 254"),
        ('"street": "{}"', "254/8 Larry Glen"),
        ("address: {}", "ul. Przechodnia 61"),
    ],
    "DATE_OF_BIRTH": [
        ("D.O.B. {}", "2 Feb 88"),
        ("born in {}", "October 1983"),
        ("Geburtsdatum: {}", "17.10.1944"),
        ("dob={}", "19870412"),
        ("Birth date\n{}", "11/09/2001"),
    ],
    "PHONE_NUMBER": [
        ("Tel. {}", "030 / 901820"),
        ("fax: {}", "0221/4710815"),
        ("my number is {} thanks", "57368193"),
        ("call {}x157", "+1-545-880-7302"),
    ],
    "MEDICATION": [
        ("started on {} last week", "apixaban"),
        ("medication: {}", "Zoloft"),
        ('{{"drug":"{}"}}', "semaglutide"),
        ("to {}", "rivaroxaban"),
        ("prescribed {} daily", "Adderall XR 20 mg"),
        ("takes {} twice", "metformin 500 mg"),
    ],
    "HEALTH_CONDITION": [
        ("history of {}", "atrial fibrillation"),
        ("Dx: {}", "major depressive disorder"),
        ("ICD-10 {}", "F32.1"),
        ("for {}", "pancreatitis"),
        ("patient has {}", "heart disease"),
    ],
    "PERSON": [
        ('{{"customer":"{}"}}', "Søren Kjær"),
        ("my name is {}", "fatima el-sayed"),
        ("i'm {}", "rosa delgado"),
        ('"last_name": "{}"', "Gr\\u00f6\\u00dfling"),
        ("thanks, {}", "Lena"),
    ],
}

LEFT = [
    "upgrade to version 12.4.1 of the driver",
    "order number 7714-2231 has shipped",
    "the background is #1f77b4",
    f"tool call {draw(8, HEX)}-9d4a-4b7e-8f21-{draw(12, HEX)} finished",
    f"commit {draw(40, HEX)}",
    f"sha256:{draw(64, HEX)}",
    "the password must have at least eight characters",
    "Reset your password under Settings",
    "forgot password?",
    '{"password": null}',
    '{"password": "the user\'s new password"}',
    "password=required",
    "password is incorrect",
    "the token limit is 4096 tokens",
    "access token expired",
    "secret: required",
    "the api key is missing",
    "key: id",
    "our policy is to refund within 30 days",
    "policy number is required",
    "policy is active",
    "claim your prize",
    "claim 2024 budget",
    "member since 2019",
    "account type: premium",
    "transfer 250 dollars from checking to savings",
    "user id is missing in the request",
    "user_id: string",
    "logged in as a guest",
    "C:\\Users\\Public\\x",
    "@pytest.fixture",
    "born leader",
    "born to run",
    "date of birth is optional",
    "PO 448-1192 was received",
    "address: 0x7ffe12",
    "address: https://example.com/1",
    "I moved to plan 2",
    "ship it to 4 people",
    "2 way street",
    "room 204",
    "flight BA 117",
    "the condition of the car",
    "diagnosis is pending",
    "sympathy and nostalgia",
    "in April and in person",
    "add 500 mg of salt",
    "medication reminders are off",
    "the record number of visitors",
    "5-10-15 rule is 12/13",
    "isbn 978-3-16-148410-0",
    "set pin to top",
    "pin: on",
    "the security code is wrong",
    "dl speed 20",
    "license: MIT",
    "swift code is clean",
]


@pytest.mark.parametrize(
    ("kind", "frame", "value"),
    [(kind, frame, value) for kind, rows in FOUND.items() for frame, value in rows],
)
def test_found_whole(kind: str, frame: str, value: str) -> None:
    text = frame.format(value)
    wanted = range(text.index(value), text.index(value) + len(value))
    spans = RULES.detect([text])[0]
    covered = {i for s in spans for i in range(s.start, s.end)}
    assert {i for i in wanted if text[i].isalnum()} <= covered
    assert kind in {s.type for s in spans if s.start < wanted.stop and wanted.start < s.end}


@pytest.mark.parametrize("text", LEFT)
def test_left_alone(text: str) -> None:
    assert [(s.type, text[s.start : s.end]) for s in RULES.detect([text])[0] if s.type not in INDIRECT] == []


@pytest.mark.parametrize(
    "text",
    [
        "password for " * 2000,
        "12 Ab " * 3000,
        "rue de " * 3000,
        "policy no 1 " * 2000,
        "a/1" * 4000,
        "Aa-" * 4000 + "weg 1",
        "user id: " * 2000,
        "x" * 20000,
        "my a b c " * 2000,
        "ship to 1 A " * 2000,
        'key="a" ' * 2000,
        "-----BEGIN PRIVATE KEY-----" * 500,
    ],
)
def test_hostile_lines_take_no_time(text: str) -> None:
    began = time.process_time()
    RULES.detect([text])
    assert time.process_time() - began < 3
