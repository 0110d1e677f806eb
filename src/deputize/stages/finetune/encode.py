"""Training examples as tokens with weights: which positions are scored, against which choices, with which weight.

A slot of forty copied tokens must not drown the one token that decides: the action is scored by itself, at full weight
whatever follows it, and what follows shares as much again, each slot's loss divided by the root of its length. Tokens
that can only be one thing are never scored, for they are never sampled either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from deputize.specialists.answer_row import Trie
from deputize.specialists.answer_schema import AnswerSchema, Slot
from deputize.specialists.closed_answers import ClosedAnswers
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.prompt_tokenizer import slot_ids
from deputize.stages.finetune.examples import TrainingExample

MAX_TOKENS = 448
"""Longest prompt in tokens in training and prediction; longer ones lose their middle."""
ROLE_WEIGHT = {"decision": 1.0, "value": 1.0, "free": 0.3}


class ScoredToken(NamedTuple):
    """One token of an answer that the loss sees."""

    at: int
    """Its index among the row's tokens; it is predicted from the one before."""
    token: int
    weight: float
    """Of the row's loss: 1 for the action, 1 for all that is written after it."""
    allowed: list[int] | None
    """The choices of a decision; None: the whole vocabulary."""
    counts: bool
    """True where a wrong token makes the answer wrong (free text does not count)."""


@dataclass(frozen=True)
class EncodedExample:
    """One training example, ready for the model."""

    ids: list[int]
    n_prompt: int
    weight: float
    scored: list[ScoredToken]
    targets: list[int]
    """For heads: the choice of each question, -1 where it is not asked."""
    soft: list[float] | None = None
    """For a head: the LLM's probability of each choice of the only question; None: not logged."""
    rejected: EncodedExample | None = None
    """The same prompt with an answer that turned out worse."""

    def __len__(self) -> int:
        return len(self.ids)


def encode_for_decoder(
    base: LanguageModel, examples: Sequence[TrainingExample], schema: AnswerSchema, max_tokens: int
) -> list[EncodedExample | None]:
    """Rows for a decoder; None where the schema cannot express the answer."""
    prompts = base.prompt_ids([example.text for example in examples], max_tokens)
    tries: dict[str, Trie] = {}
    out: list[EncodedExample | None] = []
    for example, prompt in zip(examples, prompts, strict=True):
        segments = schema.segments(example.answer)
        if segments is None:
            out.append(None)
            continue
        written = [(slot, slot_ids(base, text)) for slot, text in segments]
        out.append(written_example(base, prompt, written, schema, example.weight, tries))
    return [_with_rejected(base, x, row, schema, max_tokens) for x, row in zip(examples, out, strict=True)]


def written_example(
    base: LanguageModel,
    prompt: Sequence[int],
    written: Sequence[tuple[Slot, list[int]]],
    schema: AnswerSchema,
    weight: float,
    tries: dict[str, Trie],
) -> EncodedExample:
    """The row of a prompt and the slots of an answer in tokens, in the order of writing.

    Args:
        base: the model.
        prompt: token ids.
        written: slots with their tokens, the break at the end included; the last one may lack it.
        schema: of the answers.
        weight: of the example.
        tries: filled with the ways to write the choices of each decision.
    """
    ids, action, rest = list(prompt), list[ScoredToken](), list[ScoredToken]()
    for slot, tokens in written:
        found = _scored(slot, tokens, len(ids), _trie(base, slot, tries))
        if slot is schema.action_field:
            # were it weighed with its arguments, an action with many would count for less than one without: DEFER
            action += [s._replace(weight=1.0) for s in found]
        else:
            rest += found
        ids += tokens
    total = sum(s.weight for s in rest)
    scored = [*action, *(s._replace(weight=s.weight / total) for s in rest)]
    # the last break is scored but never read from
    return EncodedExample(ids, len(prompt), weight, scored, [])


def _with_rejected(
    base: LanguageModel,
    example: TrainingExample,
    row: EncodedExample | None,
    schema: AnswerSchema,
    max_tokens: int,
) -> EncodedExample | None:
    if row is None or example.rejected is None:
        return row
    worse = replace(example, answer=example.rejected, rejected=None)
    return replace(row, rejected=encode_for_decoder(base, [worse], schema, max_tokens)[0])


def encode_for_head(
    base: LanguageModel, examples: Sequence[TrainingExample], answers: ClosedAnswers, max_tokens: int
) -> list[EncodedExample | None]:
    """Rows for heads; None where the answer is none of the choices."""
    prompts = base.prompt_ids([example.text for example in examples], max_tokens)
    out: list[EncodedExample | None] = []
    for example, prompt in zip(examples, prompts, strict=True):
        targets = answers.indices(example.answer)
        soft = _soft(example, answers)
        out.append(
            None
            if targets is None
            else EncodedExample(prompt, len(prompt), example.weight, [], targets, soft=soft)
        )
    return out


def _soft(example: TrainingExample, answers: ClosedAnswers) -> list[float] | None:
    """The LLM's probabilities over the choices, where there is one question, about labels."""
    if example.soft is None or len(answers.questions) != 1:
        return None
    question = answers.questions[0]
    shares = {question.write(label): share for label, share in example.soft.items()}
    found = [shares.get(choice, 0.0) for choice in question.choices]
    total = sum(found)
    return [share / total for share in found] if total > 0 else None


def _scored(slot: Slot, tokens: Sequence[int], start: int, trie: Trie | None) -> list[ScoredToken]:
    found: list[tuple[int, int, list[int] | None]] = []
    at = trie
    for i, token in enumerate(tokens):
        if at is None:
            found.append((i, token, None))
        else:
            if len(at) > 1:
                found.append((i, token, sorted(at)))
            at = at[token]
    # free text is not compared: all of it together counts for less than one decision
    weight = ROLE_WEIGHT[slot.role] / max(1, len(found)) ** (1.0 if slot.role == "free" else 0.5)
    return [
        ScoredToken(start + i, token, weight, allowed, slot.role != "free") for i, token, allowed in found
    ]


def _trie(base: LanguageModel, slot: Slot, tries: dict[str, Trie]) -> Trie | None:
    if slot.role != "decision":
        return None
    key = "\n".join(slot.choices)
    if key not in tries:
        root: Trie = {}
        for text in slot.choices:
            at = root
            for token in slot_ids(base, text):
                at = at.setdefault(token, {})
        tries[key] = root
    return tries[key]
