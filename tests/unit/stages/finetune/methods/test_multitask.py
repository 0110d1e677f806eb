"""One adapter for several small tasks: each has a specialist of its own with the same weights, and tells its task by
the first line."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests import tiny_tasks
from tests.unit.stages.finetune.methods.test_fine_tuning import adapters, job

from deputize.core.artifacts import Finetuned, Specialist
from deputize.core.errors import BadInput
from deputize.core.prompt import prune
from deputize.scoring.leak import judge
from deputize.specialists.catalogue import model_path
from deputize.specialists.model_cache import MODELS
from deputize.specialists.predictor import load, unload
from deputize.specialists.tuned_model import ADAPTER_FOLDER, adapter_name
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.company import with_company
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.fine_tuning import STRENGTHS
from deputize.stages.finetune.methods.multitask import MULTITASK
from deputize.stages.finetune.run import jobs_of
from deputize.testing import check_predictor

Tiny = tuple[Path, str]
KINDS = ("label", "values", "line")


@pytest.fixture(scope="module")
def trained(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finetuned]:
    home = tmp_path_factory.mktemp("home")
    return home, tiny_tasks.train(home, *tiny, KINDS, ("multitask",), n=40)


def weights(home: Path, specialist: Specialist) -> bytes:
    return (home / specialist.path / ADAPTER_FOLDER / "adapter_model.safetensors").read_bytes()


def test_several_tasks_share_one_adapter_and_have_a_specialist_each(
    trained: tuple[Path, Finetuned], tiny: Tiny
) -> None:
    home, found = trained
    assert {s.task_id: s.kind for s in found.specialists} == dict.fromkeys(KINDS, "decoder")
    assert not found.refused
    assert len({weights(home, s) for s in found.specialists}) == 1
    seen = {f"{kind}-{i}" for kind in KINDS for i in range(40) if i % 10 < 6}
    for specialist in found.specialists:
        assert set(specialist.trained_on) == seen, "an erasure in one task is about the specialists of all"
        assert specialist.n_train == 24 and specialist.settings["training"]["tasks"] == 3
        assert specialist.leak == found.specialists[0].leak is not None
    left = adapters(MODELS.get(model_path(tiny[1], tiny[0])))
    assert not {name for name in left if name.startswith(adapter_name(home))}, "other tests may leave theirs"
    assert not list((home / "specialists").glob("*.training"))


def test_the_shared_adapter_is_saved_as_weak_as_it_was_tested(
    trained: tuple[Path, Finetuned], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = functools.partial(judge, least_bits=29.8)  # every strength gives too much away
    monkeypatch.setattr(planted_secrets, "judge", impossible)
    weaker = tiny_tasks.train(tmp_path, *tiny, KINDS, ("multitask",), n=40)
    whole = numbers(trained[0], trained[1].specialists[0])
    for specialist in weaker.specialists:
        assert specialist.leak is not None and specialist.leak.leaks
        assert specialist.settings["training"]["strength"] == STRENGTHS[-1]
        for key, saved in numbers(tmp_path, specialist).items():
            factor = STRENGTHS[-1] if "lora_B" in key else 1.0
            np.testing.assert_allclose(saved, factor * whole[key], rtol=2e-2, atol=1e-6)


def numbers(home: Path, specialist: Specialist) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = load_file(
        home / specialist.path / ADAPTER_FOLDER / "adapter_model.safetensors"
    )
    return found


def test_each_answers_its_own_requests_in_its_own_schema(trained: tuple[Path, Finetuned], tiny: Tiny) -> None:
    home, found = trained
    for specialist in found.specialists:
        kind = specialist.task_id
        requests = [tiny_tasks.example(kind, i, "test").request for i in (8, 18, 28)]
        read = prune(requests[0], specialist.task.recipe)
        assert read == f"task {kind}\n{prune(requests[0], tiny_tasks.task(kind).recipe)}"
        predictor = load(home / specialist.path, tiny[0])
        try:
            check_predictor(predictor, requests)
            answers = [p.answer for p in predictor.predict(requests) if p.answer is not None]
        finally:
            unload(predictor)
        if kind == "label":
            assert set(answers) <= {"yes", "no"}
        if kind == "values":
            assert all(
                isinstance(a, dict) and set(a) == {"note", "order", "email", "intent"} for a in answers
            )


def test_what_is_trained_depends_on_the_whole_company_and_is_not_trained_again(
    tiny: Tiny, tmp_path: Path, trained: tuple[Path, Finetuned]
) -> None:
    home, found = trained
    again = tiny_tasks.train(home, *tiny, KINDS, ("multitask",), n=40)
    assert [weights(home, s) for s in again.specialists] == [weights(home, s) for s in found.specialists]
    assert [s.train_s for s in again.specialists] == [s.train_s for s in found.specialists], (
        "not trained again"
    )
    other = tiny_tasks.train(tmp_path / "two", *tiny, KINDS[:2], ("multitask",), n=40)
    assert weights(tmp_path / "two", other.specialists[0]) != weights(home, found.specialists[0])


def test_a_task_alone_and_a_large_one_are_refused_with_the_reason(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, context = job(tiny, tmp_path)
    with pytest.raises(BadInput, match="no other task with so few examples"):
        MULTITASK.train(made, context, 20.0)
    curated, discovered = tiny_tasks.make(("label", "line"), 30)
    sets = [training_set_of(curated, discovered.assignment, task) for task in discovered.tasks]
    small = with_company([one for s in sets for one in jobs_of(s, ["multitask"], context, tmp_path)])
    for one in small:
        texts = [x.text for x in [*one.examples.train, *one.examples.validation]]
        assert all(text.startswith(f"task {one.task.id}\n") for text in texts)
        assert [other.task.id for other in one.company] == [i for i in ("label", "line") if i != one.task.id]
    assert len({one.together for one in small}) == 1 and len({one.fingerprint for one in small}) == 2
    monkeypatch.setattr(MULTITASK, "largest_task", 10)
    assert with_company([made, made]) == [made, made]
    with pytest.raises(BadInput, match=r"18 examples are enough for an adapter of its own \(lora\)"):
        MULTITASK.train(made, context, 20.0)
