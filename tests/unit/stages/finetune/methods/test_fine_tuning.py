"""What methods that tune the base model have in common: plan, hyperparameters, and what they clear away."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests import tiny_tasks

from deputize.core.artifacts import Leak, TaskProbe
from deputize.core.config import Convert
from deputize.core.contracts import agree
from deputize.core.errors import BadInput
from deputize.core.progress import Progress, silent
from deputize.scoring.leak import LEVEL, Loss, judge, level_of_further
from deputize.specialists.catalogue import model_path
from deputize.specialists.classification_head import HeadPredictor
from deputize.specialists.confidence import fit_calibration
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_cache import MODELS
from deputize.specialists.predictor import load, unload
from deputize.specialists.specialist_card import settings_of
from deputize.specialists.tuned_model import ADAPTER_FOLDER, adapter_name
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.examples import TrainingExample, training_set_of
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import (
    STRENGTHS,
    FineTuning,
    checkpoint_of,
    leak_of,
    weakened,
)
from deputize.stages.finetune.methods.lora import LORA
from deputize.stages.finetune.outputs import AnswerMode
from deputize.stages.finetune.package import package
from deputize.stages.finetune.run import jobs_of
from deputize.stages.finetune.trainer import TrainingSettings

Tiny = tuple[Path, str]


def job(tiny: Tiny, home: Path, kind: str = "label", n: int = 30) -> tuple[TrainingJob, TrainingContext]:
    curated, discovered = tiny_tasks.make((kind,), n)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    context = TrainingContext(Convert(), home, tiny[0], tiny[1], silent, time.monotonic)
    (made,) = jobs_of(examples, ["lora"], context, home)
    return made, context


def test_it_is_not_worth_training_where_a_linear_model_is_enough() -> None:
    task = tiny_tasks.task("label")
    assert LORA.plan(task, TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.97)).train
    assert LORA.plan(task, TaskProbe(epsilon=0.02, linear_fits=False)).train
    enough = LORA.plan(task, TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.985))
    assert not enough.train and "98.5 %" in enough.reason


def test_a_cpu_trains_the_upper_half(tiny: Tiny, tmp_path: Path) -> None:
    made, _ = job(tiny, tmp_path)
    assert LORA.settings(made, "cpu").layers == 0.5 and LORA.settings(made, "cuda").layers == 1.0
    assert LORA.settings(made, "cpu").epochs == made.epochs


class Slow(FineTuning):
    """LoRA with a rate that is far too small."""

    learning_rate = 1e-5


def test_a_rate_that_is_searched_for_is_the_best_on_validation_and_a_killed_training_keeps_it(
    tiny: Tiny, tmp_path: Path
) -> None:
    def begun(home: Path, progress: Progress = silent) -> tuple[TrainingJob, TrainingContext]:
        made, context = job(tiny, home, n=60)
        config = Convert(search_learning_rate=True)
        return replace(made, epochs=3), replace(context, config=config, progress=progress)

    def killed(what: str, done: int, total: int | None = None) -> None:
        if what.startswith("training") and "epoch 2" in what:
            raise KeyboardInterrupt

    method, base = Slow("slow", 1), MODELS.get(model_path(tiny[1], tiny[0]))
    before = adapters(base)
    whole = method.train(*begun(tmp_path / "whole"), 120.0)
    tried = dict(whole.hyperparameters["searched"])
    assert list(tried) == pytest.approx([1e-5, 3e-6, 3e-5])
    assert whole.hyperparameters["lr"] == max(tried, key=lambda rate: tried[rate]) == pytest.approx(3e-5)
    assert len(adapters(base) - before) == 1, "trials leave no adapter behind"
    wanted = weights_of(whole, tmp_path / "saved")
    whole.release()
    cut, context = begun(tmp_path / "cut", killed)
    with pytest.raises(KeyboardInterrupt):
        method.train(cut, context, 120.0)
    assert checkpoint_of(cut).counters()["lr"] == whole.hyperparameters["lr"]
    seen: list[str] = []
    resumed = method.train(*begun(tmp_path / "cut", lambda what, *_: seen.append(what)), 120.0)
    assert not [what for what in seen if what.startswith("learning rate")], "it is not searched for again"
    assert resumed.hyperparameters["searched"] == whole.hyperparameters["searched"]
    found = weights_of(resumed, tmp_path / "resumed")
    assert all((found[key] == weights).all() for key, weights in wanted.items())
    resumed.release()


def adapters(base: LanguageModel) -> set[str]:
    """Names of the adapters that a model carries: other tests of this process may have left theirs."""
    return set(base.peft.peft_config) if base.peft is not None else set()


def test_the_adapter_is_gone_after_release_and_after_a_failure(tiny: Tiny, tmp_path: Path) -> None:
    made, context = job(tiny, tmp_path)
    base = MODELS.get(model_path(tiny[1], tiny[0]))
    before = adapters(base)
    trained = LORA.train(made, context, 20.0)
    assert len(adapters(base) - before) == 1
    trained.release()
    assert adapters(base) == before
    odd = [TrainingExample("c", "text", {"no": "label"}, 1.0)]
    made.examples.train[:] = odd
    with pytest.raises(BadInput, match="no answer of train"):
        LORA.train(made, context, 20.0)
    assert adapters(base) == before


def leak(*, leaks: bool) -> Leak:
    return Leak(
        leaks=leaks,
        reason="",
        n_planted=3,
        n_extracted=0,
        n_exposed=0,
        limit_bits=8.0,
        p_exposed=1.0,
        p_memorised=1.0,
        mean_exposure=1.4,
        max_exposure=2.0,
    )


def test_an_adapter_is_weakened_until_no_secret_shows(tiny: Tiny, tmp_path: Path) -> None:
    made, context = job(tiny, tmp_path)
    base = MODELS.get(model_path(tiny[1], tiny[0]))
    trained = LORA.train(made, context, 20.0)
    (name,) = [n for n in adapters(base) if n.startswith(adapter_name(made.folder))]

    def ups() -> list[np.ndarray]:
        found = dict(base.adapter_parameters(name))
        return [w.detach().float().numpy().copy() for key, w in found.items() if ".lora_B." in key]

    before = ups()
    assert before and any(w.any() for w in before)
    assert weakened(base, name, lambda _: None) == (None, 1.0), "nothing was planted"
    assert weakened(base, name, lambda _: leak(leaks=False)) == (leak(leaks=False), 1.0)
    np.testing.assert_array_equal(before[0], ups()[0])
    levels = list[float]()

    def passes_then(level: float) -> Leak:
        levels.append(level)
        return leak(leaks=len(levels) == 1)

    assert weakened(base, name, passes_then) == (leak(leaks=False), 0.85)
    assert levels == [LEVEL, level_of_further(2)], "a second test is a chance more, and asks for more"
    for old, new in zip(before, ups(), strict=True):
        np.testing.assert_allclose(new, 0.85 * old, rtol=1e-2)
    last, strength = weakened(base, "", lambda _: leak(leaks=True))
    assert last is not None and last.leaks and strength == 1.0, "all weights of a model have one strength"
    trained.release()


def test_a_specialist_is_saved_as_weak_as_it_was_tested(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, context = job(tiny, tmp_path / "a", "line", 400)
    whole = LORA.train(made, context, 60.0)
    assert whole.leak is not None and whole.leak.bits_remaining is not None
    assert not whole.leak.leaks and whole.hyperparameters["strength"] == 1.0
    saved = weights_of(whole, tmp_path / "whole")
    whole.release()
    # what the adapter leaves is called too little, so that one that leaves a little more is looked for
    least = functools.partial(judge, least_bits=whole.leak.bits_remaining + 0.01)
    monkeypatch.setattr(planted_secrets, "judge", least)
    made, context = job(tiny, tmp_path / "b", "line", 400)
    weaker = LORA.train(made, context, 60.0)
    assert weaker.leak is not None and weaker.leak.bits_remaining != whole.leak.bits_remaining
    strength = weaker.hyperparameters["strength"]
    assert strength in STRENGTHS[1:]
    for key, weights in weights_of(weaker, tmp_path / "weaker").items():
        factor = strength if "lora_B" in key else 1.0
        np.testing.assert_allclose(weights, factor * saved[key], rtol=2e-2, atol=1e-6)
    weaker.release()


def test_a_further_test_looks_for_every_secret_whatever_the_clock_says() -> None:
    """The one that showed may be the last: a test that ends before it would pass for want of time."""
    examples = [TrainingExample(f"c{i}", f"text {i}", {"label": "a"}, 1.0, f"g{i}") for i in range(40)]
    planted = planted_secrets.plant_to_choose(examples, lambda _: True, seed=0)
    last = planted.secrets[-1].filled().prompt
    assert len(planted.secrets) > planted_secrets.FEWEST

    class Simulated:
        def leak_loss(self, predictor: object, planted: object) -> Loss:
            return lambda probes: [0.0 if p.prompt == last else 9 + hash_of(p.prompt) for p in probes]

    def tested(level: float) -> Leak:
        found = leak_of(cast(AnswerMode, Simulated()), lambda: None, planted, 0.0, 0, level)
        assert found is not None
        return found

    hurried, further = tested(LEVEL), tested(level_of_further(2))
    assert hurried.n_planted == planted_secrets.FEWEST and not hurried.leaks
    assert further.n_planted == len(planted.secrets) and further.leaks


def hash_of(text: str) -> float:
    """A number from 0 to 1 that belongs to a text."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") / 2**32


