"""The simulated LLM of the demo: a script that answers for the simulated help desk, in a process of its own.

It answers by call site from what the request says and from what is true in the simulated shop, always in the same
way. Run as `python -m deputize.demo.teacher --seed 0`; it prints its address and serves until it is stopped.
"""

from __future__ import annotations

import json
import random
from typing import Any

from deputize.core.contracts import text_of
from deputize.core.records import Message
from deputize.demo import prompts, world
from deputize.testing.scripted_llm import Script, ScriptError

MODEL = "simulated-llm"
"""The model name of the simulated LLM."""


def script(seed: int, *, noise: float = 0.0) -> Script:
    """The teacher's answers as a function of the request.

    Args:
        seed: of the simulated shop.
        noise: share of triage, policy, case-line and follow-up answers that are wrong (drawn per ticket, so repeatable).
    """

    def answer(body: dict[str, Any]) -> Message:
        messages: list[Message] = body["messages"]
        site = site_of(messages)
        text = text_of(messages[-1] if site == prompts.EXTRACT_SITE else messages[1])
        ticket = world.ticket_in(seed, text)
        if ticket is None:
            raise ScriptError(400, "the simulated shop knows no such ticket")
        rng = random.Random(f"noise:{seed}:{site}:{ticket.index}")
        return _SITES[site](ticket, messages, rng.random() < noise)

    return answer


def site_of(messages: list[Message]) -> str:
    """The call site a request comes from, by its fixed template.

    Raises:
        ScriptError: the prompt is none of the help desk's.
    """
    first = text_of(messages[0]) if messages else ""
    if first in prompts.SITES and len(messages) > 1:
        return prompts.SITES[first]
    if prompts.EXTRACT_HEAD in first:
        return prompts.EXTRACT_SITE
    raise ScriptError(
        400, "the scripted teacher only plays the simulated help desk; it does not know this prompt"
    )


def slots_of(text: str) -> dict[str, str]:
    """The `Label: value` lines of a prompt, labels in lower case."""
    pairs = (line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return {head.strip().lower(): value.strip() for head, value in reversed([(p[0], p[1]) for p in pairs])}


def _say(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _call(ticket: world.Ticket, name: str, **arguments: Any) -> Message:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"call_{ticket.index}_{name}", "type": "function", "function": function}],
    }


def _triage(ticket: world.Ticket, messages: list[Message], wrong: bool) -> Message:
    intent = world.INTENTS[(world.INTENTS.index(ticket.intent) + wrong) % len(world.INTENTS)]
    return _say(json.dumps({"intent": intent, "urgency": ticket.urgency}))


def _extract(ticket: world.Ticket, messages: list[Message], wrong: bool) -> Message:
    fields = {
        "order_id": ticket.order_id,
        "product": ticket.product,
        "issue_date": ticket.issue_date,
        "email": ticket.email if ticket.gives_email else None,
    }
    return _say(json.dumps(fields))


def _policy(ticket: world.Ticket, messages: list[Message], wrong: bool) -> Message:
    return _say("yes" if ticket.allowed != wrong else "no")


def _case_line(ticket: world.Ticket, messages: list[Message], wrong: bool) -> Message:
    slots = slots_of(text_of(messages[1]))
    intent = "other" if wrong else slots["intent"]
    return _say(
        f"{intent} | {slots['product']} | order {slots['order']} | policy {slots['policy check']} | {slots['action']}"
    )


_NEXT = {
    "solved": "solved, close the case",
    "open": "not solved, look again",
    "call": "call the customer back",
    "complaint": "complaint, tell the manager",
}


def _follow_up(ticket: world.Ticket, messages: list[Message], wrong: bool) -> Message:
    slots, outcomes = slots_of(text_of(messages[1])), list(_NEXT)
    outcome = outcomes[(outcomes.index(ticket.outcome) + wrong) % len(outcomes)]
    return _say(f"{slots['product']}, order {slots['order']}: {_NEXT[outcome]}")


