"""The tools method on a SIMULATED log of orders: what it makes certifiable, and what it never makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_model
from tests.simulated_orders import CONTRACT, call_of, order, price_list

from deputize.core.artifacts import Curated, Discovered, Selected, Specialist
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Call, Contract, Example, Field, PromptRecipe, Request, Split, Task
from deputize.core.subjects import Subjects
from deputize.home import Home
from deputize.pipeline.certificate_check import check_certificate
from deputize.pipeline.conversion import convert
from deputize.routes_file import read_routes
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.predictor import load
from deputize.stages.finetune.examples import TrainingExample, TrainingSet
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.tools import TOOLS, tools_for
from deputize.stages.finetune.run import run as finetune

N_CALLS = 420
SAID = "code: looked up in prices.csv (name to code); total: a * b"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model.installed(folder / "models", folder)
    return folder / "models"


def converted(path: Path, models: Path, calls: Sequence[Call], methods: tuple[str, ...]) -> dict[str, Any]:
    """The report's row of the one task of a log."""
    path.mkdir()
    (path / "prices.csv").write_text(price_list())
    with pytest.MonkeyPatch.context() as patch, Home(path) as home:
        patch.setenv("DEPUTIZE_MODELS", str(models))
        home.store.append(calls)
        settings = Convert(
            models=(tiny_model.NAME,), methods=methods, epsilon=0.1, lookup_tables=("prices.csv",)
        )
        report = convert(home, settings)
    (task,) = report["tasks"]
    return task  # type: ignore[no-any-return]


def example(n: int, split: Split) -> Example:
    call = call_of(n)
    request = Request(messages=call.messages, site=call.site)
    return Example(
        call_id=call.id,
        request=request,
        response=call.response,
        audience="code",
        site=call.site,
        episode=call.episode,
        group=call.episode,
        split=split,
    )


def _job(tmp_path: Path, subject_of: Callable[[int], str]) -> TrainingJob:
    """Tickets that name one of twelve towns, which the LLM answered with its code; `subject_of(n)` wrote the n-th."""
    contract = Contract(kind="json", fields=[Field(name="code", type="value")])
    answers = [{"code": f"D-{n % 12 * 7 + 11}"} for n in range(120)]
    train = [
        TrainingExample(
            str(n), f"ticket {n * 37}\ncity: Town{n % 12}berg\nsend", answer, 1.0, f"g{n}", subject_of(n)
        )
        for n, answer in enumerate(answers)
    ]
    task = Task(id="t", name="t", contract=contract, recipe=PromptRecipe(), keys=["k"], n_calls=120)
    schema = learn_schema(contract, answers, Subjects([x.subject for x in train], 1))
    return TrainingJob(TrainingSet(task, train, [], []), schema, TOOLS, tmp_path, 1, 1, "")


@pytest.mark.parametrize(
    ("n_people", "min_origins", "learned"), [(1, 1, False), (2, 1, True), (2, 3, False), (3, 3, True)]
)
def test_what_one_person_had_is_looked_up_for_nobody(
    tmp_path: Path, n_people: int, min_origins: int, learned: bool
) -> None:
    """Each call is a group of its own: pairs are counted by data subject, as the cache's are."""
    job = _job(tmp_path, lambda n: f"town {n % 12}, person {n // 12 % n_people}")
    config = Convert(min_origins=min_origins)
    context = TrainingContext(config, tmp_path, tmp_path, "", silent, time.monotonic)
    assert bool(tools_for(job, context)) is learned


def test_it_is_trained_packaged_and_loaded_and_not_trained_twice(tmp_path: Path) -> None:
    examples = [example(n, "train") for n in range(90)] + [example(n, "validation") for n in range(90, 120)]
    task = Task(
        id="price", name="price a line", contract=CONTRACT, recipe=PromptRecipe(), keys=["k"], n_calls=120
    )
    curated = Curated(examples=examples, sites=[], n_calls=120, n_episodes=120, n_code_calls=120)
    found = Discovered(tasks=[task], keyspaces=[], assignment={e.call_id: "price" for e in examples})
    selected = Selected(candidates={}, plan={"price": ["linear", "tools"]}, base_model="")
    (tmp_path / "prices.csv").write_text(price_list())

    def trained() -> Specialist:
        made = finetune(
            curated,
            found,
            selected,
            Convert(explore=True, lookup_tables=("prices.csv",)),
            home=tmp_path,
            out_dir=tmp_path / "specialists",
            models_dir=tmp_path,
            deadline=Deadline.after(300),
            progress=silent,
        )
        (one,) = [s for s in made.specialists if s.method == "tools"]
        return one

    first = trained()
    assert first.model.endswith(SAID) and first.is_fast and first.leak is not None and not first.leak.leaks
    specialist = load(tmp_path / first.path, tmp_path)
    fresh = [order(n) for n in range(900, 930)]
    requests = [Request(messages=[{"role": "user", "content": text}]) for text, _ in fresh]
    answers = [one.answer for one in specialist.predict(requests)]
    assert sum(a == want for a, (_, want) in zip(answers, fresh, strict=True)) >= 28
    assert trained() == first


@pytest.mark.slow
def test_only_with_a_calculator_and_a_table_does_the_task_get_a_route(tmp_path: Path, models: Path) -> None:
    calls = [call_of(n) for n in range(N_CALLS)]
    assert converted(tmp_path / "without", models, calls, ("linear",))["certificate"] is None
    task = converted(tmp_path / "with", models, calls, ("linear", "tools"))

    assert task["certificate"] is not None and task["specialist"]["model"].endswith(SAID)
    (route,) = read_routes(tmp_path / "with" / "routes.json").routes
    with Home(tmp_path / "with") as home:
        assert check_certificate(home, route).is_equal, "it is computed again from what was stored"
    specialist = load(tmp_path / "with" / route.specialist, models)
    assert specialist.specialist.settings["training"]["tools"] == SAID
    for n in range(5000, 5040):
        text, answer = order(n)
        system = calls[0].messages[0]
        (found,) = specialist.predict([Request(messages=[system, {"role": "user", "content": text}])])
        assert found.confidence < route.threshold or found.answer == answer


@pytest.mark.slow
def test_arithmetic_that_is_wrong_on_later_calls_is_never_certified(tmp_path: Path, models: Path) -> None:
    """The log of train and validation is arithmetic; of the calls that certify, the LLM adds a fee that no text tells."""
    calls = [call_of(n, fee=0 if n < 0.45 * N_CALLS else 1) for n in range(N_CALLS)]
    task = converted(tmp_path / "home", models, calls, ("linear", "tools"))
    assert task["certificate"] is None
    assert read_routes(tmp_path / "home" / "routes.json").routes == []
