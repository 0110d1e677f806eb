"""Five small tasks, one per kind of contract, for tests of selection, fine-tuning and the local engine."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Contract, Example, Field, Message, PromptRecipe, Request, Split, Task
from deputize.runner.base import Runner
from deputize.stages.finetune.run import run as finetune

TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": properties}},
    }
    for name, properties in (
        ("refund", {"order": {"type": "string"}, "amount": {"type": "number"}}),
        ("escalate", {"queue": {"type": "string"}, "reason": {"type": "string"}}),
        ("list_orders", {}),
    )
]
CONTRACTS = {
    "label": Contract(kind="label", labels=["yes", "no"]),
    "closed": Contract(
        kind="json",
        fields=[
            Field(name="intent", type="label", labels=["refund", "delivery", "login"]),
            Field(name="urgent", type="label", labels=[False, True]),
            Field(name="source", type="label", labels=["mail"]),
        ],
    ),
    "values": Contract(
        kind="json",
        fields=[
            Field(name="note", type="free"),
            Field(name="order", type="value"),
            Field(name="email", type="value"),
            Field(name="intent", type="label", labels=["refund", "delivery", "login"]),
        ],
    ),
    "action": Contract(kind="tool_call", tools=["refund", "escalate", "list_orders"], may_defer=True),
    "line": Contract(kind="text"),
}
_WORDS = {"refund": "money back please", "delivery": "where is my parcel", "login": "cannot log in"}


def example(kind: str, index: int, split: Split) -> Example:
    """One call of a task; the same for the same index."""
    rng = random.Random(f"{kind}:{index}")
    intent = rng.choice(list(_WORDS))
    order, urgent = f"LH-{rng.randrange(10_000, 99_999)}", rng.random() < 0.5
    email = f"user{rng.randrange(99)}@example.org" if rng.random() < 0.8 else None
    text = f"{_WORDS[intent]} for {order}{', urgent' if urgent else ''}\nmail: {email or 'none'}"
    response: Message = {"role": "assistant", "content": None}
    tools = None
    if kind == "label":
        response["content"] = "yes" if urgent else "no"
    elif kind == "closed":
        response["content"] = json.dumps({"intent": intent, "urgent": urgent, "source": "mail"})
    elif kind == "values":
        response["content"] = json.dumps(
            {"note": f"about {intent}", "order": order, "email": email, "intent": intent}
        )
    elif kind == "line":
        response["content"] = f"{intent} | {order}"
    else:
        tools = TOOLS
        calls: dict[str, tuple[str, dict[str, Any]]] = {
            "refund": ("refund", {"order": order, "amount": 12.5 + index}),
            "delivery": ("escalate", {"queue": "shipping", "reason": "late" if urgent else "policy"}),
            "login": ("list_orders", {}),
        }
        if rng.random() < 0.2:
            response["content"] = "We have looked into it."
        else:
            name, arguments = calls[intent]
            function = {"name": name, "arguments": json.dumps(arguments)}
            response["tool_calls"] = [{"id": f"c{index}", "type": "function", "function": function}]
    messages = [{"role": "system", "content": "You are a help desk."}, {"role": "user", "content": text}]
    return Example(
        call_id=f"{kind}-{index}",
        request=Request(messages=messages, tools=tools, site=kind),
        response=response,
        audience="code" if response.get("tool_calls") or kind != "action" else "human",
        site=kind,
        episode=f"e{index}",
        group=f"e{index}",
        split=split,
    )


def task(kind: str, n_calls: int = 80) -> Task:
    """A task of one kind."""
    recipe = PromptRecipe(constant_lines=["You are a help desk."])
    return Task(
        id=kind,
        name=f"the {kind} task",
        contract=CONTRACTS[kind],
        recipe=recipe,
        keys=[kind],
        n_calls=n_calls,
    )


def make(kinds: tuple[str, ...] = tuple(CONTRACTS), n: int = 80) -> tuple[Curated, Discovered]:
    """Examples of tasks with their split: six tenths train, two tenths validation, the rest calibration and test."""
    shares: dict[Split, int] = {"train": 6, "validation": 2, "calibration": 1, "test": 1}
    sides = [side for side, n in shares.items() for _ in range(n)]
    examples = [example(kind, i, sides[i % 10]) for kind in kinds for i in range(n)]
    curated = Curated(
        examples=examples, sites=[], n_calls=len(examples), n_episodes=n, n_code_calls=len(examples)
    )
    tasks = [task(kind, n) for kind in kinds]
    return curated, Discovered(tasks=tasks, keyspaces=[], assignment={e.call_id: e.site for e in examples})


def train(
    home: Path,
    models_dir: Path,
    model: str,
    kinds: tuple[str, ...],
    methods: tuple[str, ...] = ("lora",),
    *,
    n: int = 80,
    minutes: float = 5.0,
    seed: int = 0,
    explore: bool = True,
    runner: Runner | None = None,
) -> Finetuned:
    """Fine-tuning on tiny tasks, all methods of each; specialists lie in home/specialists."""
    curated, discovered = make(kinds, n)
    selected = Selected(candidates={}, plan={k: list(methods) for k in kinds}, base_model=model)
    return finetune(
        curated,
        discovered,
        selected,
        Convert(seed=seed, explore=explore),
        home=home,
        out_dir=home / "specialists",
        models_dir=models_dir,
        deadline=Deadline.after(minutes * 60),
        progress=silent,
        runner=runner,
    )
