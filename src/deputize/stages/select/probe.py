"""Baselines of a task before any training: the majority answer, a linear model, the untuned language model.

Fitted on train, measured on validation; calibration and test are never read.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from deputize.core.contracts import action_of, agree, answer_of, commonest_answer, parse_json_object, text_of
from deputize.core.deadline import Deadline
from deputize.core.group_order import group_numbers
from deputize.core.prompt import calls_text, prune
from deputize.core.records import Answer, Contract, Example, Message, Task
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.linear_model import LinearSettings
from deputize.specialists.pointer_predictor import fit_linear_predictor
from deputize.specialists.torch_runtime import torch_module

T = TypeVar("T")

MAX_PROMPT_TOKENS = 768
MAX_NEW_TOKENS = 72
FIRST_FIT, MOST_GROWTH, FIT_SAFETY = 40, 8, 0.6
"""Examples of the first fit under a deadline, by how much the next may be larger, and the part of the time left that it
is planned for."""
NO_LIMIT = Deadline.after(None)
_CALL = re.compile(r"(\[\s*\{.*\}\s*\]|\{.*\})", re.DOTALL)


class ProbeResult(NamedTuple):
    """Accuracy of a baseline, and the calls it was measured on."""

    accuracy: float
    n: int


def majority(train: Sequence[Answer], validation: Sequence[Answer], contract: Contract) -> ProbeResult | None:
    """Always answering what the LLM answered most often in train."""
    if not train or not validation:
        return None
    answer = commonest_answer(train, contract)
    return ProbeResult(
        float(np.mean([agree(answer, truth, contract) for truth in validation])), len(validation)
    )


class LinearProbe(NamedTuple):
    """The linear method on validation."""

    result: ProbeResult
    settings: LinearSettings | None
    """Those it was fitted with; None where there is nothing to choose, only to copy."""
    is_whole: bool
    """It was fitted on all of train, so that cross-validation would choose the same settings again."""


class Pair(NamedTuple):
    """A pruned prompt and the answer to it."""

    text: str
    answer: Answer
    group: str
    subject: str


LINEAR, LINEAR_MODEL = "linear", "tf-idf + linear classifier"
"""The method that is probed, and what it is made of."""


def linear(
    train: Sequence[Pair],
    validation: Sequence[Pair],
    schema: AnswerSchema,
    contract: Contract,
    *,
    min_origins: int = 1,
    variant: LinearSettings | None = None,
    most: int = 2000,
    deadline: Deadline = NO_LIMIT,
) -> LinearProbe | None:
    """The linear method, fitted on at most `most` of train; None where it does not fit the schema.

    Measured is the whole answer, so what it does not write counts as wrong. As fine-tuning does, it learns nothing that
    fewer than `min_origins` data subjects have. With a deadline it is fitted on FIRST_FIT examples, and then again on
    more, as long as by what that took there is time.
    """
    if not train or not validation:
        return None
    most = min(most, len(train))
    n = min(most, FIRST_FIT) if deadline.is_limited else most
    while True:
        sample, began = _spread(train, n), deadline.clock()
        found = _linear(sample, validation, schema, contract, min_origins=min_origins, variant=variant)
        took_s = max(deadline.clock() - began, 1e-3)
        if found is None or n >= most:
            return found._replace(is_whole=len(sample) == len(train)) if found is not None else None
        # a fit grows somewhat faster than its examples
        room = int(len(sample) * (FIT_SAFETY * deadline.left_s() / took_s) ** 0.8)
        if min(most, room) < 2 * len(sample):
            return found
        n = min(most, room, MOST_GROWTH * len(sample))


def _linear(
    train: Sequence[Pair],
    validation: Sequence[Pair],
    schema: AnswerSchema,
    contract: Contract,
    *,
    min_origins: int,
    variant: LinearSettings | None,
) -> LinearProbe | None:
    texts, answers, groups, names = zip(*train, strict=True)
    predictor = fit_linear_predictor(
        schema, texts, answers, groups=groups, variant=variant, subjects=Subjects(names, min_origins)
    )
    if predictor is None:
        return None
    predictions = predictor.predict([text for text, *_ in validation])
    right = [
        agree(r.answer, truth, contract) for r, (_, truth, *_) in zip(predictions, validation, strict=True)
    ]
    settings = predictor.model.variant if predictor.model is not None else None
    return LinearProbe(ProbeResult(float(np.mean(right)), len(validation)), settings, False)


def closed_field_probe(
    train: Sequence[Pair],
    validation: Sequence[Pair],
    contract: Contract,
    *,
    min_origins: int = 1,
    deadline: Deadline = NO_LIMIT,
) -> ProbeResult | None:
    """The linear model on what is chosen out of a closed set in answers that hold more: the action, the label fields.

    None where nothing is chosen.
    """
    fields = [f for f in contract.fields if f.type == "label"]
    if contract.kind == "tool_call":
        chosen = [
            [pair._replace(answer=action_of(pair.answer)) for pair in split] for split in (train, validation)
        ]
        part = Contract(kind="label", labels=sorted({str(answer) for _, answer, *_ in chosen[0]}))
    elif contract.kind == "json" and fields:
        names = {f.name for f in fields}
        chosen = [
            [pair._replace(answer=_only(pair.answer, names)) for pair in split]
            for split in (train, validation)
        ]
        part = Contract(kind="json", fields=fields, may_defer=contract.may_defer)
    else:
        return None
    schema = schema_of(part, chosen[0], min_origins)
    found = linear(chosen[0], chosen[1], schema, part, min_origins=min_origins, deadline=deadline)
    return found[0] if found is not None else None


def schema_of(contract: Contract, train: Sequence[Pair], min_origins: int) -> AnswerSchema:
    """The schema of the answers of train, as fine-tuning learns it."""
    return learn_schema(
        contract, [answer for _, answer, *_ in train], Subjects([name for *_, name in train], min_origins)
    )


def _only(answer: Answer, names: set[str]) -> Answer:
    return {k: v for k, v in answer.items() if k in names} if isinstance(answer, dict) else answer


def linear_over(
    train: Sequence[Pair],
    validation: Sequence[Pair],
    schema: AnswerSchema,
    contract: Contract,
    variant: LinearSettings | None,
    *,
    min_origins: int = 1,
    n_parts: int = 4,
    most: int = 1200,
    deadline: Deadline = NO_LIMIT,
) -> float:
    """Accuracy of the linear method over train and validation, each part answered by a model of the others.

    A validation split of a dozen calls cannot tell .90 from .99; all calls that may be looked at together can.
    """
    every = _spread([*train, *validation], most)
    number = group_numbers(pair.group for pair in every)
    right = 0.0
    for part in range(n_parts):
        held = [pair for pair in every if number[pair.group] % n_parts == part]
        rest = [pair for pair in every if number[pair.group] % n_parts != part]
        until = deadline.part(1 / (n_parts - part))
        found = linear(rest, held, schema, contract, min_origins=min_origins, variant=variant, deadline=until)
        if found is not None:
            right += found[0].accuracy * found[0].n
    return right / max(1, len(every))


def as_it_is(
    base: LanguageModel,
    task: Task,
    validation: Sequence[Example],
    shots: Sequence[Example],
    *,
    budget_s: float,
    most: int = 16,
    clock: Callable[[], float] = time.monotonic,
) -> ProbeResult | None:
    """The untuned model on the agent's own prompt, or (with shots) on pruned prompts after a few examples.

    Args:
        base: the model.
        task: what is asked.
        validation: examples to measure on; at most `most` are used, fewer where time runs out.
        shots: examples of train shown first; none for the agent's own prompt.
        budget_s: seconds; None is returned where not even one batch fits in.
        most: examples.
        clock: monotonic seconds.
    """
    if not validation or budget_s <= 0:
        return None
    began, right = clock(), list[bool]()
    validation = _spread(validation, most)
    room = max((len(base.ids(said(e.response))) for e in validation), default=8) + 8
    size, rate = 1, base.threads["read"].rate
    if rate is not None:
        # the first prompt cannot be broken off either: on a slow machine one may take longer than all there is
        first = _few_shot(task, shots, validation[0]) if shots else _own_prompt(base, validation[0])
        if min(len(base.ids(first)), MAX_PROMPT_TOKENS) / rate > budget_s:
            return None
    while validation and size:
        batch, validation = validation[:size], validation[size:]
        prompts = [_few_shot(task, shots, e) if shots else _own_prompt(base, e) for e in batch]
        left_s = budget_s - (clock() - began)
        texts = generate(base, prompts, min(room, MAX_NEW_TOKENS), max_time_s=max(left_s, 0.5))
        for example, text in zip(batch, texts, strict=True):
            answer = answer_of(reply_of(text, task.contract), task.contract)
            right.append(agree(answer, answer_of(example.response, task.contract), task.contract))
        # reading a prompt cannot be broken off, so no more are begun than are likely to fit
        spent = clock() - began
        size = min(4, int((budget_s - spent) / (spent / len(right))))
        size = max(size, 0)
    return ProbeResult(float(np.mean(right)), len(right))


def _spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, evenly over all of them."""
    step = max(1, -(-len(items) // most))
    return list(items[::step])


def generate(
    base: LanguageModel,
    prompts: Sequence[str],
    max_new_tokens: int = MAX_NEW_TOKENS,
    *,
    max_time_s: float | None = None,
) -> list[str]:
    """Greedy continuations of prompts that already carry the model's special tokens, without any adapter.

    Decoding stops after `max_time_s` seconds with what there is.
    """
    from contextlib import nullcontext

    from deputize.specialists.classification_head import padded

    torch = torch_module()
    rows = [_cut(base.ids(p), MAX_PROMPT_TOKENS) for p in prompts]
    ids, mask, _ = padded(base, rows)
    bare = base.peft.disable_adapter() if base.peft is not None else nullcontext()
    with torch.inference_mode(), bare, base.threads["read"].work(sum(len(r) for r in rows)):
        out = base.lm.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=base.pad,
            max_time=max_time_s,
            eos_token_id=base.tokenizer.eos_token_id,
        )
    texts = base.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
    return [str(t).strip() for t in texts]


def _cut(ids: list[int], most: int) -> list[int]:
    return ids if len(ids) <= most else ids[: most // 2] + ids[-(most - most // 2) :]


def _own_prompt(base: LanguageModel, example: Example) -> str:
    """The agent's own messages in the model's chat template; tools are named in the system message."""
    messages = [
        {"role": _role(m), "content": "\n".join(t for t in (text_of(m), calls_text(m)) if t)}
        for m in example.request.messages
    ]
    if example.request.tools:
        schemas = json.dumps([t.get("function", t) for t in example.request.tools], ensure_ascii=False)
        tools = f'Tools: {schemas}\nTo call one answer with [{{"name": ..., "arguments": {{...}}}}].'
        messages.insert(0, {"role": "system", "content": tools})
    if base.tokenizer.chat_template:
        return str(base.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return base.frame.before + "\n".join(m["content"] for m in messages) + base.frame.after


def _role(message: Message) -> str:
    role = str(message.get("role"))
    return {"developer": "system", "tool": "user", "function": "user"}.get(role, role)


def _few_shot(task: Task, shots: Sequence[Example], example: Example) -> str:
    """A plain continuation: pruned requests with their replies, then the one to answer."""
    parts = [f"Input: {prune(e.request, task.recipe)}\nOutput: {said(e.response)}" for e in shots]
    return "\n\n".join([*parts, f"Input: {prune(example.request, task.recipe)}\nOutput:"])


def said(message: Message) -> str:
    """A reply on one line, as an example to follow."""
    calls = [c.get("function", {}) for c in message.get("tool_calls") or []]
    if calls:
        return json.dumps([{"name": c.get("name"), "arguments": _object(c.get("arguments"))} for c in calls])
    return " ".join(text_of(message).split())


def _object(arguments: Any) -> Any:
    return (parse_json_object(arguments) or {}) if isinstance(arguments, str) else arguments or {}


def reply_of(text: str, contract: Contract) -> Message:
    """Generated text as an assistant message: the first line of it, or the tool call that is in it."""
    if contract.kind == "tool_call":
        found = _CALL.search(text.split("\n\nInput:")[0])
        try:
            calls = json.loads(found.group(1)) if found else []
        except (ValueError, RecursionError):
            calls = []
        calls = [
            c
            for c in (calls if isinstance(calls, list) else [calls])
            if isinstance(c, dict) and c.get("name")
        ]
        if calls:
            functions = [{"name": str(c["name"]), "arguments": c.get("arguments") or {}} for c in calls]
            return {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"type": "function", "function": f} for f in functions],
            }
        return {"role": "assistant", "content": text}
    if contract.kind == "json":
        found = _CALL.search(text.split("\n\nInput:")[0])
        return {"role": "assistant", "content": found.group(1) if found else text}
    return {"role": "assistant", "content": text.strip().split("\n")[0]}
