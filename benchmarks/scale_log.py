"""A SIMULATED log of any length with real variety: six agents with four tasks each, calls of about 1 kB.

Each task has a prompt of its own with slots and optional lines. What fills the slots is open: people, companies and
things are put together from syllables, sentences from the words of the agent's field and from made-up ones, so that the
vocabulary grows with the log as that of real texts does. The answer follows from the request but for a few that are
drawn at random. The true task of every call is known.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.privacy_scale import composed


class Field(NamedTuple):
    """The field that an agent works in."""

    agent: str
    house: str
    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    """Label -> words that decide for it."""
    code: str
    """Prefix of its file numbers."""
    tools: tuple[str, str]
    rules: tuple[str, str, str]


FIELDS = (
    Field(
        "helpdesk",
        "the support desk of a shop",
        ("parcel", "order", "jacket", "charger", "refund", "basket", "voucher", "lamp", "invoice"),
        ("arrived", "broke", "disappeared", "was charged", "was returned", "never came", "was replaced"),
        {
            "delivery": ("late", "courier", "doorstep"),
            "damage": ("scratched", "cracked", "leaking"),
            "payment": ("charged", "card", "twice"),
            "return": ("sending back", "too small", "wrong size"),
            "question": ("wondering", "how do I", "which one"),
        },
        "ORD",
        ("open_ticket", "close_ticket"),
        (
            "Gifts above fifty are checked by a colleague.",
            "Vouchers are never paid out in cash.",
            "Opened software cannot be returned.",
        ),
    ),
    Field(
        "claims",
        "the claims department of an insurer",
        ("roof", "cellar", "bicycle", "windscreen", "kitchen", "pipe", "fence", "garage", "policy"),
        ("was flooded", "was stolen", "was hit by hail", "caught fire", "is leaking", "was dented"),
        {
            "water": ("flooded", "pipe burst", "damp"),
            "theft": ("stolen", "broke in", "lock was forced"),
            "storm": ("hail", "wind", "fallen tree"),
            "fire": ("smoke", "burnt", "flames"),
        },
        "CLM",
        ("order_survey", "pay_claim"),
        (
            "Claims above five thousand go to a surveyor.",
            "Theft needs the report of the police.",
            "Photographs are asked for where water was involved.",
        ),
    ),
    Field(
        "logistics",
        "the dispatch of a haulier",
        ("pallet", "container", "truck", "ramp", "seal", "crate", "trailer", "manifest", "dock"),
        ("is delayed", "was refused", "waits at customs", "was reloaded", "is short by two", "was sealed"),
        {
            "customs": ("papers", "tariff", "border"),
            "delay": ("traffic", "breakdown", "missed the slot"),
            "shortage": ("missing", "short", "counted"),
            "handover": ("signed", "delivered", "unloaded"),
        },
        "SHP",
        ("book_ramp", "reroute_truck"),
        (
            "Ramps are booked by the half hour.",
            "Frozen goods never wait outside.",
            "A broken seal is reported before unloading.",
        ),
    ),
    Field(
        "clinic",
        "the front desk of a clinic",
        ("appointment", "referral", "scan", "prescription", "result", "ward", "follow-up", "form", "bill"),
        ("was moved", "is missing", "has to be renewed", "was cancelled", "is ready", "was booked twice"),
        {
            "booking": ("next week", "free slot", "earlier"),
            "billing": ("invoice", "insurer", "co-payment"),
            "records": ("copy", "results", "letter"),
            "urgent": ("pain", "fever", "bleeding"),
        },
        "PAT",
        ("book_visit", "send_record"),
        (
            "Urgent cases are put through to a nurse.",
            "Results are not read out on the phone.",
            "Children come with a guardian.",
        ),
    ),
    Field(
        "facility",
        "the caretakers of an office building",
        ("lift", "door", "heating", "printer", "badge", "window", "alarm", "corridor", "parking space"),
        ("is stuck", "does not close", "is cold", "beeps", "was lost", "drips", "is blocked"),
        {
            "heating": ("cold", "radiator", "thermostat"),
            "access": ("badge", "locked", "key"),
            "cleaning": ("dirty", "spilled", "bins"),
            "electric": ("light", "socket", "fuse"),
            "lift": ("lift", "stuck between", "doors of the lift"),
        },
        "FAC",
        ("send_caretaker", "order_part"),
        (
            "Nobody enters the plant room alone.",
            "Lost badges are blocked at once.",
            "Work above two metres needs a second person.",
        ),
    ),
    Field(
        "ledger",
        "the accounts payable of a factory",
        ("invoice", "credit note", "statement", "reminder", "purchase order", "discount", "supplier", "tax"),
        ("does not match", "was paid twice", "is overdue", "lacks a number", "was approved", "is disputed"),
        {
            "mismatch": ("differs", "quantity", "price per unit"),
            "duplicate": ("twice", "again", "already paid"),
            "overdue": ("reminder", "overdue", "interest"),
            "approval": ("sign", "approve", "release"),
        },
        "INV",
        ("hold_payment", "release_payment"),
        (
            "Amounts above ten thousand need two signatures.",
            "Discounts end after fourteen days.",
            "New suppliers are verified by telephone.",
        ),
    ),
)
FORMS = ("triage", "extract", "act", "summarise")
NOISE = 0.02
"""Share of the answers that are drawn at random."""


class SimulatedCall(NamedTuple):
    """A call as an agent logs it, and the task it truly belongs to."""

    row: dict[str, Any]
    task: str


def simulated_log(n: int, seed: int = 0) -> Iterator[SimulatedCall]:
    """n calls, in episodes of one to four; the same for the same arguments, and of a longer log the first n."""
    rng = random.Random(f"scale {seed}")
    number = episode = 0
    while number < n:
        episode += 1
        field = rng.choices(FIELDS, (6, 5, 4, 3, 2, 1))[0]
        who = f"{seed}-user{rng.randrange(20 + episode // 4)}"  # more people as the log grows
        case = _Case.of(rng, field)
        for form in rng.sample(FORMS, rng.choices((1, 2, 3, 4), (4, 3, 2, 1))[0]):
            if number >= n:
                return
            number += 1
            messages, tools, reply = _MADE[form](rng, field, case)
            row: dict[str, Any] = {
                "id": f"{seed}-c{number}",
                "run_id": f"{seed}-r{episode}",
                "agent": field.agent,
                "user": who,
                "model": "simulated-llm",
                "messages": messages,
                "response": reply,
                "usage": {"prompt_tokens": 210, "completion_tokens": 12},
                "timestamp": 1_760_000_000 + 7 * number,
            }
            if tools:
                row["tools"] = tools
            yield SimulatedCall(row, f"{field.agent}/{form}")


class _Case(NamedTuple):
    """The matter that the calls of an episode are about."""

    person: str
    company: str
    number: str
    amount: str
    label: str
    thing: str
    text: str

    @classmethod
    def of(cls, rng: random.Random, field: Field) -> _Case:
        label = rng.choice(list(field.labels))
        thing = rng.choice(field.nouns)
        clue = rng.choice(field.labels[label])
        return cls(
            f"{composed(rng, rng.randint(1, 2))} {composed(rng, rng.randint(1, 3))}",
            f"{composed(rng, 2)} {rng.choice(('Ltd', 'GmbH', 'Inc', 'and Sons', 'Works'))}",
            f"{field.code}-{rng.randint(10**5, 10**7)}",
            f"{rng.randint(5, 9999)}.{rng.randint(0, 99):02d}",
            label,
            thing,
            _prose(rng, field, thing, clue),
        )


def _prose(rng: random.Random, field: Field, thing: str, clue: str) -> str:
    """Two to five sentences about a thing, one of them with the clue."""
    said = [f"The {thing} {rng.choice(field.verbs)} and there is something {clue}."]
    for _ in range(rng.randint(1, 4)):
        what, where = rng.choice(field.nouns), composed(rng, rng.randint(1, 3)).lower()
        said.append(
            rng.choice(
                (
                    f"Since {rng.randint(2, 90)} days the {what} near the {where} {rng.choice(field.verbs)}.",
                    f"My neighbour says that the {where} {what} {rng.choice(field.verbs)} as well.",
                    f"We bought the {where} {what} {rng.randint(1, 30)} months ago.",
                    f"Please do not forget the {what}, it is next to the {where}.",
                    f"A colleague called it {where}, I would call it a {what}.",
                )
            )
        )
    rng.shuffle(said)
    return " ".join(said)


_Made = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]


def _system(field: Field, job: str) -> str:
    return "\n".join((f"You work for {field.house}.", job, *field.rules, "Never invent what is not written."))


def _asked(rng: random.Random, field: Field, job: str, lines: list[str]) -> list[dict[str, Any]]:
    """The messages; some callers leave an optional line out."""
    kept = [line for line in lines if line and (rng.random() < 0.85 or not line.startswith("Channel"))]
    return [
        {"role": "system", "content": _system(field, job)},
        {"role": "user", "content": "\n".join(kept)},
    ]


def _triage(rng: random.Random, field: Field, case: _Case) -> _Made:
    job = f"Sort the message. Answer with one word of: {', '.join(field.labels)}."
    lines = [f"Channel: {rng.choice(('mail', 'phone', 'form'))}", "Message:", case.text]
    label = rng.choice(list(field.labels)) if rng.random() < NOISE else case.label
    return _asked(rng, field, job, lines), [], {"role": "assistant", "content": label}


def _extract(rng: random.Random, field: Field, case: _Case) -> _Made:
    job = "Read the message and answer with one JSON object with the keys number, amount and kind."
    lines = [
        "Extract from this message:",
        case.text,
        f"It is about {case.number}, {case.amount} EUR. Yours, {case.person}",
    ]
    kind = rng.choice(list(field.labels)) if rng.random() < NOISE else case.label
    reply = {"number": case.number, "amount": case.amount, "kind": kind}
    return _asked(rng, field, job, lines), [], {"role": "assistant", "content": json.dumps(reply)}


def _act(rng: random.Random, field: Field, case: _Case) -> _Made:
    job = "Decide what is to be done and call one of the tools."
    lines = [
        f"File: {case.number}",
        f"Customer: {case.person}",
        f"Company: {case.company}",
        f"Note: {case.text}",
    ]
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"{name.replace('_', ' ')} for a file",
                "parameters": {
                    "type": "object",
                    "properties": {"file": {"type": "string"}},
                    "required": ["file"],
                },
            },
        }
        for name in field.tools
    ]
    first = list(field.labels).index(case.label) % 2 == 0
    if rng.random() < NOISE:
        first = not first
    call = {
        "id": f"call_{rng.getrandbits(40):x}",
        "type": "function",
        "function": {"name": field.tools[not first], "arguments": json.dumps({"file": case.number})},
    }
    reply = {"role": "assistant", "content": None, "tool_calls": [call]}
    return _asked(rng, field, job, lines), tools, reply


def _summarise(rng: random.Random, field: Field, case: _Case) -> _Made:
    job = "Write one sentence for the file that says what the matter is."
    lines = [f"Case {case.number} of {case.company}", "Text of the case:", case.text]
    text = f"{case.company} reports that the {case.thing} needs attention ({case.label}), file {case.number}."
    return _asked(rng, field, job, lines), [], {"role": "assistant", "content": text}


_MADE = {"triage": _triage, "extract": _extract, "act": _act, "summarise": _summarise}
