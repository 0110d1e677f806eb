"""Specialists of the tiny model with random adapters and heads, on disk: enough for tests of what is done with weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests import tiny_tasks

from deputize.core.artifacts import Specialist
from deputize.core.contracts import answer_of
from deputize.core.prompt import prune
from deputize.core.records import Request
from deputize.specialists.catalogue import model_path, sha256_of
from deputize.specialists.classification_head import HeadPredictor
from deputize.specialists.closed_answers import closed
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.linear_model import LINEAR_FILE, fit_linear
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.specialist_card import PredictorSettings, read_card, settings_of, write_card
from deputize.specialists.tuned_model import ADAPTER_FOLDER, base_digest


def make(tiny: tuple[Path, str], folder: Path, kind: str, task: str = "closed") -> StoredSpecialist:
    """A specialist of kind decoder, head or linear for one of the tiny tasks."""
    models_dir, name = tiny
    folder.mkdir(parents=True, exist_ok=True)
    examples = [tiny_tasks.example(task, n, "train") for n in range(40)]
    contract = tiny_tasks.CONTRACTS[task]
    answers = [answer_of(e.response, contract) for e in examples]
    schema = learn_schema(contract, [a for a in answers if a is not None])
    if kind == "linear":
        questions = closed(schema)
        assert questions is not None
        recipe = tiny_tasks.task(task).recipe
        fit_linear([prune(e.request, recipe) for e in examples], answers, questions).save(
            folder / LINEAR_FILE
        )
    else:
        _tuned(model_path(name, models_dir), folder, schema, kind)
    card = Specialist(
        id=f"{task}-{kind}",
        task_id=task,
        method="linear" if kind == "linear" else "lora",
        model=name,
        kind=kind,
        contract=contract,
        task=tiny_tasks.task(task),
        n_train=40,
        train_s=1.0,
        base_sha256="" if kind == "linear" else base_digest(name, models_dir),
        checksums={str(p.relative_to(folder)): sha256_of(p) for p in folder.rglob("*") if p.is_file()},
        settings=msgspec.to_builtins(PredictorSettings(schema=schema, max_tokens=200, max_slot_tokens=24)),
    )
    write_card(folder, card)
    return StoredSpecialist(folder, card, settings_of(card), models_dir)


def _tuned(path: Path, folder: Path, schema: Any, kind: str) -> None:
    import torch

    base = LanguageModel(path, "cpu", "fp32")
    rng = torch.Generator().manual_seed(1)
    base.new_adapter("x", {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "up_proj"]})
    for _, weights in base.adapter_parameters("x"):
        weights.data.normal_(std=0.2, generator=rng)
    base.save_adapter("x", folder / ADAPTER_FOLDER)
    if kind == "head":
        answers = closed(schema)
        assert answers is not None
        heads = [
            (torch.randn(len(q.choices), base.width, generator=rng), torch.zeros(len(q.choices)))
            for q in answers.questions
        ]
        HeadPredictor(base, "x", heads, answers, 200).save(folder)


def requests(n: int = 12, task: str = "closed") -> list[Request]:
    """Requests that it was not made from."""
    return [tiny_tasks.example(task, 100 + i, "test").request for i in range(n)]


def texts(n: int = 12, task: str = "closed") -> Sequence[str]:
    """The same, pruned."""
    return [prune(request, tiny_tasks.task(task).recipe) for request in requests(n, task)]


def settings_at(folder: Path) -> StoredSpecialist:
    """What was made in a folder."""
    card = read_card(folder)
    return StoredSpecialist(folder, card, settings_of(card), folder)
