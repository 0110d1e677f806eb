"""Tasks of a log with trained specialists and their recorded answers, so that the evaluation can be run over and over.

The log goes through the real stages up to training. Each specialist is then asked every call of its task once, as the
evaluation would ask it; what it says is kept, and given out again whenever the evaluation asks.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected, Specialist
from deputize.core.config import Convert
from deputize.core.records import Call, Example, Prediction, Request, Task
from deputize.core.task_results import TaskResult
from deputize.home import Home
from deputize.pipeline.conversion import convert
from deputize.pipeline.curation import LearnableCalls
from deputize.pipeline.run import Run, newest_state
from deputize.pipeline.run_edits import edit_tasks
from deputize.scoring.costs import load_prices
from deputize.specialists.model_cache import MODELS
from deputize.specialists.predictor import load
from deputize.stages.cluster.task_edits import Edit, set_field
from deputize.stages.evaluate.evaluation import Evaluation, compare
from deputize.stages.evaluate.population import Population, PopulationCall, asked_request, read_population
from deputize.stages.evaluate.run import run as evaluate

MOST_CALIBRATION, MOST_TEST = 600, 400
"""Groups of a draw at most: fewer make a harder test of the claim, and a shorter one."""
AGAIN = "~"
"""Between a call's id and the number of its copy; no id of a log holds it."""


class RecordedAnswers:
    """A predictor that answers as a specialist has answered before; anything else it was never asked."""

    def __init__(self, answers: Mapping[bytes, Prediction]) -> None:
        self._answers = answers

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        """The recorded predictions. Raises KeyError for a request that the specialist was never asked."""
        return [self._answers[msgspec.msgpack.encode(request)] for request in requests]


class CopiedCalls:
    """The raw calls of a log, also under the ids of their copies."""

    def __init__(self, calls: Mapping[str, Call]) -> None:
        self._calls = calls

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        """The calls with these ids or copies of them."""
        return (self._calls.get(id.split(AGAIN, 1)[0]) for id in call_ids)


@dataclass(frozen=True)
class RecordedTask:
    """One task of a log, one trained specialist, and its answers to all measured calls."""

    task: Task
    specialist: Specialist
    curated: Curated
    discovered: Discovered
    population: Population
    calls: CopiedCalls
    answers: RecordedAnswers
    validation: list[PopulationCall]
    groups: list[list[PopulationCall]]
    """Calls of calibration and held-out, by group: nothing was trained or chosen on them."""
    n_calibration: int
    """Groups of calibration in the real split."""
    truth: Evaluation
    """The specialist's answers to the calls of `groups`."""
    finetuned: Finetuned
    """The specialist alone, with what it says of train by cross-fitting on a small log."""

    @property
    def n_calls(self) -> int:
        return len(self.truth)

    def loss(self, threshold: float) -> float:
        """Share of all the calls that are served at a threshold and differ from the LLM's answer."""
        return float(((self.truth.confidence_N >= threshold) & ~self.truth.right_N).mean())

    def served_loss(self, threshold: float) -> float:
        """Share of the served calls that differ from the LLM's answer; 0 where none is served."""
        served_N = self.truth.confidence_N >= threshold
        return float((~self.truth.right_N[served_N]).mean()) if served_N.any() else 0.0

    def drawn(self, rng: np.random.Generator) -> list[PopulationCall]:
        """Calibration and held-out calls: groups drawn with replacement, so that `groups` are the population itself."""
        n_calibration = min(self.n_calibration, MOST_CALIBRATION)
        n_test = min(len(self.groups) - self.n_calibration, MOST_TEST)
        out = []
        for at, which in enumerate(rng.integers(len(self.groups), size=n_calibration + n_test)):
            split = "calibration" if at < n_calibration else "test"
            for call in self.groups[which]:
                out.append(
                    msgspec.structs.replace(
                        call,
                        call_id=f"{call.call_id}{AGAIN}{at}",
                        group=f"{call.group}{AGAIN}{at}",
                        episode=f"{call.episode}{AGAIN}{at}",
                        split=split,
                    )
                )
        return out

    def evaluated(self, config: Convert, seed: int) -> TaskResult:
        """The real evaluation over one draw of calibration and held-out calls."""
        drawn = self.drawn(np.random.default_rng(seed))
        population = Population(
            {self.task.id: [*self.validation, *drawn]},
            self.calls,
            limits_of={self.task.id: self.population.limits_of(self.task.id)},
        )
        (result,) = evaluate(
            self.curated,
            msgspec.structs.replace(self.discovered, tasks=[self.task]),
            Selected(candidates={}, plan={}, base_model=""),
            self.finetuned,
            population,
            config.model_copy(update={"seed": seed}),
            home=Path(),
            load=lambda _: self.answers,
        )
        return result


