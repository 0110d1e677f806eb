"""A simulated log of letters to a shop: what the LLM answers is copied from the letter, and the values vary in shape."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from deputize.core.records import Call

FIRST = [
    "anna",
    "tom",
    "li",
    "maria",
    "jose",
    "peter",
    "ines",
    "karl",
    "emma",
    "lukas",
    "sofia",
    "noah",
    "lea",
    "paul",
    "nina",
    "omar",
]
LAST = [
    "smith",
    "mueller",
    "garcia",
    "rossi",
    "novak",
    "santos",
    "brown",
    "keller",
    "weber",
    "lopez",
    "costa",
    "meyer",
    "fischer",
    "dubois",
]
COMMON = ["gmail.com", "outlook.com", "yahoo.com", "hotmail.com"]
OTHER = [
    *(
        "btinternet.co.uk",
        "yahoo.co.uk",
        "web2.de",
        "t-online.de",
        "mail.ru",
        "my-company.com",
        "uni-jena.de",
    ),
    *("bigpond.net.au", "hotmail.co.uk", "students.ucl.ac.uk", "acme-tools.com", "gmx.net", "orange.fr"),
]
ACCENTED_FIRST = [
    "José",
    "André",
    "René",
    "Zoé",
    "Chloé",
    "Noé",
    "Loïc",
    "Søren",
    "Åsa",
    "Jürgen",
    "Anaïs",
    "Inés",
]
ACCENTED_LAST = [
    "Peña",
    "Muñoz",
    "Núñez",
    "Bélanger",
    "Lindström",
    "Kovač",
    "Sørensen",
    "Dvořák",
    "García",
    "Gómez",
    "Côté",
    "Müller",
]
PLAIN_FIRST, PLAIN_LAST = (
    ["Anna", "Tom", "Maria", "Peter", "Emma", "Paul", "Nina", "Karl"],
    [x.capitalize() for x in LAST[:9]],
)
TOPICS = {
    "refund": ["I want my money back for the lamp", "please refund the broken kettle"],
    "delivery": ["my parcel has not come yet", "when will the order arrive"],
    "invoice": ["I need the invoice for last month", "the invoice shows a wrong sum"],
}
SYSTEM = (
    "You read letters to a shop.\nAnswer with a JSON object that holds the fields {field} and topic.\n{meaning}\n"
    "The topic is one of: refund, delivery, invoice."
)
MEANING = {
    "email": "The email is the one the writer wants to be answered at.",
    "customer": "The customer is the person the order is for.",
}
FORMS = {
    "email": [
        "{t}. Answer me at {a}, my colleague {b} is in copy.",
        "{t}. My colleague {b} wrote to you before; answer me at {a} please.",
        "Dear shop, {t}. You can answer me at {a}. The first mail came from {b}.",
        "{t}. Do not write to {b} any more, answer me at {a}.",
    ],
    "customer": [
        "{t}. The order is for {a}, I am {b}.",
        "I am {b} and write for {a}. {t}.",
        "{t}. Customer: {a}. Written by {b}.",
        "Hello, {b} here. The order is for {a}. {t}.",
    ],
}


def letters(field: str, n_calls: int, seed: int = 7) -> Iterator[Call]:
    """Letters of one episode each; four in ten values have a shape that surrogates did not have once."""
    rng = random.Random(seed)
    value = {"email": _mail, "customer": _person}[field]
    system = SYSTEM.format(field=field, meaning=MEANING[field])
    for i in range(n_calls):
        topic = rng.choice(list(TOPICS))
        a, b = value(rng), value(rng)
        text = rng.choice(FORMS[field]).format(t=rng.choice(TOPICS[topic]), a=a, b=b)
        answer = json.dumps({field: a, "topic": topic}, ensure_ascii=False)
        yield Call(
            id=f"c{i}",
            messages=[
                {"role": "system", "content": system},
                {"role": "user", "content": f"Letter:\n{text}"},
            ],
            response={"role": "assistant", "content": answer},
            episode=f"e{i}",
            agent="shop",
            audience="code",
            origin=f"o{i}",
            model="gpt-4o",
            timestamp=1.7e9 + i,
        )


def _mail(rng: random.Random) -> str:
    domain = rng.choice(OTHER if rng.random() < 0.4 else COMMON)
    number = rng.choice(["", str(rng.randint(1, 99))])
    return f"{rng.choice(FIRST)}.{rng.choice(LAST)}{number}@{domain}"


def _person(rng: random.Random) -> str:
    if rng.random() < 0.4:
        return f"{rng.choice(ACCENTED_FIRST)} {rng.choice(ACCENTED_LAST)}"
    return f"{rng.choice(PLAIN_FIRST)} {rng.choice(PLAIN_LAST)}"


STATES = (
    "a week overdue",
    "lost by the courier",
    "not moving for days",
    "out for delivery",
    "due tomorrow",
    "on its way",
)
LINE = "Write the one line for the ticket system, in the form: <state> | order <number>. Answer with the line only."


def parcels(n_calls: int, seed: int = 7) -> Iterator[Call]:
    """Parcels of one episode each; what the LLM answers is put together of two places of the prompt."""
    rng = random.Random(seed)
    for i in range(n_calls):
        number, state = f"LH-{rng.randrange(10_000, 99_999)}", rng.choice(STATES)
        yield Call(
            id=f"c{i}",
            messages=[
                {"role": "system", "content": LINE},
                {"role": "user", "content": f"Parcel: {number}\nState: {state}"},
            ],
            response={"role": "assistant", "content": f"{state} | order {number}"},
            episode=f"e{i}",
            agent="shop",
            audience="code",
            origin=f"o{i}",
            model="gpt-4o",
            cost_usd=0.01,  # of a prompt longer than this: else a model on this processor costs more than it saves
            timestamp=1.7e9 + i,
        )
