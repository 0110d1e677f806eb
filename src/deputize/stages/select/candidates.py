"""Base models that a task may be given: hard filters, and a ranking by what its answers ask for.

A published benchmark is no measurement of the task. The ranking says whom to try first; probes on the task's own calls
decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from deputize.core.artifacts import Candidate
from deputize.core.config import Convert
from deputize.core.errors import BadInput, MissingExtra
from deputize.core.prompt import prune
from deputize.core.records import Example, Task
from deputize.specialists import catalogue, model_memory
from deputize.specialists.catalogue import Model
from deputize.specialists.licences import refusal_of_licence

COUNTS: dict[str, tuple[str, ...]] = {
    "label": ("classification", "instructions", "knowledge"),
    "json": ("instructions", "reasoning", "tool calls"),
    "tool_call": ("tool calls", "instructions", "reasoning"),
    "text": ("rewriting", "summaries", "instructions"),
}
"""Kind of contract -> types of benchmarks that say something about it, the first counts most."""
_WEIGHTS = (3.0, 2.0, 1.0)
UNPUBLISHED = 10.0
"""Percentage points below what models of its size have that a model is taken to have where it has no figure."""
CHARS_PER_TOKEN = 3.5
"""Of prompts, for a model whose tokenizer is not here; English has about 4, JSON about 3."""
_MOST_OTHERS = 5
AUTO = "auto"
"""In the place of a model: those of the fetched ones that are the most promising."""
MOST_BY_RANK = 3
"""Models that `AUTO` stands for; each further one halves what a race gives to each."""


def filtered(model: Model, memory_gb: float, config: Convert) -> Candidate:
    """A model against role, licences and memory; `note` says why it is out.

    Args:
        model: a row of the catalogue.
        memory_gb: of the machine.
        config: what licences may ask, and the methods, which decide how much memory training takes.
    """
    precision = model_memory.PRECISIONS[-1] if set(config.methods) & {"qlora"} else "bf16"
    need, budget = model_memory.training_gb(model, precision), model_memory.SHARE * memory_gb
    fits, note = need <= budget, ""
    if model.role != "lm":
        note = "not a language model"
    elif why := refusal_of_licence([model.licence, *model.also_licences], config.licence_conditions):
        note = why
    elif not fits:
        note = f"tuning it takes about {need:.1f} GB, and {budget:.1f} GB may be used here"
    return Candidate(model=model.name, fits=fits, licence=model.licence, note=note)


def unfit(model: Model, task: Task, n_prompt_tokens: int, config: Convert) -> str:
    """Why a model that could run here is not for this task; "" where it is."""
    if n_prompt_tokens > model.context:
        return f"it reads {model.context} tokens, and one of twenty prompts of this task has {n_prompt_tokens} or more"
    if (
        task.contract.kind == "tool_call"
        and config.tool_formats
        and model.tool_format not in config.tool_formats
    ):
        has = model.tool_format or "none that is known"
        return f"its form of tool calls ({has}) is not among those that the settings ask for ({', '.join(config.tool_formats)})"
    return ""


def prompt_tokens(task: Task, examples: Sequence[Example]) -> int:
    """Tokens, estimated, that 95 of 100 prompts as a specialist reads them do not exceed; 0 without examples."""
    sample = examples[:: max(1, len(examples) // 200)]
    lengths = [len(prune(example.request, task.recipe)) for example in sample]
    return int(np.percentile(lengths, 95) / CHARS_PER_TOKEN) if lengths else 0


def ranked(models: Sequence[Model], kind: str) -> list[tuple[Model, float, str]]:
    """(model, score, what it rests on) of language models, the most promising for a kind of contract first.

    A score is the weighted mean of the model's figures of the types that count. Where a model has none of a type, it is
    taken to have what models of its size have (a line through figures against the logarithm of the parameters), less
    `UNPUBLISHED` points.
    """
    types = COUNTS.get(kind, COUNTS["text"])
    lines = {name: _by_size(models, name) for name in types}
    found = []
    for model in models:
        own = {name: value for name in types if (value := _figure(model, name)) is not None}
        values = [own.get(name, lines[name](model.params_m) - UNPUBLISHED) for name in types]
        score = float(np.average(values, weights=_WEIGHTS[: len(values)]))
        said = ", ".join(f"{name} {value:.0f}" for name, value in own.items())
        found.append((model, score, said or "no published figure that counts here, so by its size"))
    return sorted(found, key=lambda row: (-row[1], row[0].params_m, row[0].name))


def _figure(model: Model, kind: str) -> float | None:
    values = [v for name, v in model.benchmarks.items() if catalogue.BENCHMARKS.get(name) == kind]
    return mean(values) if values else None


def _by_size(models: Sequence[Model], kind: str) -> Callable[[float], float]:
    """The figure that models of a size (millions of parameters) have, on a straight line through the figures that there
    are."""
    points = [(m.params_m, value) for m in models if (value := _figure(m, kind)) is not None]
    values = [value for _, value in points]
    sizes = np.log([size for size, _ in points]) if points else np.zeros(0)
    slope, level = 0.0, mean(values) if values else 0.0
    if len(set(sizes.tolist())) > 1:
        slope, level = np.polyfit(sizes, values, 1)
    return lambda size: float(np.clip(slope * np.log(size) + level, 0, 100))


def with_fetched(
    config: Convert, kinds: Sequence[str], memory_gb: float, models_dir: Path, also: Sequence[Path] = ()
) -> Convert:
    """The settings with models in the place of `AUTO`: the fetched ones that may and can run here, the most promising
    for the kinds of contracts of the log.

    Args:
        config: of the run.
        kinds: of contracts, one for each call, so that each kind counts as often as it is asked for.
        memory_gb: of the machine.
        models_dir: where fetched models lie.
        also: files with the user's own rows of the catalogue.

    Raises:
        MissingExtra: no fetched model may and can run here.
    """
    if AUTO not in config.models:
        return config
    here = [
        model
        for model in catalogue.catalogue(models_dir, also).values()
        if catalogue.is_fetched(model.name, models_dir) and not filtered(model, memory_gb, config).note
    ]
    if not here:
        raise MissingExtra(
            "No model that may and can be tuned here is fetched. `deputize models list` names them; get one with: "
            "deputize models fetch NAME"
        )
    scores: Counter[str] = Counter()
    for kind, n_calls in Counter(kinds).items():
        scores.update({model.name: n_calls * score for model, score, _ in ranked(here, kind)})
    size = {model.name: model.params_m for model in here}
    best = sorted(size, key=lambda name: (-scores[name], size[name], name))[:MOST_BY_RANK]
    named = [name for name in config.models if name != AUTO]
    return config.model_copy(update={"models": tuple(dict.fromkeys([*named, *best]))})


def usable(
    config: Convert, memory_gb: float, models_dir: Path, also: Sequence[Path] = ()
) -> tuple[list[Candidate], list[Candidate]]:
    """(models asked for, those of them that may and can run here).

    Raises:
        BadInput: a model is unknown, or none of those asked for may and can run here.
        MissingExtra: one of them is not fetched.
    """
    asked = [filtered(catalogue.find(name, models_dir, also), memory_gb, config) for name in config.models]
    able = [c for c in asked if c.fits and not c.note]
    if not able:
        raise BadInput(
            "None of the models asked for can be used: " + "; ".join(f"{c.model}: {c.note}" for c in asked)
        )
    for candidate in able:
        catalogue.model_path(candidate.model, models_dir)
    return asked, able


def others(
    task: Task,
    config: Convert,
    memory_gb: float,
    models_dir: Path,
    n_prompt_tokens: int,
    also: Sequence[Path] = (),
) -> list[Candidate]:
    """Models that were not asked for but may and can do the task here, the most promising first, with what that rests
    on."""
    known = [m for m in catalogue.catalogue(models_dir, also).values() if m.role == "lm"]
    kind = task.contract.kind
    able = [
        (model, said)
        for model, _, said in ranked(known, kind)
        if model.name not in config.models
        and not filtered(model, memory_gb, config).note
        and not unfit(model, task, n_prompt_tokens, config)
    ]
    return [
        Candidate(
            model=model.name,
            fits=True,
            licence=model.licence,
            note=f"not asked for; could run here (number {at} of {len(able)} for answers of kind {kind}: {said})",
        )
        for at, (model, said) in enumerate(able[:_MOST_OTHERS], 1)
    ]
