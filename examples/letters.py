"""Simulated letters to a mail-order shop, and the simulated LLM that reads them. Only here to have something to ask about."""

from __future__ import annotations

import json
import random
import re
from typing import Any

MODEL = "gpt-4o-mini"
"""The name that the examples ask for; a script answers, no model."""

QUEUES = {
    "refund": ["I want my money back for the", "Please refund what I paid for the", "I am returning the"],
    "delivery": [
        "There is still no sign of the",
        "The courier never came with the",
        "Nobody has delivered the",
    ],
    "invoice": [
        "I need the bill once more for the",
        "Please send a receipt for the",
        "There was no invoice with the",
    ],
    "assembly": [
        "How do I put together the",
        "Two screws are left over from the",
        "Which tool do I need for the",
    ],
}
SYSTEM = f"Sort the customer's letter into a queue. Answer with exactly one word: {', '.join(QUEUES)}."
_PRODUCTS = [
    "oak shelf",
    "desk lamp",
    "garden chair",
    "rug",
    "kettle",
    "bed frame",
    "mirror",
    "wardrobe",
    "stool",
    "clock",
]
_FEELINGS = [
    "I am patient, but not for ever.",
    "Thank you in advance.",
    "This is the second time I write.",
    "No hurry.",
]


def letter(number: int) -> str:
    """The letter of a number, the same every time."""
    rng = random.Random(number)
    queue = rng.choice(list(QUEUES))
    ask = f"{rng.choice(QUEUES[queue])} {rng.choice(_PRODUCTS)}."
    order = f"My order is {rng.choice('ABCDEF')}{rng.choice('KLMNP')}-{rng.randrange(10000, 99999)}."
    return " ".join([ask, order, *rng.sample(_FEELINGS, rng.randrange(1, 3))])


def request(number: int) -> list[Any]:
    """The messages that ask for the queue of a letter."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": letter(number)}]


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """The simulated LLM: a chat completion request in, the assistant's message out."""
    messages = body["messages"]
    text = " ".join(str(m.get("content")) for m in messages if m["role"] == "user")
    if not body.get("tools"):
        queue = next((q for q, asks in QUEUES.items() if any(a in text for a in asks)), "delivery")
        return {"role": "assistant", "content": queue}
    if messages[-1]["role"] == "tool":
        return {"role": "assistant", "content": f"Your order is {messages[-1]['content']}."}
    found = re.search(r"[A-Z]{2}-\d{5}", text)
    function = {
        "name": "lookup_order",
        "arguments": json.dumps({"order_id": found.group() if found else "unknown"}),
    }
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
