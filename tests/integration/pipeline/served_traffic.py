"""Simulated traffic of one task: letters that are sorted, some of them hard, served by what the pipeline published."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deputize.core.contracts import agree, answer_of
from deputize.core.records import Call, Decision, Message
from deputize.router.policy import decide, plan
from deputize.router.table import RouteTable
from deputize.routes_file import read_routes
from deputize.specialists.predictor import SpecialistPredictor, load

PHRASES = {
    "refund": ["money back", "refund the amount", "return my payment"],
    "delivery": ["parcel has not come", "courier lost it", "late delivery"],
    "invoice": ["invoice is wrong", "need the bill", "tax number missing"],
    "praise": ["very happy", "great shop", "thank you a lot"],
}
THINGS = [
    "lamp",
    "kettle",
    "chair",
    "table",
    "phone",
    "cable",
    "screen",
    "mouse",
    "bag",
    "shoe",
    "coat",
    "clock",
    "vase",
    "knife",
    "plate",
    "radio",
]
SYSTEM = "You sort letters to a shop.\nAnswer with one word: refund, delivery, invoice or praise."
HARD = 0.35
"""Share of letters with phrases of two kinds; the LLM's answer to them follows from the text only partly."""


class Letters:
    """Letters with the LLM's answers; after `drifted` is set, the LLM answers "delivery" where it said "refund"."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._n = 0
        self.drifted = False

    def next(self) -> Call:
        rng, kinds = self._rng, list(PHRASES)
        self._n += 1
        kind = rng.choice(kinds)
        a, b, c, d = (rng.choice(THINGS) for _ in range(4))
        if rng.random() < HARD:
            other = rng.choice([k for k in kinds if k != kind])
            said = f"{rng.choice(PHRASES[kind])}, and also {rng.choice(PHRASES[other])}"
            answer = kind if rng.random() < 0.6 else other
        else:
            said, answer = rng.choice(PHRASES[kind]), kind
        text = f"I have the {a} and the {b} from you: {said}. The {c} and the {d} are fine."
        if self.drifted and answer == "refund":
            answer = "delivery"
        return Call(
            id=f"c{self._n:06d}",
            messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
            response=_reply(answer),
            episode=f"e{self._n}",
            agent="shop",
            audience="code",
            origin=f"o{self._n}",
            model="gpt-4o",
            timestamp=1.7e9 + self._n,
        )


@dataclass(frozen=True)
class Served:
    """What a stretch of traffic left in the log, and what is true of it."""

    calls: list[Call]
    share: float
    """Of all calls, answered by the specialist."""
    loss: float
    """Of all calls, answered by the specialist and not as the LLM would have."""


class Serving:
    """The routes of a home in this process, as the gateway decides and records; audits a share of what is served."""

    def __init__(self, home: Path, audit_share: float, seed: int) -> None:
        self._home, self._audit_share, self._rng = home, audit_share, random.Random(seed)
        self._loaded: dict[str, SpecialistPredictor] = {}

    def serve(self, letters: Letters, n_calls: int) -> Served:
        """Serves the next letters by the routes that are published now."""
        table = RouteTable.build(read_routes(self._home / "routes.json"))
        calls: list[Call] = []
        n_served = n_wrong = 0
        for _ in range(n_calls):
            call = letters.next()
            route = table.match(call.request()).route
            planned = plan(route)
            if route is None or not planned.ask_specialist:
                calls.append(msgspec.structs.replace(call, decision=decide(planned, None)))
                continue
            prediction = self._specialist(route.specialist).predict([call.request()])[0]
            decision = msgspec.structs.replace(decide(planned, prediction), audit_share=self._audit_share)
            if decision.served_by == "llm":
                calls.append(msgspec.structs.replace(call, decision=decision))
                continue
            right = agree(prediction.answer, answer_of(call.response, route.contract), route.contract)
            n_served, n_wrong = n_served + 1, n_wrong + (not right)
            calls.append(msgspec.structs.replace(call, response=_reply(prediction.answer), decision=decision))
            if self._rng.random() < self._audit_share:
                calls.append(_audit(call, decision, right))
        return Served(calls, n_served / n_calls, n_wrong / n_calls)

    def _specialist(self, path: str) -> SpecialistPredictor:
        if path not in self._loaded:
            self._loaded[path] = load(self._home / path, self._home)
        return self._loaded[path]


def _audit(call: Call, decision: Decision, right: bool) -> Call:
    audited = msgspec.structs.replace(
        decision, served_by="llm", reason="audit", certificate_id="", shadow_agrees=right, audit_of=call.id
    )
    return msgspec.structs.replace(call, id=f"{call.id}-audit", decision=audited)


def _reply(answer: str) -> Message:
    return {"role": "assistant", "content": answer}
