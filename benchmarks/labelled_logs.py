"""Two simulated agent logs with known tasks: one with designed prompts, one hostile (one-line, reworded, no fixed
line).

Both are SIMULATED and share one author with the method that is measured on them: they show what breaks, not how good
the method is in the field.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deputize.core.records import Call, Message

Slots = dict[str, str]


@dataclass(frozen=True)
class Job:
    """One task of the simulated agents."""

    name: str
    agent: str
    asks: tuple[str, ...]
    """Wordings of the instruction."""
    thing: str
    """Which slot carries the text that is worked on."""
    answer: Callable[[Slots, random.Random], str]
    """What the teacher replies; a JSON list stands for a tool call."""
    weight: int = 3


AGENTS = {
    "shop": "a mail-order shop",
    "hr": "a recruiting firm",
    "dev": "a software team",
    "bank": "a small bank",
    "trip": "a travel agency",
    "clinic": "a medical practice",
}
_PEOPLE = (
    "Anna Berg",
    "Luis Ortega",
    "Mei Tanaka",
    "Omar Haddad",
    "Priya Nair",
    "Jonas Weber",
    "Ella Novak",
    "Sam Okoro",
)
_PLACES = ("Ulm", "Lisbon", "Osaka", "Quito", "Bergen", "Tunis", "Perth", "Lyon", "Cork", "Graz")
_THINGS = (
    "kettle",
    "desk lamp",
    "bicycle",
    "laptop bag",
    "sofa",
    "tent",
    "coffee grinder",
    "mirror",
    "rug",
    "toaster",
)
_MOODS = (
    "is wonderful and arrived early",
    "broke after two days",
    "does what it should",
    "is far too loud",
    "looks cheap",
    "made my mother very happy",
    "came without its cable",
    "is fine for the price",
)
_SKILLS = ("python", "welding", "negotiation", "spreadsheets", "nursing", "driving", "copywriting", "tax law")
_BUGS = (
    "the page stays white after login",
    "the export drops the last row",
    "a null pointer in the cart service",
    "the clock is one hour off",
    "search finds nothing with umlauts",
    "the build hangs on the second run",
)
_PAINS = (
    "a sore throat since Monday",
    "back pain after lifting",
    "a rash on both arms",
    "dizziness in the morning",
)


def _pick(r: random.Random, *values: str) -> str:
    return r.choice(values)


_WORDS = (
    "the team checked every open point and will report back once the missing parts have come in from outside"
)


def _sentence(r: random.Random, n: int) -> str:
    words = _WORDS.split()
    return " ".join(r.choice(words) for _ in range(n)).capitalize() + "."


def _bullets(r: random.Random, n: int) -> str:
    return "\n".join(f"- {_sentence(r, r.randint(4, 8))}" for _ in range(n))


def _letter(r: random.Random) -> str:
    return (
        "Dear customer,\n\n"
        + "\n\n".join(" ".join(_sentence(r, 12) for _ in range(3)) for _ in range(2))
        + "\n\nKind regards"
    )


def _call(name: str, **arguments: str) -> str:
    return json.dumps([{"name": name, "arguments": arguments}])


def jobs() -> list[Job]:
    """Twenty tasks of six agents."""
    return [
        Job(
            "sentiment",
            "shop",
            (
                "say whether this review is positive, negative or neutral",
                "what is the sentiment of the review",
            ),
            "review",
            lambda s, r: _pick(r, "positive", "negative", "neutral"),
            5,
        ),
        Job(
            "order_fields",
            "shop",
            (
                "extract the order number and product as JSON",
                "pull order id and article out as a JSON object",
            ),
            "letter",
            lambda s, r: json.dumps({"order_id": s["order"], "product": s["thing"]}),
            4,
        ),
        Job(
            "review_summary",
            "shop",
            ("summarise the review in one sentence", "give a one-sentence summary of this review"),
            "review",
            lambda s, r: (
                f"The customer says the {s['thing']} {r.choice(_MOODS)} and {_sentence(r, 9).lower()}"
            ),
            3,
        ),
        Job(
            "shop_reply",
            "shop",
            ("write a friendly reply to the customer", "draft an answer letter for this customer"),
            "letter",
            lambda s, r: _letter(r),
            2,
        ),
        Job(
            "cv_skills",
            "hr",
            ("list skills and years of experience as JSON", "extract skills and years from the CV as JSON"),
            "cv",
            lambda s, r: json.dumps({"skills": [s["skill"]], "years": r.randint(1, 30)}),
            4,
        ),
        Job(
            "suitable",
            "hr",
            (
                "decide whether the candidate fits: yes or no",
                "is this person suitable for the post, yes or no",
            ),
            "cv",
            lambda s, r: _pick(r, "yes", "no"),
            3,
        ),
        Job(
            "job_ad",
            "hr",
            ("write a job advertisement", "compose an advert for the vacancy"),
            "vacancy",
            lambda s, r: f"## Vacancy: {s['skill']}\n\n{_letter(r)}",
            2,
        ),
        Job(
            "bug_severity",
            "dev",
            ("rate the severity of the bug", "classify this bug report by severity"),
            "bug",
            lambda s, r: _pick(r, "critical", "major", "minor"),
            4,
        ),
        Job(
            "write_code",
            "dev",
            ("write a Python function for this", "implement the following in Python"),
            "wish",
            lambda s, r: f"```python\ndef f(x):\n    return {r.randint(1, 99)} * x\n```",
            3,
        ),
        Job(
            "commit_message",
            "dev",
            ("write a commit message", "suggest a one-line commit message for the change"),
            "bug",
            lambda s, r: f"Fix that {s['bug']}",
            3,
        ),
        Job(
            "explain_error",
            "dev",
            (
                "explain the error and how to repair it",
                "tell me what causes this failure and list the steps to fix it",
            ),
            "bug",
            lambda s, r: f"{_sentence(r, 14)}\n\n{_bullets(r, 4)}",
            2,
        ),
        Job(
            "invoice_fields",
            "bank",
            (
                "read payee, amount and due date off the invoice as JSON",
                "turn this invoice into JSON with payee, amount, due",
            ),
            "invoice",
            lambda s, r: json.dumps(
                {"payee": s["person"], "amount": r.randint(10, 999), "due": "2024-05-01"}
            ),
            4,
        ),
        Job(
            "fraud",
            "bank",
            ("is the payment suspicious, answer yes or no", "check this transfer for fraud: yes or no"),
            "payment",
            lambda s, r: _pick(r, "yes", "no", "no", "no"),
            4,
        ),
        Job(
            "report_bullets",
            "bank",
            ("sum the report up in bullet points", "give me the key points of this report as bullets"),
            "report",
            lambda s, r: _bullets(r, r.randint(3, 5)),
            2,
        ),
        Job(
            "book_trip",
            "trip",
            ("book what the customer wants with the tools", "use the tools to arrange this trip"),
            "trip",
            lambda s, r: _call(_pick(r, "book_hotel", "book_train"), city=s["place"]),
            4,
        ),
        Job(
            "city",
            "trip",
            ("which city does the customer want to go to", "name the destination city only"),
            "trip",
            lambda s, r: s["place"],
            3,
        ),
        Job(
            "packing_list",
            "trip",
            ("make a packing list", "what should be packed, as a list"),
            "trip",
            lambda s, r: _bullets(r, 8),
            2,
        ),
        Job(
            "triage",
            "clinic",
            ("assign a triage level", "how urgent is this patient, give the triage level"),
            "complaint",
            lambda s, r: _pick(r, "emergency", "soon", "routine"),
            4,
        ),
        Job(
            "visit_json",
            "clinic",
            (
                "put the visit into JSON with patient, complaint, since",
                "make a JSON record of the visit: patient, complaint, since",
            ),
            "complaint",
            lambda s, r: json.dumps({"patient": s["person"], "complaint": s["pain"], "since": s["date"]}),
            3,
        ),
        Job(
            "patient_letter",
            "clinic",
            ("write a letter to the patient", "draft a letter for the patient about the findings"),
            "complaint",
            lambda s, r: _letter(r),
            2,
        ),
    ]


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name.replace('_', ' ')}",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("book_hotel", "book_train")
]


def slots_of(r: random.Random) -> Slots:
    """Made-up values of all slots, texts made of them among these."""
    s = {
        "person": r.choice(_PEOPLE),
        "place": r.choice(_PLACES),
        "thing": r.choice(_THINGS),
        "skill": r.choice(_SKILLS),
        "bug": r.choice(_BUGS),
        "pain": r.choice(_PAINS),
        "order": f"{r.choice('ABCDE')}X-{r.randint(10000, 99999)}",
        "date": f"2024-0{r.randint(1, 9)}-{r.randint(10, 28)}",
    }
    n = r.randint(2, 900)
    return {
        **s,
        "review": f"The {s['thing']} {r.choice(_MOODS)}, says {s['person']} from {s['place']}.",
        "letter": f"Hello, my {s['thing']} (order {s['order']}) {r.choice(_MOODS)}. {s['person']}, {s['place']}",
        "cv": f"{s['person']}, {s['place']}, {n % 40} years of {s['skill']}, before that {r.choice(_SKILLS)}",
        "vacancy": f"{s['skill']} in {s['place']}, from {s['date']}",
        "wish": f"multiply a number of {s['thing']}s by {n} and return the total for {s['place']}",
        "invoice": f"{s['person']}, {n} EUR for a {s['thing']}, due {s['date']}",
        "payment": f"{n} EUR from {s['person']} to an account in {s['place']} on {s['date']}",
        "report": f"In {s['place']} {n} {s['thing']}s were sold, {r.choice(_MOODS)}, since {s['date']}",
        "trip": f"{s['person']} wants to go to {s['place']} on {s['date']} with {n % 5 + 1} friends",
        "complaint": f"{s['person']}, seen on {s['date']}, has {s['pain']}",
    }


def designed(n: int = 2600, seed: int = 0) -> tuple[list[Call], list[str]]:
    """Long shared system prompts, instruction lines, `Label: value` lines, some of them optional."""
    r = random.Random(seed)
    all_jobs = jobs()
    calls: list[Call] = []
    truth: list[str] = []
    for i in range(n):
        job = r.choices(all_jobs, [j.weight for j in all_jobs])[0]
        s = slots_of(r)
        house = f"You are an assistant of {AGENTS[job.agent]}."
        rules = [
            f"House rule {k} of the {job.agent} desk: {_sentence(random.Random(f'{job.agent}{k}'), 14)}"
            for k in range(12)
        ]
        lines = [
            f"Task: {job.asks[0]}.",
            "Follow the format strictly.",
            f"Customer: {s['person']}",
            f"{job.thing.capitalize()}: {s[job.thing]}",
        ]
        if r.random() < 0.3:
            lines.insert(1, "Take your time and think before you answer.")
        if r.random() < 0.4:
            lines.append(f"Channel: {r.choice(('phone', 'mail', 'chat'))}")
        calls.append(_made(i, job, "\n".join([house, *rules]), "\n".join(lines), s, r))
        truth.append(job.name)
    return calls, truth


_OPEN = (
    "",
    "",
    "please ",
    "could you ",
    "hey, ",
    "next one: ",
    "quick one - ",
    "I need you to ",
    "as before, ",
    "now ",
)
_LINK = (": ", " - here it is: ", ". Text: ", "; it reads ", " (", " for this: ", "\u2014")
_END = ("", "", ".", " thanks", " asap", " and be quick", " if you can")


def hostile(n: int = 2600, seed: int = 0) -> tuple[list[Call], list[str]]:
    """One-line prompts whose wording changes from call to call, with a short system prompt per agent or none."""
    r = random.Random(seed + 1)
    all_jobs = jobs()
    calls: list[Call] = []
    truth: list[str] = []
    for i in range(n):
        job = r.choices(all_jobs, [j.weight for j in all_jobs])[0]
        s = slots_of(r)
        user = hostile_text(r.choice(job.asks), s[job.thing], r)
        calls.append(_made(i, job, f"You help {AGENTS[job.agent]}.", user, s, r))
        truth.append(job.name)
    return calls, truth


def hostile_text(ask: str, text: str, r: random.Random) -> str:
    """One line with an instruction in some wording, before or after the text that it is about."""
    ask = _reword(ask, r)
    user = (
        f"{r.choice(_OPEN)}{ask}{r.choice(_LINK)}{text}"
        if r.random() < 0.6
        else f"{text} \u2014 {r.choice(_OPEN)}{ask}"
    )
    return user + r.choice(_END)


_SYNONYMS = {
    "write": ("write", "draft", "compose", "put together"),
    "extract": ("extract", "get", "find"),
    "review": ("review", "comment", "feedback"),
    "give": ("give", "return", "provide"),
    "customer": ("customer", "client"),
    "list": ("list", "enumerate"),
    "summarise": ("summarise", "condense", "sum up"),
    "this": ("this", "the", "the following"),
    "as": ("as", "in the form of"),
}


def _reword(ask: str, r: random.Random) -> str:
    return " ".join(r.choice(_SYNONYMS.get(word, (word,))) for word in ask.split())


def _made(i: int, job: Job, system: str, user: str, s: Slots, r: random.Random) -> Call:
    said = job.answer(s, r)
    response: Message = {"role": "assistant", "content": said}
    if said.startswith("[{"):
        tool_calls: list[dict[str, Any]] = [
            {
                "id": f"c{k}",
                "type": "function",
                "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])},
            }
            for k, c in enumerate(json.loads(said))
        ]
        response = {"role": "assistant", "content": None, "tool_calls": tool_calls}
    return Call(
        id=f"simulated-{i}",
        messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
        response=response,
        episode=f"e{i}",
        agent=f"{job.agent} (simulated)",
        tools=TOOLS if job.name == "book_trip" else None,
    )