def _action(ticket: world.Ticket, messages: list[Message], wrong: bool) -> Message:
    slots = slots_of(text_of(messages[1]))
    results = [m for m in messages if m.get("role") == "tool"]
    if not results:
        return _call(ticket, "lookup_order", order_id=slots["order"])
    if len(results) > 1:
        return _say(closing(ticket, _tools_called(messages)[-1]))
    found = json.loads(text_of(results[0]))
    intent = slots["intent"]
    if found.get("policy_check") != "yes":
        return _call(ticket, "escalate", queue=world.QUEUES.get(intent, "technical"), reason="policy")
    if intent == "refund_request":
        return _call(ticket, "issue_refund", order_id=found["order_id"], amount=found["amount"])
    if intent == "damaged_item":
        return _call(ticket, "send_replacement", order_id=found["order_id"], sku=found["sku"])
    if intent == "account_access":
        return _call(ticket, "send_reset_link", email=slots["e-mail"])
    if intent == "invoice_copy":
        return _call(ticket, "send_invoice", order_id=found["order_id"])
    reason = "late_parcel" if intent == "late_delivery" else "product_question"
    return _call(ticket, "escalate", queue=world.QUEUES.get(intent, "technical"), reason=reason)


def _tools_called(messages: list[Message]) -> list[str]:
    return [c["function"]["name"] for m in messages for c in m.get("tool_calls") or []]


_DONE = {
    "issue_refund": (
        "we have refunded your {product}; the money is back on your account within three to five days.",
        "the refund for the {product} is on its way and takes three to five days to arrive.",
    ),
    "send_replacement": (
        "a new {product} leaves our warehouse tomorrow, and you can keep the damaged one.",
        "we are sending you another {product} free of charge; it leaves the warehouse tomorrow.",
    ),
    "send_reset_link": (
        "we have just sent you a link for a new password, which is valid for one hour.",
        "please look into your inbox: the link to set a new password works for one hour.",
    ),
    "send_invoice": (
        "the invoice for your {product} is in your inbox as a PDF.",
        "we have sent you the invoice of the {product} once more, as a PDF.",
    ),
    "escalate": (
        "a colleague is looking into the matter of the {product} and answers you within one working day.",
        "we have passed your message about the {product} on, and a colleague answers within one working day.",
    ),
}
_OPENINGS = ("thank you for writing to us", "thank you for your message", "many thanks for getting in touch")
_ENDINGS = (
    "Do write again if anything is unclear.",
    "We wish you a pleasant day.",
    "Please tell us if there is anything else.",
)


def closing(ticket: world.Ticket, action: str) -> str:
    """The closing message to a customer."""
    rng = random.Random(f"reply:{ticket.number}")
    done = rng.choice(_DONE.get(action, _DONE["escalate"])).format(product=ticket.product)
    first = ticket.name.split()[0]
    return f"Dear {first}, {rng.choice(_OPENINGS)}. {done[0].upper()}{done[1:]} {rng.choice(_ENDINGS)}\nYour Lumen House help desk"


def _reply(ticket: world.Ticket, messages: list[Message], wrong: bool) -> Message:
    return _say(closing(ticket, slots_of(text_of(messages[1])).get("action", "escalate")))


_SITES = {
    "triage": _triage,
    "extract": _extract,
    "policy_check": _policy,
    "next_action": _action,
    "case_line": _case_line,
    "follow_up": _follow_up,
    "reply": _reply,
}


def main() -> None:
    """Serve the teacher on loopback until the standard input closes or the process is stopped."""
    import argparse
    import asyncio

    from deputize.testing.scripted_llm import Latency, serve_until_stopped

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-scale", type=float, default=1.0)
    given = parser.parse_args()
    latency = Latency().scaled(given.latency_scale)
    asyncio.run(
        serve_until_stopped(
            script(given.seed, noise=given.noise), model=MODEL, port=given.port, latency=latency
        )
    )


if __name__ == "__main__":
    main()
