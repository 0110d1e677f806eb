"""A SIMULATED agent whose tools differ from call to call, and the simulated LLM behind it: which tool is called
follows from the words of the request."""

from __future__ import annotations

import json
import random
from typing import Any

from deputize.core.records import Call, Contract, Example, PromptRecipe, Split

THINGS = [
    "flight",
    "hotel",
    "parcel",
    "invoice",
    "table",
    "taxi",
    "ticket",
    "recipe",
    "song",
    "movie",
    "stock",
    "weather",
    "calendar",
    "contact",
    "alarm",
    "photo",
    "lamp",
    "oven",
    "garden",
    "loan",
    "passport",
    "visa",
    "doctor",
    "bicycle",
    "museum",
    "concert",
    "printer",
    "router",
    "camera",
    "library",
]
VERBS = ("find", "cancel", "book")
TOOLS = [(verb, thing) for thing in THINGS for verb in VERBS]
PEOPLE = ("Anna", "Bela", "Chidi", "Dora", "Emre", "Fatima", "Goran", "Hanne")
SYSTEM = "You act for a customer. Use the tools you are given."
CONTRACT = Contract(kind="tool_call", may_defer=True, from_request=True)
RECIPE = PromptRecipe(with_list=True)


def tool(verb: str, thing: str, note: str = "") -> dict[str, Any]:
    """A tool as requests list it."""
    schema = {
        "type": "object",
        "properties": {
            "person": {"type": "string", "description": f"The name of the person the {thing} is for."},
            "number": {"type": "integer", "description": f"How many of the {thing}."},
            "urgent": {"type": "boolean", "description": "True where it is urgent."},
        },
        "required": ["person", "number"],
    }
    return {
        "type": "function",
        "function": {
            "name": f"{verb}_{thing}",
            "description": f"Use this to {verb} a {thing} for a person.{note}",
            "parameters": schema,
        },
    }


def call_of(i: int, known: list[tuple[str, str]], *, seed: int = 0, system: str = SYSTEM) -> Call:
    """One call: a list of three to five known tools, and a request that one of them does, or in one call of six none
    of them."""
    rng = random.Random(f"{seed}-{i}")
    listed = rng.sample(known, min(rng.randint(3, 5), len(known)))
    wanted = rng.choice([t for t in known if t not in listed]) if i % 6 == 0 else rng.choice(listed)
    person, number = rng.choice(PEOPLE), rng.randint(2, 99)
    text = f"Please {wanted[0]} a {wanted[1]} for {person}, {number} of them."
    response: dict[str, Any] = {"role": "assistant", "content": "Sorry, I have no tool for this."}
    if wanted in listed:
        arguments = {"person": person, "number": number}
        function = {"name": f"{wanted[0]}_{wanted[1]}", "arguments": json.dumps(arguments)}
        calls = [{"id": f"call_{i}", "type": "function", "function": function}]
        response = {"role": "assistant", "content": None, "tool_calls": calls}
    return Call(
        id=f"c{i:05d}",
        messages=[{"role": "system", "content": system}, {"role": "user", "content": text}],
        tools=[tool(*one) for one in listed],
        response=response,
        episode=f"e{i}",
        agent="clerk",
        audience="code",
        origin=f"o{i}",
        model="gpt-4o",
        timestamp=1.7e9 + i,
    )


def example_of(call: Call, split: Split = "train") -> Example:
    """The call as curation would make an example of it."""
    return Example(
        call_id=call.id,
        request=call.request(),
        response=call.response,
        audience="code",
        site="clerk",
        episode=call.episode,
        group=call.episode,
        origin=call.origin,
        split=split,
    )


def schema_call(i: int) -> Call:
    """A call whose reply schema differs from call to call: two or three fields out of eight, each named in the text."""
    rng = random.Random(f"schema-{i}")
    names = rng.sample(
        ["age", "weight", "height", "price", "floor", "rooms", "year", "seats"], rng.randint(2, 3)
    )
    values = {name: rng.randint(2, 99) for name in names}
    text = ", ".join(f"{name} {value}" for name, value in values.items())
    schema = {
        "type": "object",
        "properties": {name: {"type": "integer", "description": f"The {name}."} for name in names},
        "required": names,
        "additionalProperties": False,
        "title": f"form {i % 60}",
    }
    return Call(
        id=f"s{i:05d}",
        messages=[{"role": "user", "content": f"{rng.choice(PEOPLE)} wrote down {text}."}],
        response_format={"type": "json_schema", "json_schema": {"name": "form", "schema": schema}},
        response={"role": "assistant", "content": json.dumps(values)},
        episode=f"e{i}",
        agent="forms",
        audience="code",
        origin=f"o{i}",
        model="gpt-4o",
        timestamp=1.7e9 + i,
    )
