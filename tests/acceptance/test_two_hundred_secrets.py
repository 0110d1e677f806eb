"""Two hundred identifiers in every place a call has, a whole convert, and every byte on the disk searched for them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests import tiny_model

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.contracts import answer_of
from deputize.gateway.launch import running_gateway
from deputize.home import Home
from deputize.pipeline.artifact import Artifact
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import latest_run
from deputize.router.request_limits import facts_of, limits_of
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.cluster import run as cluster
from deputize.stages.cluster.recurring_lines import UnitSplitter, find_recurring_lines, prompt_call
from deputize.stages.cluster.reply_profiles import read_reply
from deputize.stages.collect.audience import infer_sites
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.run_keys import run_key
from deputize.testing import ScriptedUpstream, running

N_SECRETS = 200
CITIES = ("Lyon", "Graz", "Turin", "Porto", "Malmo")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"mail": {"type": "string"}, "note": {"type": "string"}},
            },
        },
    }
    for name in ("refund", "escalate")
]


def word(dice: random.Random, n: int = 7) -> str:
    """A word that nothing else holds, as a name would look."""
    return "".join(dice.choice("bcdfghklmnprstvz" if i % 2 == 0 else "aeiou") for i in range(n))


def secrets(seed: int = 3) -> list[dict[str, str]]:
    """Twenty people with ten identifiers each."""
    dice = random.Random(seed)
    out = []
    for _ in range(N_SECRETS // 10):
        first, last = word(dice).title(), word(dice, 9).title()
        digits = "".join(dice.choice("123456789") for _ in range(40))
        out.append(
            {
                "name": f"{first} {last}",
                "mail": f"{word(dice)}.{word(dice)}@{word(dice)}.example",
                "phone": f"+49 30 {digits[:4]} {digits[4:8]}",
                "ssn": f"{digits[8:11]}-{digits[11:13]}-{digits[13:17]}",
                "mrn": f"MRN-{digits[17:24]}",
                "iban": f"DE{digits[24:26]} {digits[26:30]} {digits[30:34]} {digits[34:38]} {digits[0:4]} {digits[38:40]}",
                "key": "sk-"
                + "".join(
                    dice.choice("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789") for _ in range(40)
                ),
                "address": f"{digits[5:8]} {word(dice, 8).title()} Street, {dice.choice(CITIES)}",
                "origin": f"customer-{word(dice)}-{digits[:6]}",
                "password": word(dice, 5).title() + digits[10:15] + "!x",
            }
        )
    assert len({value for person in out for value in person.values()}) == N_SECRETS
    return out


def forms(value: str) -> Iterator[bytes]:
    """A value as it may stand somewhere: as it is, escaped, in other letters, in two-byte letters, hex, base64."""
    raw = value.encode()
    for text in {
        value,
        value.lower(),
        value.upper(),
        value.replace(" ", ""),
        value.replace("-", "").replace(" ", ""),
    }:
        yield text.encode()
        yield urllib.parse.quote(text).encode()
        yield urllib.parse.quote_plus(text).encode()
        yield text.encode("utf-16-le")
        yield text.encode("utf-16-be")
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for shift in range(3):
        # what does not depend on the bytes before and after
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * shift + raw)[4 if shift else 0 : -4]


def readable(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what is packed in it."""
    data = path.read_bytes()
    yield data
    if data[:2] == b"\x1f\x8b":
        yield zlib.decompress(data, 47)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield archive.read(name)


def found_in(files: Iterator[Path], people: list[dict[str, str]]) -> dict[str, list[str]]:
    """file -> kinds of identifiers that are in it in some form."""
    wanted = [
        (kind, form) for p in people for kind, value in p.items() for form in forms(value) if len(form) >= 6
    ]
    out: dict[str, list[str]] = {}
    for path in files:
        for data in readable(path):
            hits = sorted({kind for kind, form in wanted if form in data})
            if hits:
                out[str(path)] = sorted({*out.get(str(path), []), *hits})
    return out


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    people = secrets()
    mail = people[0]["mail"]
    for n, data in enumerate(
        (
            mail.encode(),
            b"x" + base64.b64encode(b"ab" + mail.encode() + b"cd"),
            mail.encode().hex().encode(),
            mail.encode("utf-16-le"),
            zlib.compress(mail.encode(), wbits=31),
            json.dumps({"a": mail}).encode(),
        )
    ):
        (tmp_path / f"f{n}").write_bytes(data)
    assert len(found_in(tmp_path.iterdir(), people)) == 6


TOPICS = (
    *("invoice", "parcel", "login", "refund", "meter", "contract", "lamp", "window", "ticket", "garden"),
    *("kitchen", "heating", "roof", "lease", "router", "bicycle"),
)


def about(person: dict[str, str], i: int) -> str:
    """What a letter is about, in other words in each: letters that repeat each other would be one piece of evidence."""
    dice = random.Random(f"{person['origin']} {i}")
    first, second = dice.sample(TOPICS, 2)
    return f"It is about the {first} and the {second}: {' '.join(dice.sample(TOPICS, 5))} {word(dice)}."


