"""Answers of training calls that other LLMs were asked for again: votes, and the file that keeps what they came to.

One logged answer is one draw of one LLM. Where LLMs are asked again and most of them say something else, training
learns from the majority; where no answer has one, from neither. Only calls of train are asked about and changed: a
certificate is about what the logged LLM says (Wang et al., arXiv 2203.11171, for the vote).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec

from deputize.core.contracts import agree, answer_of
from deputize.core.records import Answer, Contract, Example, Message, Record
from deputize.store.keys.keyring import KeyRing
from deputize.store.sealed import read_sealed, write_sealed

Outcome = Literal["same", "other", "divided"]
"""The majority is for the logged answer, for another one, or there is none."""

DIVIDED = "LLMs do not agree on the answer"
"""Why such a call is not trained on."""

Ask = Callable[[Example, str], Message]
"""(call, model) -> the model's answer, {} for one that is not whole. Raises UpstreamError where there is none."""


class NewAnswer(Record):
    """The outcome of a call that LLMs were asked about again."""

    call_id: str
    digest: str
    """Of the request and the logged answer, as both were de-identified then: the outcome is about these."""
    outcome: Outcome
    models: list[str]
    """That were asked, in their order."""
    message: Message | None = None
    """The answer of the majority, where it is not the logged one."""


class NewAnswers(Record):
    """All new answers of a home."""

    answers: list[NewAnswer]


def read_new_answers(home: Path, keyring: KeyRing) -> dict[str, NewAnswer]:
    """New answers by call. Raises Tampered or StoreError where they cannot be read."""
    path = _path(home)
    found = read_sealed(path, NewAnswers, keyring).answers if path.exists() else []
    return {one.call_id: one for one in found}


def write_new_answers(home: Path, keyring: KeyRing, answers: Mapping[str, NewAnswer]) -> None:
    """Replaces the new answers of a home."""
    write_sealed(_path(home), NewAnswers(answers=[answers[id] for id in sorted(answers)]), keyring)


def forget_new_answers(home: Path, keyring: KeyRing, gone: Callable[[Sequence[str]], set[str]]) -> None:
    """Takes out the answers to calls that can no longer be read.

    Args:
        gone: the calls among some that cannot be read any more.
    """
    known = read_new_answers(home, keyring)
    lost = gone(sorted(known)) if known else set()
    if lost:
        write_new_answers(home, keyring, {id: one for id, one in known.items() if id not in lost})


def digest_of(example: Example) -> str:
    """A digest of what an outcome is about: the request and the logged answer."""
    shown = (example.request, example.response)
    return blake2b(msgspec.json.encode(shown, order="sorted"), digest_size=16).hexdigest()


def vote(
    example: Example, contract: Contract, models: Sequence[str], ask: Ask, *, n_votes: int = 3
) -> NewAnswer:
    """Asks until an answer has more than half of all votes, or no answer can have them any more.

    Args:
        example: the call; its logged answer is the first vote.
        contract: of its task: under it answers are the same. An answer that breaks it is a vote for none.
        models: asked in turn, from the first again after the last.
        ask: asks one.
        n_votes: of all answers, the logged one included.

    Raises:
        UpstreamError: a model did not answer.
    """
    needed = n_votes // 2 + 1
    said = [example.response]
    votes: list[tuple[Answer, list[Message]]] = []
    _count(votes, example.response, contract)
    asked: list[str] = []
    while len(said) < n_votes:
        most = max((len(m) for _, m in votes), default=0)
        if most >= needed or most + n_votes - len(said) < needed:
            break
        model = models[len(asked) % len(models)]
        asked.append(model)
        message = ask(example, model)
        said.append(message)
        _count(votes, message, contract)
    winner = next((messages for _, messages in votes if len(messages) >= needed), None)
    outcome: Outcome = "divided" if winner is None else "same" if winner[0] is example.response else "other"
    return NewAnswer(
        call_id=example.call_id,
        digest=digest_of(example),
        outcome=outcome,
        models=asked,
        message=winner[0] if winner is not None and outcome == "other" else None,
    )


def _count(votes: list[tuple[Answer, list[Message]]], message: Message, contract: Contract) -> None:
    answer = answer_of(message, contract) if message else None
    if answer is None:
        return
    for known, messages in votes:
        if agree(known, answer, contract):
            messages.append(message)
            return
    votes.append((answer, [message]))


def with_new_answer(example: Example, known: Mapping[str, NewAnswer]) -> Example:
    """A call of train with what LLMs said to it when they were asked again; every other call as it is."""
    new = known.get(example.call_id)
    if new is None or example.split != "train" or not example.trainable or digest_of(example) != new.digest:
        return example
    if new.outcome == "divided":
        return msgspec.structs.replace(example, trainable=False, drop_reason=DIVIDED)
    if new.message is None:
        return example
    # the logged log-probabilities are those of the answer that is no longer trained on
    return msgspec.structs.replace(
        example, response=new.message, logprobs=[], answered_by=", ".join(dict.fromkeys(new.models))
    )


def outcomes(answers: Iterable[NewAnswer]) -> dict[Outcome, int]:
    """Number of calls by outcome."""
    counts = Counter(one.outcome for one in answers)
    return {"same": counts["same"], "other": counts["other"], "divided": counts["divided"]}


def _path(home: Path) -> Path:
    return home / "new-answers.sealed"
