"""What a small model does on a task before any tuning: asked as the LLM was, and shown a few examples.

Answers are written inside the task's form, so a wrong format is not what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deputize.core.contracts import agree, text_of
from deputize.core.records import Answer, Contract, Request
from deputize.engines import models
from deputize.engines.local.base import shared_base
from deputize.engines.local.forms import Form
from deputize.engines.local.writer import WriterReader

MAX_PROMPT_TOKENS = 512
"""Longer prompts lose their middle; a probe must stay a probe."""
MAX_SLOT_TOKENS = 48
N_SHOTS = 4


@dataclass(frozen=True)
class Shown:
    """One example of a probe."""

    request: Request
    text: str
    """The pruned prompt."""
    answer: Answer


def zero_shot(name: str, models_dir: Path, form: Form, contract: Contract, dev: Sequence[Shown]) -> float:
    """Accuracy of the base model given the prompt that the LLM was given."""
    return _accuracy(
        name, models_dir, form, contract, [whole(e.request) for e in dev], [e.answer for e in dev]
    )


def few_shot(
    name: str, models_dir: Path, form: Form, contract: Contract, train: Sequence[Shown], dev: Sequence[Shown], *, seed: int
) -> float:  # fmt: skip
    """Accuracy of the base model shown a few pruned prompts with their answers."""
    able = [e for e in train if form.segments(e.answer)]
    picked = np.random.default_rng(seed).permutation(len(able))[:N_SHOTS]
    shots = "\n\n".join(f"{able[i].text}\n{_written(form, able[i].answer)}" for i in picked)
    return _accuracy(
        name, models_dir, form, contract, [f"{shots}\n\n{e.text}" for e in dev], [e.answer for e in dev]
    )


def whole(request: Request) -> str:
    """A request as one text, the way a person would paste it."""
    return "\n\n".join(text for m in request.messages if (text := text_of(m)))


def _written(form: Form, answer: Answer) -> str:
    return "\n".join(text for _, text in form.segments(answer) or [])


def _accuracy(
    name: str,
    models_dir: Path,
    form: Form,
    contract: Contract,
    prompts: Sequence[str],
    answers: Sequence[Answer],
) -> float:
    base = shared_base(models.model_path(name, models_dir))
    plain = base.peft.disable_adapter() if base.peft is not None else nullcontext()
    with plain:
        readings = WriterReader(base, "", form, MAX_PROMPT_TOKENS, MAX_SLOT_TOKENS).read(prompts)
    return float(np.mean([agree(r.answer, a, contract) for r, a in zip(readings, answers, strict=True)]))