def turn(person: dict[str, str], i: int) -> tuple[str, str, list[dict[str, Any]], dict[str, Any]]:
    """(site, episode, messages, answer) of a call that holds identifiers in prompt, history, tool traffic and answer."""
    urgent = i % 2 == 0
    letter = (
        f"My name is {person['name']}, I live at {person['address']}.\nPhone: {person['phone']}\nE-mail: {person['mail']}\n"
        f"SSN: {person['ssn']}\nIBAN: {person['iban']}\npassword: {person['password']}\n"
        f"api_key={person['key']}\n{about(person, i)}\nRecord {person['mrn']} {'needs an answer today' if urgent else 'can wait a week'}."
    )
    site = ("triage", "copy", "act")[i % 3]
    episode = f"{person['origin']}-{i}"
    if site == "triage":
        return (
            site,
            episode,
            [
                {"role": "system", "content": "You sort letters. Reply urgent or normal."},
                {"role": "user", "content": letter},
            ],
            {"role": "assistant", "content": "urgent" if urgent else "normal"},
        )
    if site == "copy":
        answer = json.dumps({"mail": person["mail"], "phone": person["phone"], "urgent": urgent})
        return (
            site,
            episode,
            [
                {"role": "system", "content": "You copy the contact data of a letter into JSON."},
                {"role": "user", "content": letter},
            ],
            {"role": "assistant", "content": answer},
        )
    first = {
        "id": "call_1",
        "type": "function",
        "function": {
            "name": "escalate",
            "arguments": json.dumps({"mail": person["mail"], "note": person["ssn"]}),
        },
    }
    last = {
        "id": "call_2",
        "type": "function",
        "function": {
            "name": "refund" if urgent else "escalate",
            "arguments": json.dumps({"mail": person["mail"], "note": person["mrn"]}),
        },
    }
    return (
        site,
        episode,
        [
            {"role": "system", "content": "You act on letters with tools."},
            {"role": "user", "content": letter},
            {"role": "assistant", "content": None, "tool_calls": [first]},
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": f"account of {person['name']}, key {person['key']}, {person['iban']}",
            },
        ],
        {"role": "assistant", "content": None, "tool_calls": [last]},
    )


HABITS = ("line", "label", "field", "argument", "note", "site", "model")
"""What one person's calls alone carry, again and again: nothing of it is personal data that a detector could know."""


def alone(seed: int = 5) -> dict[str, str]:
    """A person with identifiers like the others', and a word of their own for each of HABITS."""
    dice = random.Random(seed)
    return {**secrets(seed)[0], **{habit: word(dice, 8) for habit in HABITS}}


def turn_alone(person: dict[str, str], i: int) -> tuple[str, str, list[dict[str, Any]], dict[str, Any]]:
    """As `turn`, with lines, a label, a field and an argument that nobody else's calls have."""
    site, episode, messages, answer = turn(person, i)
    said = f"{messages[1]['content']}\nStanding wish of the {person['line']} circle: answer before noon.\nmode: {person['line']} first\nIt is about the {word(random.Random(i))}."
    messages[1] = {**messages[1], "content": said}
    if site == "triage" and i in (0, 12, 24):
        answer = {"role": "assistant", "content": person["label"]}
    elif site == "copy":
        answer = {
            **answer,
            "content": json.dumps({**json.loads(answer["content"]), person["field"]: person["label"]}),
        }
    elif site == "act":
        site = f"act {person['site']}"
        arguments = json.dumps(
            {
                "mail": person["mail"],
                "note": f"as the {person['note']} circle wants",
                person["argument"]: f"{person['note']} way",
            }
        )
        call = {"id": "call_2", "type": "function", "function": {"name": "escalate", "arguments": arguments}}
        answer = {**answer, "tool_calls": [call]}
    return site, episode, messages, answer


def said_in(person: dict[str, str], i: int) -> tuple[str, str, list[dict[str, Any]], dict[str, Any]]:
    return turn_alone(person, i) if "line" in person else turn(person, i)


def model_of(person: dict[str, str]) -> str:
    return f"big {person['model']}" if "model" in person else "big"


