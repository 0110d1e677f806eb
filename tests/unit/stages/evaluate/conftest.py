"""A simulated agent log: requests with a known right answer, and predictors of known accuracy and honest confidence."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deputize.core.artifacts import Candidate, Curated, Discovered, Finetuned, Selected, Specialist
from deputize.core.config import Convert
from deputize.core.contracts import DEFER, agree, answer_of, commonest_answer
from deputize.core.records import (
    Call,
    Contract,
    Example,
    KeySpace,
    Message,
    Prediction,
    PromptRecipe,
    Request,
    Split,
    Task,
    Usage,
)
from deputize.core.sites import Site
from deputize.core.task_results import TaskResult
from deputize.scoring.costs import llm_spend, load_prices
from deputize.stages.evaluate.delta_budget import DeltaBudget
from deputize.stages.evaluate.population import Population, PopulationCall
from deputize.stages.evaluate.run import run
from deputize.stages.evaluate.task_calls import TaskCalls

LABELS = ["refund", "cancel", "other"]
LABEL = Contract(kind="label", labels=LABELS)
ACTION = Contract(kind="tool_call", tools=["find", "book"], may_defer=True)
SHARES: dict[Split, float] = {"train": 0.4, "validation": 0.1, "calibration": 0.3, "test": 0.2}


def unit(*parts: object) -> float:
    """A number in [0, 1) that depends on its arguments only."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass(frozen=True)
class Simulated:
    """A predictor that knows the truth, spoils it at a known rate, and is honest about how likely it is wrong.

    Each request has a difficulty d in [0, 1]; the answer is wrong with probability min(1, hardness * d ** 3), and the
    confidence is one minus that.
    """

    truth: dict[str, object]
    contract: Contract
    hardness: float
    name: str = "simulated"
    asked: list[str] = field(default_factory=list)

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        out = []
        for request in requests:
            text = str(request.messages[-1]["content"])
            self.asked.append(text)
            p_wrong = min(1.0, self.hardness * unit("difficulty", text) ** 3)
            truth = self.truth[text]
            answer = self.other(truth, text) if unit(self.name, text) < p_wrong else truth
            out.append(Prediction(answer=answer, confidence=max(1e-6, 1 - p_wrong), latency_ms=1.0))
        return out

    def other(self, truth: object, text: str) -> object:
        if self.contract.kind == "label":
            return next(x for x in LABELS if x != truth)
        if truth == DEFER:
            return [{"name": "find", "arguments": {"q": text}}]
        return DEFER if unit("leave", text) < 0.5 else [{"name": "book", "arguments": {}}]


class Clock:
    """Seconds that pass only when something takes them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """A simulated specialist that takes its time: so many seconds a call, as a function of how many were asked before."""

    def __init__(self, inner: Simulated, clock: Clock, seconds: Callable[[int, str], float]) -> None:
        self.inner, self.clock, self.seconds = inner, clock, seconds
        self.longest = 0.0

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        began = self.clock.now
        for at, request in enumerate(requests):
            self.clock.now += self.seconds(len(self.inner.asked) + at, str(request.messages[-1]["content"]))
        self.longest = max(self.longest, self.clock.now - began)
        return self.inner.predict(requests)


def reply(truth: object) -> Message:
    if isinstance(truth, list):
        call = truth[0]
        function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        }
    return {"role": "assistant", "content": "Of course, let me ask you this." if truth == DEFER else truth}


class Recorded:
    """The raw calls behind examples, as a store would give them."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = {call.id: call for call in calls}

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls.values())

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        return (self.calls.get(id) for id in call_ids)


def recorded(example: Example) -> Call:
    """The call behind an example that holds nothing personal."""
    request = example.request
    return Call(
        id=example.call_id,
        messages=request.messages,
        tools=request.tools,
        response_format=request.response_format,
        tool_choice=request.tool_choice,
        response=example.response,
        episode=example.episode,
        group=example.group,
        model=example.model,
        usage=example.usage,
    )


def population_of(curated: Curated, discovered: Discovered, others: Sequence[Call] = ()) -> Population:
    """The population of examples whose requests the gateway would send where they were filed."""
    tasks = {task.id: task for task in discovered.tasks}
    calls_of: dict[str, list[PopulationCall]] = {}
    commonest: dict[str, object] = {}
    prices = load_prices()
    for id, task in tasks.items():
        mine = [e for e in curated.examples if discovered.assignment.get(e.call_id) == id]
        commonest[id] = commonest_answer(
            (
                a
                for e in mine
                if e.split == "train" and (a := answer_of(e.response, task.contract)) is not None
            ),
            task.contract,
        )
        calls_of[id] = [
            PopulationCall(
                call_id=e.call_id,
                episode=e.episode,
                group=e.group,
                audience="human" if e.audience == "human" else "code",
                split=e.split,
                is_asked=True,
                llm_usd=llm_spend(e, prices).usd,
                is_commonest=agree(commonest[id], answer_of(e.response, task.contract), task.contract),
                repeated=tuple(e.repeated),
            )
            for e in mine
            if e.split != "train"
        ]
    return Population(calls_of, Recorded([*map(recorded, curated.examples), *others]))


