"""One person's values, written in every way that prompts, tools, URLs and answers write them: none stays, and all
agree."""

from __future__ import annotations

import json
import random
import string
from urllib.parse import quote

import pytest

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.records import Call, Example, Message
from deputize.privacy.check_digits import digits_of, is_iban, is_luhn
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.run import run

DETECTORS: list[Detector] = [DeobfuscatingDetector(RuleDetector())]
FIRST = "Mia Omar Sofia Ivan Noah Emma Liam Olivia Lucas Chloe Ethan Amelia"
LAST = "Whitfield Rossi Kovacs Muller Garcia Santos Johnson Smythe Davis Lopez Martin Hughes"
TOWN = "Leeds Derby Truro Exeter Dover Luton Ripon Wells Salford Preston Durham Oakham"
N = 12


def _with_check(stem: str, fits: object) -> str:
    return next(
        v
        for c in range(100)
        if callable(fits) and fits(v := stem.replace("##", f"{c:02d}").replace("#", str(c % 10)))
    )


def _key(n: int) -> str:
    rng = random.Random(n)
    abc = string.ascii_letters + string.digits
    return "\n".join("".join(rng.choice(abc) for _ in range(size)) for size in (64, 64, 22))


def planted(n: int) -> dict[str, str]:
    """What is known of person n."""
    first, last = FIRST.split()[n], LAST.split()[n]
    return {
        "first": first,
        "last": last,
        "town": TOWN.split()[n],
        "street": f"{41 + n} Hawthorn Close",
        "iban": _with_check(f"DE##3704004405320{13000 + n}", is_iban),
        "card": _with_check(f"41111111{1111000 + n}#", is_luhn),
        "mail": f"{first}.{last}@mail.example".lower(),
        "phone": f"1705567{781 + n}",
        "mrn": f"0048{2900 + n}",
        "word": f'p@{n}s"worD{n}',
        "key": _key(n),
        "umlaut": f"Größling{'abcdefghijkl'[n]}",
        "owner": f"Åse Kjær{'abcdefghijkl'[n]}",
        "chart": f"77{40123 + 7 * n}",
    }


def call(n: int) -> Call:
    p = planted(n)
    name = f"{p['first']} {p['last']}"
    grouped = " ".join(p["iban"][i : i + 4] for i in range(0, 22, 4))
    card = f"{p['card'][:4]} {p['card'][4:8]}\n{p['card'][8:12]} {p['card'][12:]}"
    said = (
        f"Hello, my name is {name}, born 02/29/1984 (29 Feb 1984). MRN: {p['mrn'][:4]}-{p['mrn'][4:]}.\n"
        f"Chart no.\n{p['chart']}\nMRN\n{p['mrn']}\nCard {p['card']}, again\n{card}\nIBAN {grouped}, phone +49 {p['phone'][:3]} {p['phone'][3:]}.\n"
        f"I live at {p['street']}, {p['town']}. {p['first']}'s boss is not {p['first'][0]}. {p['last']}. {name.upper()}, {name.lower()}.\n"
        f"https://x.example/?q={quote(name)}&mail={quote(p['mail'])}&next=1 or note={p['first']}+{p['last']}\n"
        f"-----BEGIN RSA PRIVATE KEY-----\n{p['key']}\n-----END RSA PRIVATE KEY-----\n"
    )
    record = json.dumps(
        {
            "customer": name,
            "email": p["mail"],
            "password": p["word"],
            "last_name": p["umlaut"],
            "owner": p["owner"],
            "iban": p["iban"],
            "mrn": p["mrn"],
            "dob": "1984-02-29",
            "card": p["card"],
        }
    )
    answer = {
        "iban": p["iban"],
        "mrn": p["mrn"],
        "dob": "1984-02-29",
        "town": p["town"],
        "street": p["street"],
        "phone": f"+49{p['phone']}",
        "mail": p["mail"],
        "last": p["last"],
        "card": p["card"],
    }
    look_up = {"id": "t", "type": "function", "function": {"name": "look_up", "arguments": record}}
    messages: list[Message] = [
        {"role": "system", "content": "Extract the data."},
        {"role": "user", "content": said},
        {"role": "assistant", "content": None, "tool_calls": [look_up]},
        {"role": "tool", "tool_call_id": "t", "content": record},
    ]
    return Call(
        id=f"c{n}",
        agent="a",
        episode=f"e{n}",
        site="s",
        response_format={"type": "json_object"},
        messages=messages,
        response={"role": "assistant", "content": json.dumps(answer)},
    )


@pytest.fixture(scope="module")
def curated() -> Curated:
    calls = [call(n) for n in range(N)]
    return run(calls, infer_sites(calls), Convert(), key=b"k" * 32, detectors=DetectorSet(DETECTORS))


def examples(curated: Curated) -> list[tuple[int, Example, str]]:
    """(n, example, all its text with JSON strings decoded)."""
    assert curated.withheld == []
    return [(int(e.call_id[1:]), e, _text(e)) for e in curated.examples]


def _text(e: Example) -> str:
    _, user, assistant, tool = e.request.messages
    records = (assistant["tool_calls"][0]["function"]["arguments"], tool["content"], e.response["content"])
    return "\n".join([user["content"], *(json.dumps(json.loads(r), ensure_ascii=False) for r in records)])


def test_no_value_stays_in_any_form(curated: Curated) -> None:
    for n, _, text in examples(curated):
        p = planted(n)
        folded, digits = text.casefold(), digits_of(text)
        for what in ("first", "last", "town", "mail", "umlaut", "street", "owner"):
            assert p[what].casefold() not in folded, what
        assert quote(p["mail"]) not in text and p["word"] not in text and f"worD{n}" not in text
        assert p["iban"] not in text.replace(" ", "")
        for what in ("card", "mrn", "phone", "chart"):
            assert p[what] not in digits, what
        assert not any(line in text for line in p["key"].split("\n"))
        assert "1984-02-29" not in text and "29 Feb 1984" not in text


def test_all_forms_become_forms_of_one_stand_in(curated: Curated) -> None:
    for _, e, _ in examples(curated):
        said = e.request.messages[1]["content"]
        record = json.loads(e.request.messages[3]["content"])
        answer = json.loads(e.response["content"])
        assert (
            answer["iban"] in said.replace(" ", "")
            and is_iban(answer["iban"])
            and record["iban"] == answer["iban"]
        )
        digits = digits_of(said)
        assert digits.count(answer["card"]) == 2 and is_luhn(answer["card"])
        assert digits.count(answer["mrn"]) == 2 and record["mrn"] == answer["mrn"]
        assert digits_of(answer["phone"]) in digits
        assert f"{answer['street']}, {answer['town']}" in said
        assert quote(answer["mail"]) in said and record["email"] == answer["mail"]
        last = answer["last"]
        assert f"{last.upper()}, " in said and f"%20{last}&" in said and f"+{last}" in said
        assert answer["mail"].split("@")[0].endswith(last.lower())
        year, month, day = answer["dob"].split("-")
        assert f"born {month}/{day}/{year} (" in said and f"({int(day)} " in said
        assert said.count("-----BEGIN RSA PRIVATE KEY-----\n") == 1 and "MRN\n" in said


def test_json_stays_json(curated: Curated) -> None:
    for n, e, _ in examples(curated):
        arguments = e.request.messages[2]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(arguments) == json.loads(e.request.messages[3]["content"])
        assert len(json.loads(arguments)["password"]) == len(planted(n)["word"])