async def _through_the_gateway(home: Path, calls: list[tuple[dict[str, str], int]]) -> None:
    answers = {json.dumps(said_in(p, i)[2], sort_keys=True): said_in(p, i)[3] for p, i in calls}

    def script(body: dict[str, Any]) -> dict[str, Any]:
        return answers[json.dumps(body["messages"], sort_keys=True)]

    async with (
        running(ScriptedUpstream(script)) as upstream,
        running_gateway(home, upstream.url) as gateway,
        httpx.AsyncClient(timeout=60) as client,
    ):
        for person, i in calls:
            site, episode, messages, _ = said_in(person, i)
            headers = {
                "authorization": f"Bearer {person['key']}",
                "x-deputize-origin": person["origin"],
                "x-deputize-episode": episode,
                "x-deputize-site": site,
                "x-deputize-agent": "letters",
                "cookie": f"session={person['password']}",
                "x-request-id": person["mrn"],
            }
            body: dict[str, Any] = {
                "model": model_of(person),
                "messages": messages,
                "user": person["origin"],
                "metadata": {"who": person["name"]},
            }
            if site.startswith("act"):
                body["tools"] = TOOLS
            answer = await client.post(f"{gateway}/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200, answer.text


def _as_a_log(path: Path, calls: list[tuple[dict[str, str], int]]) -> Path:
    with path.open("w") as out:
        for person, i in calls:
            site, episode, messages, answer = said_in(person, i)
            row = {
                "id": f"{person['mrn']}-{i}",
                "agent": "letters",
                "model": model_of(person),
                "site": site,
                "run_id": episode,
                "messages": messages,
                "response": answer,
                "user": person["origin"],
                "metadata": {"mail": person["mail"]},
                "tools": TOOLS if site.startswith("act") else None,
            }
            out.write(json.dumps(row) + "\n")
    return path


def held_without_the_limit(home: Path, person: dict[str, str]) -> set[str]:
    """The habits of one person that are in clear where `min_origins` is 1."""
    keyring = KeyRing.open_existing(home)
    folder = home / "runs" / str(latest_run(Home(home)))
    curated = Artifact(folder, "curate", Curated, run_key(folder, keyring)).read()
    found = cluster.run(curated, Convert(min_origins=1))
    forms = [
        learn_schema(
            task.contract,
            [
                a
                for e in curated.examples
                if found.assignment.get(e.call_id) == task.id
                and e.trainable
                and e.split == "train"
                and (a := answer_of(e.response, task.contract)) is not None
            ],
        )
        for task in found.tasks
    ]
    store = Home(home).open_store()
    recorded = list(store.calls())
    store.close()
    sites = infer_sites(recorded).sites
    limits = limits_of(facts_of(call, call.origin) for call in recorded)
    # merging drops lines that tell no replies apart, so which of them a key space keeps hangs on what was replaced in
    # others
    split = UnitSplitter()
    calls = [prompt_call(i, e, read_reply(e.response), split) for i, e in enumerate(curated.examples)]
    lines = find_recurring_lines([c for c in calls if not c.example.request.tools], 1)
    clear = msgspec.json.encode(
        [found.tasks, found.keyspaces, forms, sites, limits, sorted(lines.lines)]
    ).decode()
    return {habit for habit in HABITS if person[habit] in clear}


def test_two_hundred_identifiers_and_what_one_person_alone_says_are_nowhere_in_clear(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    people, loner = secrets(), alone()
    home, source = tmp_path / "home", tmp_path / "source"
    source.mkdir()
    name = tiny_model.installed(tmp_path / "models", tmp_path)
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    calls = [(person, i) for i in range(16) for person in people]
    # one person writes more than all others of a site, so that what they repeat recurs often enough to be a template
    calls += [(loner, i) for i in range(60)]
    random.Random(1).shuffle(calls)
    with caplog.at_level(logging.INFO):
        asyncio.run(_through_the_gateway(home, calls[: len(calls) // 2]))
        said: list[str] = []
        with Home(home) as opened:
            report = convert(
                opened,
                Convert(
                    models=(name,),
                    epsilon=0.2,
                    delta=0.2,
                    minutes=2.0,
                    min_calls=20,
                    explore=True,
                    split=(0.45, 0.10, 0.25, 0.20),
                ),
                paths=[_as_a_log(source / "log.jsonl", calls[len(calls) // 2 :])],
                progress=lambda what, *_: said.append(what),
            )
    assert len(report["tasks"]) >= 3 and any(t["specialist"] for t in report["tasks"]), (
        "a convert without tasks shows nothing"
    )
    # a specialist that its leak test refuses was trained and lies on the disk all the same
    kinds = {t["kind"] for t in report["tasks"] if t["specialist"] or t["leak_tests"]}
    assert {"json", "tool_call"} <= kinds, [(t["kind"], t["refusal_reason"]) for t in report["tasks"]]
    (tmp_path / "said").mkdir()
    (tmp_path / "said" / "log").write_text("\n".join([*said, caplog.text, *capfd.readouterr()]))
    # with the key they are all there
    store = Home(home).open_store()
    text = " ".join(json.dumps([c.messages, c.response]) for c in store.calls())
    store.close()
    spoken = {k for k in people[0] if k not in ("origin",)}
    assert all(person[kind] in text for person in people for kind in spoken)
    # what one person alone says got past de-identification, and would be in names, labels and lines were it not held
    # back
    assert held_without_the_limit(home, loner) == set(HABITS)
    # without it none is, in no file and no form: not in the store, not anywhere else
    files = [p for folder in (home, tmp_path / "said") for p in folder.rglob("*") if p.is_file()]
    assert {"store.db", "routes.json", "report.html", "report.json", "audit.log"} <= {p.name for p in files}
    assert found_in(iter(files), [*people, loner]) == {}