@dataclass
class World:
    """One task's log and specialists, ready for evaluation."""

    curated: Curated
    discovered: Discovered
    selected: Selected
    finetuned: Finetuned
    predictors: dict[str, Simulated]
    home: Path

    @property
    def population(self) -> Population:
        if self.known_population is not None:
            return self.known_population
        return population_of(self.curated, self.discovered, self.repeats)

    def calls(self, seed: int = 0) -> TaskCalls:
        """The calls of the first task."""
        sizes = Counter(e.group for e in self.curated.examples if e.split in ("train", "validation"))
        return TaskCalls(self.discovered.tasks[0], self.population, seed, max(sizes.values()))

    repeats: list[Call] = field(default_factory=list)
    """The LLM's other answers."""
    known_population: Population | None = None
    """For worlds that are run many times and stay as they are; None: it is made for each run."""

    def load(self, folder: Path) -> Simulated:
        return self.predictors[str(folder.relative_to(self.home))]

    def run(self, config: Convert | None = None, **given: object) -> list[TaskResult]:
        given.setdefault("budget", DeltaBudget(clock=lambda: 1e9))
        return run(
            self.curated,
            self.discovered,
            self.selected,
            self.finetuned,
            self.population,
            config or Convert(epsilon=0.02),
            home=self.home,
            load=self.load,
            **given,  # type: ignore[arg-type]
        )


def split_of(group: str) -> Split:
    at, u = 0.0, unit("split", group)
    for name, size in SHARES.items():
        at += size
        if u < at:
            return name
    return "test"


def make_world(
    home: Path,
    *,
    n_calls: int = 3000,
    per_group: int = 1,
    contract: Contract = LABEL,
    methods: dict[str, float] | None = None,
    repeats_differ: float = 0.0,
    people: float = 0.0,
) -> World:
    """`methods` maps a method to its hardness; `repeats_differ` is the rate at which the LLM's second answer differs
    (0: none)."""
    methods = {"linear": 0.6, "lora": 0.3} if methods is None else methods
    truth: dict[str, object] = {}
    examples = []
    repeats: list[Call] = []
    for i in range(n_calls):
        text, group = f"call {i}", f"g{i // per_group}"
        human = unit("human", i) < people
        if contract.kind == "label":
            truth[text] = LABELS[0] if unit("label", i) < 0.6 else LABELS[1 + i % 2]
        else:
            truth[text] = DEFER if human else [{"name": "find", "arguments": {"q": text}}]
        second = (
            reply(truth[text])
            if unit("repeated sample", i) >= repeats_differ
            else {"role": "assistant", "content": "something else"}
        )
        examples.append(
            Example(
                call_id=f"c{i}",
                request=Request(messages=[{"role": "user", "content": text}]),
                response=reply(truth[text]),
                audience="human" if human else "code",
                site="s",
                episode=f"e{i // per_group}",
                group=group,
                split=split_of(group),
                usage=Usage(prompt_tokens=500, completion_tokens=20),
                model="gpt-4o",
                latency_ms=800.0,
                repeated=[f"again{i}"] if repeats_differ else [],
            )
        )
        if repeats_differ:
            repeats.append(
                Call(id=f"again{i}", messages=[{"role": "user", "content": text}], response=second)
            )
    task = Task(
        id="t1",
        name="Route the request",
        contract=contract,
        recipe=PromptRecipe(),
        keys=["sig/1"],
        site="s",
        n_calls=n_calls,
        n_episodes=n_calls // per_group,
        n_origins=9,
        template="Route this: ⟨text⟩",
    )
    specialists = [
        Specialist(
            id=f"t1-{method}",
            task_id="t1",
            method=method,
            model="SmolLM2-135M-Instruct" if method == "lora" else "tf-idf",
            kind="head",
            cost={"linear": 10, "lora": 20}.get(method, 30),
            contract=contract,
            task=task,
            n_train=1000,
            train_s=60.0,
            prompt_tokens_before=500.0,
            prompt_tokens_after=40.0,
            path=f"runs/r/specialists/t1-{method}",
        )
        for method in methods
    ]
    site = Site(
        id="s",
        name="router",
        agent="desk",
        n_calls=n_calls,
        n_human=0,
        n_code=n_calls,
        audience="code",
        evidence="All replies come from 3 labels.",
    )
    return World(
        curated=Curated(
            examples=examples,
            sites=[site],
            n_calls=n_calls,
            n_episodes=n_calls // per_group,
            n_code_calls=sum(e.audience == "code" for e in examples),
            dropped={"duplicate": 3},
            entities={"EMAIL": 12},
        ),
        discovered=Discovered(
            tasks=[task],
            keyspaces=[KeySpace(signature="sig")],
            assignment={e.call_id: "t1" for e in examples},
        ),
        selected=Selected(
            candidates={
                "t1": [
                    Candidate(
                        model="SmolLM2-135M-Instruct", probe_accuracy=0.31, n_probe=40, licence="apache-2.0"
                    )
                ]
            },
            plan={"t1": list(methods)},
            base_model="SmolLM2-135M-Instruct",
        ),
        finetuned=Finetuned(specialists=specialists),
        predictors={s.path: Simulated(truth, contract, methods[s.method]) for s in specialists},
        home=home,
        repeats=repeats,
    )


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    def make(**given: object) -> World:
        return make_world(tmp_path, **given)  # type: ignore[arg-type]

    return make