@dataclass(frozen=True)
class Preparation:
    """What a log's user would tell the product, where its calls do not say so."""

    audience: str = ""
    """Declared for every call: "code" for replies that a program reads though they look like free text."""
    without: tuple[str, ...] = ()
    """Fields of a call that are left out."""
    free_field: str = ""
    """A field of the replies that only a person reads (`deputize tasks field TASK NAME free`)."""
    methods: tuple[str, ...] = ()
    """Whose specialists are measured, all of one conversion; empty: the cheapest one's of each task."""
    most: int = 0
    """Calls that are kept, drawn at random with a fixed seed; 0: all."""
    model: str = ""
    """The model whose calls are kept; "": all."""
    parsed: str = ""
    """A field of a row that holds what the agent's code read out of the reply; it replaces the reply, and calls
    without it are left out."""

    def write(self, log: Path, out: Path) -> Path:
        """The log with the declarations, as a file that `deputize import` reads."""
        with gzip.open(log, "rt", encoding="utf-8") as file:
            lines = file.readlines()
        if self.most:
            lines = [lines[i] for i in sorted(random.Random(1).sample(range(len(lines)), self.most))]
        with out.open("w", encoding="utf-8") as file:
            for line in lines:
                row = {k: v for k, v in json.loads(line).items() if k not in self.without}
                if self.model not in ("", row["model"]) or (self.parsed and row.get(self.parsed) is None):
                    continue
                if self.parsed:
                    row["response"] = {"role": "assistant", "content": str(row[self.parsed])}
                if self.audience:
                    row["audience"] = self.audience
                file.write(json.dumps(row) + "\n")
        return out

    def edit(self, home: Home) -> None:
        """Makes the edits to the tasks of the newest run."""
        if not self.free_field:
            return
        state = newest_state(home)
        assert state is not None
        for task in Run(home, state).load("cluster", Discovered).tasks:
            if self.free_field in {field.name for field in task.contract.fields}:
                edit_tasks(home, partial(_set_free, task_id=task.id, name=self.free_field))


def _set_free(
    discovered: Discovered, curated: Curated, *, task_id: str, name: str
) -> tuple[Discovered, Edit]:
    after, edit, _ = set_field(discovered, curated.examples, task_id, name, "free")
    return after, edit


AS_IT_IS = Preparation()


def recorded_tasks(
    log: Path, config: Convert, preparation: Preparation = AS_IT_IS, least_groups: int = 120
) -> list[RecordedTask]:
    """The tasks of a log that have enough independent groups, once for each specialist that is measured.

    Args:
        log: a gzip file of calls that `deputize import` reads.
        config: settings of the conversion.
        preparation: declarations beyond the log.
        least_groups: groups of calibration and held-out calls that a task needs to be listed.
    """
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder) / "home") as home:
        prepared = preparation.write(log, Path(folder) / "log.jsonl")
        convert(home, config, paths=[prepared], stop_after="cluster")
        preparation.edit(home)
        convert(home, config, stop_after="finetune")
        state = newest_state(home)
        assert state is not None
        run = Run(home, state)
        curated, discovered = run.load_curated(), run.load("cluster", Discovered)
        finetuned = run.load("finetune", Finetuned)
        raw = LearnableCalls(run)
        population = read_population(
            raw, curated, discovered, load_prices(), unread_reserve=finetuned.unread_reserve
        )
        calls = CopiedCalls({call.id: call for call in raw})
        # what the evaluation needs of curated examples are their groups, not their texts
        light = msgspec.structs.replace(curated, examples=[_without_text(e) for e in curated.examples])
        out = []
        for task in discovered.tasks:
            mine = [s for s in finetuned.specialists if s.task_id == task.id]
            if preparation.methods:
                mine = [s for s in mine if s.method in preparation.methods]
            for specialist in mine if preparation.methods else mine[:1]:
                print(f"asking {specialist.id} every call", flush=True)
                alone = msgspec.structs.replace(
                    finetuned, specialists=[msgspec.structs.replace(specialist, leak=None)]
                )
                made = _recorded(task, alone, home, light, discovered, population, calls)
                if len(made.groups) >= least_groups:
                    out.append(made)
        MODELS.clear()
    return out


def _recorded(
    task: Task,
    finetuned: Finetuned,
    home: Home,
    curated: Curated,
    discovered: Discovered,
    population: Population,
    calls: CopiedCalls,
) -> RecordedTask:
    (specialist,) = finetuned.specialists
    measured = list(population.of(task.id))
    recorded = list(population.texts(measured))
    asked = [
        asked_request(one.call) if call.is_asked and one is not None else None
        for call, one in zip(measured, recorded, strict=True)
    ]
    requests = [request for request in asked if request is not None]
    predictor = load(home.path / specialist.path, home.models_path)
    said = [p for at in range(0, len(requests), 64) for p in predictor.predict(requests[at : at + 64])]
    given = iter(said)
    predictions = [None if request is None else next(given) for request in asked]
    unseen = [at for at, call in enumerate(measured) if call.split in ("calibration", "test")]
    groups: dict[str, list[PopulationCall]] = {}
    for at in unseen:
        groups.setdefault(measured[at].group, []).append(measured[at])
    return RecordedTask(
        task=task,
        specialist=specialist,
        curated=curated,
        discovered=discovered,
        population=population,
        calls=calls,
        answers=RecordedAnswers(
            {msgspec.msgpack.encode(request): p for request, p in zip(requests, said, strict=True)}
        ),
        validation=[call for call in measured if call.split == "validation"],
        groups=list(groups.values()),
        n_calibration=len({c.group for c in measured if c.split == "calibration"}),
        truth=compare(
            [predictions[at] for at in unseen],
            [measured[at] for at in unseen],
            [recorded[at] for at in unseen],
            task.contract,
        ),
        finetuned=finetuned,
    )


def _without_text(example: Example) -> Example:
    return msgspec.structs.replace(example, request=Request(messages=[]), response={})
