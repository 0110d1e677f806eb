"""One suite over every training method: what is trained is what is loaded, the same for the same seed, within its time."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests import a_users_method, teacher_servers, tiny_model, tiny_tasks
from tests.contracts.conftest import Install

from deputize.core.artifacts import Curated, MethodPlan, TaskProbe
from deputize.core.config import Convert, TeacherSettings
from deputize.core.errors import BadInput, MissingExtra, UsageError
from deputize.core.progress import silent
from deputize.core.records import Outcome, Task
from deputize.locations import models_path
from deputize.specialists import catalogue, model_download
from deputize.specialists.base import RawPrediction
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.predictor import load, unload
from deputize.stages.finetune.company import with_company
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import Method, Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.registry import OURS, find_method, find_methods
from deputize.stages.finetune.package import package
from deputize.stages.finetune.run import jobs_of
from deputize.testing import check_method

SLM = "SmolLM2-135M-Instruct"
TUNING = (
    *("lora", "lora_from_head", "token_distillation", "multitask", "rslora", "minifinetuning"),
    *("dora", "dpo", "qlora", "full"),
)
Tiny = tuple[Path, str]
HAS_BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None
POINTS = {
    "deputize.methods": {"majority": "tests.a_users_method:METHOD"},
    "deputize.specialists": {"majority": "tests.a_users_method:load_majority"},
}


@pytest.fixture(scope="module")
def with_encoder(tiny: Tiny, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny model, with a tiny encoder under the name that is looked for."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny[0], models, dirs_exist_ok=True)
    model_download.add(Convert().encoder, tiny_base, models)
    return models, tiny[1]


def with_what_methods_ask_for(curated: Curated) -> Curated:
    """Every reply with its log-probabilities, and every prompt of train once more with an answer that ended badly."""
    good = [
        replace(e, outcome=Outcome(success=True), logprobs=[[(str(e.response["content"]), -0.1)]])
        for e in curated.examples
    ]
    bad = [
        replace(
            e,
            call_id=f"{e.call_id}-bad",
            outcome=Outcome(success=False),
            trainable=False,
            response={**e.response, "content": "no" if e.response["content"] == "yes" else "yes"},
        )
        for e in good
        if e.split == "train"
    ]
    return replace(curated, examples=[*good, *bad])


def check(
    method: Method, tiny: Tiny, folder: Path, kind: str = "label", teacher: TeacherSettings | None = None
) -> None:
    curated, discovered = tiny_tasks.make((kind,), 40)
    if method.name in ("dpo", "token_distillation"):
        curated = with_what_methods_ask_for(curated)
        assignment = {e.call_id: e.site for e in curated.examples}
        discovered = replace(discovered, assignment=assignment)
    check_method(method, curated, discovered, folder, models_dir=tiny[0], base_model=tiny[1], teacher=teacher)


OF_SOME_TASKS = ("cache", "tools", "listed", "listed_lora", "multitask", "on_policy_distillation")
"""For requests that come again, values to compute or look up, requests that list their own tools, several tasks, and
with a server: their own tests check them on such."""
OF_ANY_TASK = [
    m.name for m in OURS if m.name not in OF_SOME_TASKS and (m.name != "qlora" or HAS_BITSANDBYTES)
]


@pytest.mark.parametrize("name", OF_ANY_TASK)
def test_ours_keep_the_contract(name: str, tiny: Tiny, with_encoder: Tiny, tmp_path: Path) -> None:
    check(find_method(name), with_encoder if name in ("encoder", "frozen_base") else tiny, tmp_path)


@pytest.mark.parametrize("name", ["lora", "full"])
def test_ours_keep_it_where_answers_are_written(name: str, tiny: Tiny, tmp_path: Path) -> None:
    check(find_method(name), tiny, tmp_path, "line")


def tuned_by(name: str, folder: Path) -> tuple[float, list[str]]:
    """The real small model tuned by a method for a task of two answers: share of validation that the loaded specialist
    gives right, and its answers."""
    # with others beside it, for what trains several tasks together
    curated, discovered = tiny_tasks.make(("label", "closed") if name == "multitask" else ("label",), 60)
    if name in ("dpo", "token_distillation"):
        curated = with_what_methods_ask_for(curated)
        discovered = replace(discovered, assignment={e.call_id: e.site for e in curated.examples})
    sets = [training_set_of(curated, discovered.assignment, task) for task in discovered.tasks]
    context = TrainingContext(Convert(), folder, models_path(), SLM, silent, time.monotonic)
    job, *_ = with_company([job for one in sets for job in jobs_of(one, [name], context, folder)])
    trained = job.method.train(job, context, 900.0)
    assert trained is not None, "the method fits the task"
    try:
        card = package(trained, job, context)
    finally:
        trained.release()
    loaded = load(folder / card.path, models_path())
    try:
        held = sets[0].validation_examples
        said = [str(one.answer) for one in loaded.predict([e.request for e in held])]
    finally:
        unload(loaded)
    right = [one == e.response["content"] for one, e in zip(said, held, strict=True)]
    return sum(right) / len(right), said


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [m for m in TUNING if m in OF_ANY_TASK or m == "multitask"])
def test_the_real_model_learns_by_each_method(name: str, tmp_path: Path) -> None:
    if not catalogue.is_fetched(SLM, models_path()):
        pytest.skip(f"{SLM} is not fetched: deputize models fetch {SLM}")
    share, said = tuned_by(name, tmp_path)
    # of twelve calls, half of them "yes"; one method was seen to give ten right, others all
    assert share >= 0.75 and set(said) == {"yes", "no"}


def test_on_policy_distillation_keeps_it_with_a_real_server(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LanguageModel(tiny_model.make(tmp_path / "teacher", seed=1), "cpu", "fp32")
    check(
        find_method("on_policy_distillation"),
        tiny,
        tmp_path / "home",
        teacher=teacher_servers.serve(model, tmp_path, monkeypatch),
    )


@pytest.mark.usefixtures("without_bitsandbytes")
def test_qlora_says_what_it_needs_where_it_cannot_run() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'deputize\[qlora\]'"):
        find_method("qlora").require()


def test_a_users_method_is_reached_by_its_name_and_keeps_the_contract(
    tiny: Tiny, tmp_path: Path, install: Install
) -> None:
    with pytest.raises(
        UsageError,
        match=r"'majority'. Known: auto, cache, linear, tools, listed, frozen, encoder, frozen_base, lora, .*, full\.",
    ):
        find_method("majority")
    install(POINTS)
    assert find_method("majority") is a_users_method.METHOD
    check(find_method("majority"), tiny, tmp_path / "home")


def test_methods_come_from_cheap_to_expensive_each_once(install: Install) -> None:
    install(POINTS)
    names = [m.name for m in find_methods(["full", "linear", "full", "majority", "lora"])]
    assert names == ["majority", "linear", "lora", "full"]


def test_an_entry_point_that_is_no_method_is_bad_input(install: Install) -> None:
    install(
        {"deputize.methods": {"nothing": "tests.a_users_method:json", "gone": "tests.a_users_method:gone"}}
    )
    for name in ("nothing", "gone"):
        with pytest.raises(BadInput, match=name):
            find_method(name)


def test_a_method_that_calls_itself_something_else_is_bad_input(install: Install) -> None:
    """Plans, artifacts and reports would name a method that cannot be found again."""
    install({"deputize.methods": {"modal": "tests.a_users_method:METHOD"}})
    with pytest.raises(BadInput, match=r"The training method modal has .* another name"):
        find_method("modal")


class Forgetful(a_users_method.MajorityPredictor):
    """Stores another answer than it gives."""

    def save(self, folder: Path) -> None:
        (folder / "answer.json").write_text('"another"', "utf-8")


class Short(a_users_method.MajorityPredictor):
    """Answers the first text only."""

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        return super().predict(texts[:1])


class Wrong(a_users_method.MajorityMethod):
    """Breaks one promise."""

    def __init__(self, how: str) -> None:
        self.how, self.n_trained = how, 0

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        return MethodPlan(train=self.how != "unplanned")

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        self.n_trained += 1
        if self.how == "late":
            time.sleep(2 * budget_s + 6)
        answer = "yes" if self.how != "random" or self.n_trained % 2 else "no"
        made = {"forgetful": Forgetful, "short": Short}.get(self.how, a_users_method.MajorityPredictor)
        predictor = made(answer)
        if self.how == "crash" and not any(job.schema.segments(x.answer) for x in job.examples.train):
            raise KeyError("no such field")
        return Trained(predictor, "majority", "", predictor.save, 0.0)


@pytest.mark.parametrize(
    ("how", "promise"),
    [
        ("unplanned", "is planned"),
        ("forgetful", "what is loaded predicts"),
        ("short", None),
        ("random", "same seed"),
        ("crash", None),
        ("anything", "cannot express are refused"),
    ],
)
def test_a_wrong_method_fails(
    how: str,
    promise: str | None,
    tiny: Tiny,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    install: Install,
) -> None:
    install(POINTS)
    method = Wrong(how)
    monkeypatch.setattr(a_users_method, "METHOD", method)
    with pytest.raises((AssertionError, ValueError, KeyError), match=promise):
        check(method, tiny, tmp_path / "home")