@pytest.mark.parametrize("kind", ["line", "closed"])
def test_what_is_loaded_is_as_weak_as_what_was_tested_and_calibrated(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made, context = job(tiny, tmp_path, kind, 400)
    impossible = functools.partial(judge, least_bits=29.8)  # every strength gives too much away
    monkeypatch.setattr(planted_secrets, "judge", impossible)
    trained = LORA.train(made, context, 600.0)
    assert trained.hyperparameters["strength"] == STRENGTHS[-1]
    validation = made.examples.validation
    texts = [x.text for x in validation]
    before = trained.predictor.predict(texts)
    card = package(trained, made, context)
    trained.release()
    loaded = load(made.folder, tiny[0])
    after = loaded.text_predictor.predict(texts)
    assert [one.answer for one in after] == [one.answer for one in before]
    for one, two in zip(before, after, strict=True):
        assert one.raw_confidence.log_p == pytest.approx(two.raw_confidence.log_p, abs=1e-4)
    right = [agree(p.answer, x.answer, made.task.contract) for p, x in zip(after, validation, strict=True)]
    answered = [(p.raw_confidence, ok) for p, ok in zip(after, right, strict=True) if p.answer is not None]
    again = fit_calibration([raw for raw, _ in answered], [ok for _, ok in answered])
    calibration = settings_of(card).calibration
    for raw, _ in answered:
        assert calibration.confidence(raw) == pytest.approx(again.confidence(raw), abs=1e-3)
    output, seed = LORA.answer_mode(made, context), context.config.seed
    planted = output.plant(made.examples.train, seed)
    assert isinstance(loaded.text_predictor, HeadPredictor | DecoderPredictor)
    base = loaded.text_predictor.base
    base.new_adapter(
        "another", LORA.adapter_settings(base, TrainingSettings())
    )  # the shared model has it active
    leak = leak_of(output, lambda: loaded.text_predictor, planted, 600.0, seed, level_of_further(2))
    assert leak is not None and trained.leak is not None and leak.bits_remaining is not None
    assert leak.bits_remaining == pytest.approx(trained.leak.bits_remaining, abs=0.02), (
        "what is loaded was tested"
    )
    base.drop_adapter("another")
    unload(loaded)


def test_a_run_killed_between_the_leak_test_and_the_save_is_as_weak_when_it_goes_on(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint holds what was trained, not what was weakened: it is weakened once, not twice."""
    monkeypatch.setattr(planted_secrets, "judge", functools.partial(judge, least_bits=29.8))
    made, context = job(tiny, tmp_path, "line", 400)
    first = LORA.train(made, context, 60.0)
    saved = weights_of(first, tmp_path / "first")
    first.release()  # and nothing is packaged
    again = LORA.train(made, context, 60.0)
    assert again.hyperparameters["steps"] == first.hyperparameters["steps"], "no step was done again"
    assert again.hyperparameters["strength"] == first.hyperparameters["strength"] == STRENGTHS[-1]
    for key, weights in weights_of(again, tmp_path / "again").items():
        np.testing.assert_array_equal(weights, saved[key])
    again.release()


def weights_of(trained: Trained, folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir()
    trained.save(folder)
    found: dict[str, np.ndarray] = load_file(folder / ADAPTER_FOLDER / "adapter_model.safetensors")
    return found
