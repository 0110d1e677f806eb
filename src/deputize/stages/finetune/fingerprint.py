"""A digest of all that a specialist depends on: equal means that there is nothing to train again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from deputize.core.artifacts import Specialist
from deputize.core.config import Convert
from deputize.core.errors import DeputizeError
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.fit_value_tools import LookupTable
from deputize.specialists.specialist_card import read_card, write_card
from deputize.stages.finetune.examples import TrainingSet
from deputize.stages.finetune.methods.base import TrainingJob

RECIPE_VERSION = 14
"""Raised when training changes, so that specialists of older code are not taken for finished."""


def fingerprint(
    examples: TrainingSet,
    schema: AnswerSchema,
    method: str,
    epochs: int,
    config: Convert,
    base_sha256: str,
    linear_settings: tuple[int, float, bool] | None = None,
    tables: Sequence[LookupTable] = (),
) -> str:
    """SHA-256, in hex, of the task, its examples, the method, the base model and the settings that matter."""
    parts: list[Any] = [RECIPE_VERSION, method, config.seed, base_sha256, epochs, config.min_origins]
    parts += ["learning rate searched for"] if config.search_learning_rate else []
    nameless = msgspec.structs.replace(examples.task, name="")  # a new name changes nothing that is trained
    parts += [linear_settings] if method.partition(":")[0] in ("linear", "tools") else []
    parts += [tables] if "tools" in method.split(":") else []
    parts += [msgspec.json.encode(nameless).decode(), msgspec.json.encode(schema).decode()]
    repeats = [examples.repeats] if method == "cache" else []
    for split in (examples.train, examples.validation, *repeats):
        parts += [[x.call_id, x.text, x.answer, x.weight, x.subject, x.soft, x.rejected] for x in split]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def finished(job: TrainingJob) -> Specialist | None:
    """The specialist of an earlier start of this run, where it is whole and was trained on the same."""
    try:
        card = read_card(job.folder)
    except DeputizeError:
        return None
    same = card.settings.get("training", {}).get("fingerprint") == job.fingerprint
    if not same or not all((job.folder / name).is_file() for name in card.checksums):
        return None
    if card.task != job.task:  # renamed since
        card = msgspec.structs.replace(card, task=job.task)
        write_card(job.folder, card)
    return msgspec.structs.replace(card, trained_on=job.trained_on)
