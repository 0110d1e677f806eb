"""S4: which models could take a task, what they and the baselines already do, and which rungs are worth training.

Filters by licence and by this machine's memory first, then probes on dev. Calibration and test are never read.

References:
    Belcak et al., "Small Language Models are the Future of Agentic AI", arXiv 2506.02153, section 6, S4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deputize.core.artifacts import Candidate, Curated, Discovered, Selected
from deputize.core.config import Convert
from deputize.core.contracts import LEAVE, answer_of
from deputize.core.errors import MissingExtra
from deputize.core.progress import Progress
from deputize.core.records import Example, Task
from deputize.core.templates import prune
from deputize.engines import models
from deputize.engines.local.forms import Form, closed, learn_form
from deputize.stages.select import baselines, probe

LICENCES = frozenset({"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0"})
"""Licences that allow commercial use without asking; a model named with --model is used whatever its licence."""
MEMORY_SHARE = 0.6
"""Of the machine's memory, what weights may take; tuning needs the rest."""
N_PROBE = 16
"""Dev examples a language model is probed on."""
MIN_TRAIN = 20
"""Examples to learn from below which training is not tried."""
PROBE_SHARE = 0.15
"""Of the run's minutes, what probing language models may take."""


def run(
    curated: Curated, discovered: Discovered, config: Convert, *, models_dir: Path, progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> Selected:  # fmt: skip
    """Candidates per task, best probe first, and the rungs to train in order of cost.

    Raises:
        BadInput: a model that is not in the catalogue.
        MissingExtra: none of the run's models has been fetched.
    """
    base_models = [models.find(name, models_dir).name for name in config.models]
    fetched = [name for name in base_models if models.is_fetched(name, models_dir)]
    if not fetched:
        raise MissingExtra(
            f"The weights of {base_models[0]} are not here. Get them with: deputize models fetch {base_models[0]}"
        )
    catalogue = [_considered(m, config, models_dir) for m in models.catalogue(models_dir).values()]
    until = clock() + PROBE_SHARE * config.minutes * 60
    candidates: dict[str, list[Candidate]] = {}
    plan: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    sides = _sides(curated, discovered)
    tasks = sorted(discovered.tasks, key=lambda t: -t.n_calls)
    for at, task in enumerate(tasks):
        progress(f"probing {task.name}", at, len(tasks))
        train, dev = sides.get(task.id, ([], []))
        why = _too_little(task, train, dev, config)
        if why:
            candidates[task.id], plan[task.id], refused[task.id] = catalogue, [], why
            continue
        form = learn_form(task.contract, [e.answer for e in train])
        rows = _baselines(task, train, dev, config)
        for name in fetched:
            if clock() < until:
                rows += _probe(name, task, form, train, dev, config, models_dir)
        probed = {r.model for r in rows}
        rows += [c for c in catalogue if c.model not in probed]
        candidates[task.id] = sorted(
            rows, key=lambda c: (c.probe_accuracy is None, -(c.probe_accuracy or 0.0))
        )
        plan[task.id] = [*(["linear"] if closed(form, partly=True) is not None else []), "lora"]
    progress("probing", len(tasks), len(tasks))
    return Selected(candidates=candidates, plan=plan, base_model=_best(fetched, candidates), refused=refused)


def _considered(model: models.Model, config: Convert, models_dir: Path) -> Candidate:
    """A catalogue entry as a candidate: whether its licence and its size fit here."""
    named = model.name in config.models
    need_gb, have_gb = model.memory_gb("bf16"), memory_gb()
    notes = []
    if model.licence not in LICENCES and not named:
        notes.append(f"licence {model.licence}: not on the list of free ones")
    if need_gb > MEMORY_SHARE * have_gb:
        notes.append(f"needs {need_gb:.1f} GB in bf16, {MEMORY_SHARE * have_gb:.1f} GB are free for it")
    fits = not notes
    if fits and not models.is_fetched(model.name, models_dir):
        notes.append("not fetched")
    return Candidate(model=model.name, fits=fits, licence=model.licence, note="; ".join(notes))


def memory_gb() -> float:
    """Memory that weights can lie in: the GPU's where there is one, else the machine's. In GB."""
    try:
        import torch

        if torch.cuda.is_available():
            return float(torch.cuda.get_device_properties(0).total_memory) / 1e9
    except ImportError:
        pass
    import psutil

    return float(psutil.virtual_memory().total) / 1e9


def _sides(
    curated: Curated, discovered: Discovered
) -> dict[str, tuple[list[probe.Shown], list[probe.Shown]]]:
    """(train, dev) of every task, as far as the answers keep the contract and may be learnt from."""
    tasks = {task.id: task for task in discovered.tasks}
    out: dict[str, tuple[list[probe.Shown], list[probe.Shown]]] = {id: ([], []) for id in tasks}
    for example in curated.examples:
        task = tasks.get(discovered.assignment.get(example.call_id, ""))
        if task is None or not (example.split == "dev" or (example.split == "train" and example.trainable)):
            continue
        shown = _shown(example, task)
        if shown is not None:
            out[task.id][example.split == "dev"].append(shown)
    return out


def _shown(example: Example, task: Task) -> probe.Shown | None:
    answer = answer_of(example.response, task.contract)
    return (
        None if answer is None else probe.Shown(example.request, prune(example.request, task.recipe), answer)
    )


def _too_little(task: Task, train: Sequence[probe.Shown], dev: Sequence[probe.Shown], config: Convert) -> str:
    """Why a task is not worth training, '' where it is."""
    if task.n_calls < config.min_calls:
        return f"{task.n_calls} calls; {config.min_calls} are the least to try with (setting min_calls)"
    if len(train) < MIN_TRAIN or not dev:
        return (
            f"{len(train)} examples to learn from and {len(dev)} to choose by, after filters; "
            f"{MIN_TRAIN} and 1 are the least"
        )
    if all(e.answer == LEAVE for e in train):
        return "the LLM spoke to a person in every example; there is nothing for code to take"
    return ""


def _baselines(
    task: Task, train: Sequence[probe.Shown], dev: Sequence[probe.Shown], config: Convert
) -> list[Candidate]:
    """Majority, and TF-IDF + logistic regression where the answer is a label, an action or a few fixed fields."""
    said = [baselines.decision_of(e.answer, task.contract) for e in train]
    true = [baselines.decision_of(e.answer, task.contract) for e in dev]
    note = "the tool's name only, without arguments" if task.contract.kind == "tool_call" else ""
    rows = [
        Candidate(
            model="majority answer", method="majority", probe_accuracy=baselines.majority(said, true), n_probe=len(dev),
            licence="-", note=note,
        )
    ]  # fmt: skip
    closed_set = task.contract.kind in ("label", "tool_call") or (
        task.contract.kind == "json"
        and all(f.type == "label" for f in task.contract.fields if f.type != "free")
    )
    if closed_set:
        accuracy = baselines.linear(
            [e.text for e in train], said, [e.text for e in dev], true, seed=config.seed
        )
        rows.append(
            Candidate(
                model="TF-IDF + logistic regression", method="linear", probe_accuracy=accuracy, n_probe=len(dev),
                licence="bsd-3-clause", note=note,
            )
        )  # fmt: skip
    return rows


def _probe(
    name: str, task: Task, form: Form, train: Sequence[probe.Shown], dev: Sequence[probe.Shown], config: Convert,
    models_dir: Path,
) -> list[Candidate]:  # fmt: skip
    """The base model as it is, zero-shot and few-shot."""
    picked = np.random.default_rng(config.seed).permutation(len(dev))[:N_PROBE]
    some = [dev[i] for i in picked]
    licence = models.find(name, models_dir).licence
    zero = probe.zero_shot(name, models_dir, form, task.contract, some)
    few = probe.few_shot(name, models_dir, form, task.contract, train, some, seed=config.seed)
    return [
        Candidate(
            model=name, probe_accuracy=zero, n_probe=len(some), licence=licence, note="base, zero-shot"
        ),
        Candidate(
            model=name,
            probe_accuracy=few,
            n_probe=len(some),
            licence=licence,
            note=f"base, {probe.N_SHOTS} examples shown",
        ),
    ]


def _best(fetched: Sequence[str], candidates: dict[str, list[Candidate]]) -> str:
    """The fetched model that probes best over all tasks; the first named where none was probed."""
    score = dict.fromkeys(fetched, 0.0)
    for rows in candidates.values():
        for name in fetched:
            score[name] += max((r.probe_accuracy or 0.0 for r in rows if r.model == name), default=0.0)
    return max(fetched, key=lambda name: score[name])
