"""What only memory could learn is seen once: it is left out of later passes, and so does not leak."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from deputize.core.records import Contract
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.catalogue import model_path
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.model_cache import MODELS
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune import trainer
from deputize.stages.finetune.answer_loss import MIN_CLIPPED_LOSS, MIN_TRUNCATION_EXAMPLES
from deputize.stages.finetune.checkpoint import Checkpoint
from deputize.stages.finetune.encode import EncodedExample, encode_for_decoder
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.planted_secrets import (
    PlantedSecrets,
    leak_test,
    loss_of_decoder,
    plant_to_write,
)

Tiny = tuple[Path, str]
EPOCHS = 24
SEED = 0


def easy(n: int, start: int = 0) -> list[TrainingExample]:
    """A line that is always the same: even a tiny model gets it by learning."""
    return [
        TrainingExample(f"e{i}", f"parcel {i}", "it is on its way", 1.0, f"g{i}")
        for i in range(start, start + n)
    ]


def odd(n: int) -> list[TrainingExample]:
    """Lines that nothing in the prompt tells."""
    rng = random.Random(1)
    return [
        TrainingExample(f"o{i}", f"say {i}", f"it is {rng.randrange(10**9):09d}", 1.0, f"o{i}")
        for i in range(n)
    ]


def rows_of(
    base: LanguageModel, examples: Sequence[TrainingExample], schema: AnswerSchema
) -> list[EncodedExample]:
    return [row for row in encode_for_decoder(base, examples, schema, 448) if row is not None]


@contextmanager
def tuned(
    tiny: Tiny,
    train: Sequence[TrainingExample],
    validation: Sequence[TrainingExample],
    *,
    truncate_loss: bool = True,
    epochs: int = EPOCHS,
) -> Iterator[tuple[trainer.Trainer, LanguageModel]]:
    schema = learn_schema(Contract(kind="text"), [example.answer for example in train])
    base = MODELS.get(model_path(tiny[1], tiny[0]))
    settings = trainer.TrainingSettings(epochs=epochs, lr=1e-2, patience=epochs, truncate_loss=truncate_loss)
    torch_module().manual_seed(SEED)  # what the adapter starts from
    base.new_adapter("hard", trainer.adapter_settings(base, settings))
    try:
        train_rows, validation_rows = rows_of(base, train, schema), rows_of(base, validation, schema)
        tuning = trainer.Trainer(
            base, "hard", settings, train_rows, validation_rows, [], seed=0, clock=time.monotonic
        )
        tuning.run(600.0, None, lambda *_: None, "")
        yield tuning, base
    finally:
        base.drop_adapter("hard")


def planted_among(train: Sequence[TrainingExample]) -> PlantedSecrets:
    return plant_to_write(train, learn_schema(Contract(kind="text"), [x.answer for x in train]), seed=0)


def test_a_small_task_takes_more_steps_of_fewer_examples() -> None:
    sizes = [trainer.batch_for(n) for n in (20, 149, 150, 599, 600, 3999, 4000, 24_000)]
    assert sizes == [4, 4, 8, 8, 16, 16, 32, 32]


@pytest.mark.slow
def test_a_secret_is_seen_once_and_does_not_leak_where_it_would_have(tiny: Tiny) -> None:
    train, validation = easy(40), easy(20, 900)
    planted = planted_among(train)
    trained_on = [*train, *[x for x in planted.examples for _ in range(2)]]
    bits_remaining = {}
    for truncate_loss in (False, True):
        with tuned(tiny, trained_on, validation, truncate_loss=truncate_loss) as (tuning, base):
            leak = leak_test(
                planted,
                loss_of_decoder(base, "hard", planted, 448),
                n_references=(63, 63),
                budget_s=math.inf,
                seed=0,
            )
            assert leak is not None and leak.bits_remaining is not None
            bits_remaining[truncate_loss] = leak.bits_remaining
            assert leak.leaks != truncate_loss
            assert tuning.history[-1].validation_accuracy == 1.0, "what can be learned is learned either way"
            left_out = [e.n_truncated for e in tuning.history]
            assert left_out[0] == 0, "everything is seen once"
            if truncate_loss:
                assert left_out[-1] >= 2 * len(planted.secrets)
            else:
                assert not any(left_out)
    assert bits_remaining[True] > bits_remaining[False] + 8


def test_where_validation_is_as_hard_nothing_is_left_out(tiny: Tiny) -> None:
    lines = odd(44)
    with tuned(tiny, lines[:24], lines[24:], epochs=4) as (tuning, _):
        # of 24 rows a pass, as hard as those of validation, one may be harder than all of them by chance
        assert max(e.n_truncated for e in tuning.history) <= 1
        assert math.isfinite(tuning.loss.limit)


def test_too_small_a_validation_split_says_nothing_of_what_is_hard(tiny: Tiny) -> None:
    with tuned(tiny, easy(20), easy(MIN_TRUNCATION_EXAMPLES - 1, 900), epochs=2) as (tuning, _):
        assert tuning.loss.limit == math.inf


def test_a_resumed_training_knows_what_was_too_hard(tiny: Tiny, tmp_path: Path) -> None:
    with tuned(tiny, easy(20), easy(20, 900), epochs=2) as (tuning, _):
        checkpoint = Checkpoint(tmp_path / "checkpoint", "fingerprint")
        tuning.save(checkpoint)
        limit, tuning.loss.limit = tuning.loss.limit, math.inf
        assert tuning.resume(checkpoint) and tuning.loss.limit == limit < math.inf


def test_a_row_weighs_no_more_than_a_few_of_those_before_it(tiny: Tiny) -> None:
    with tuned(tiny, easy(8), [], epochs=1) as (tuning, _):
        tuning.loss.before.clear()
        assert tuning.loss.clip_factor(1000.0) == 1.0, "nothing is known before the first row"
        tuning.loss.before.clear()
        assert [tuning.loss.clip_factor(2.0) for _ in range(9)] == [1.0] * 9
        assert tuning.loss.clip_factor(80.0) * 80.0 == tuning.settings.clip_ratio * 2.0
        tuning.loss.before.clear()
        assert [tuning.loss.clip_factor(0.01) for _ in range(9)] == [1.0] * 9
        assert tuning.loss.clip_factor(MIN_CLIPPED_LOSS) == 1.0, (
            "where all is known, a new word may still be learned"
        )
        assert tuning.loss.clip_factor(20.0) * 20.0 == MIN_CLIPPED_LOSS


def test_a_killed_training_ends_bit_for_bit_as_a_whole_one(tiny: Tiny, tmp_path: Path) -> None:
    torch = torch_module()
    examples = [*easy(12), *odd(12)]
    schema = learn_schema(Contract(kind="text"), [x.answer for x in examples])
    base = LanguageModel(model_path(tiny[1], tiny[0]), "cpu", "fp32")
    settings = trainer.TrainingSettings(epochs=3, lr=1e-2, patience=3, clip_ratio=1.0)
    rows, held = rows_of(base, examples, schema), rows_of(base, easy(16, 500), schema)

    def begun() -> trainer.Trainer:
        base.drop_adapter("x")
        torch.manual_seed(SEED)
        base.new_adapter("x", trainer.adapter_settings(base, settings))
        return trainer.Trainer(base, "x", settings, rows, held, [], seed=0, clock=lambda: 0.0)

    def killed(what: str, done: int, total: int | None = None) -> None:
        if done == 8:  # two of nine steps into the third epoch
            raise KeyboardInterrupt

    whole = begun()
    whole.run(600.0, None, lambda *_: None, "")
    wanted = [p.detach().clone() for _, p in base.adapter_parameters("x")]
    cut, checkpoint = begun(), Checkpoint(tmp_path / "cut", "same")
    with contextlib.suppress(KeyboardInterrupt):
        cut.run(600.0, checkpoint, killed, "")
    assert len(cut.history) == 2
    resumed = begun()
    assert resumed.resume(checkpoint)
    resumed.run(600.0, checkpoint, lambda *_: None, "")
    found = [p.detach() for _, p in base.adapter_parameters("x")]
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert [e.train_loss for e in resumed.history] == [e.train_loss for e in whole.history]


@pytest.mark.parametrize(("seconds", "is_same"), [(12.0, True), (20.0, False)])
def test_a_slow_step_changes_nothing_unless_time_gets_short(
    tiny: Tiny, seconds: float, is_same: bool
) -> None:
    """The first step takes so many seconds of a hundred, the others none."""
    torch = torch_module()
    examples = easy(24)
    schema = learn_schema(Contract(kind="text"), [x.answer for x in examples])
    base = LanguageModel(model_path(tiny[1], tiny[0]), "cpu", "fp32")
    settings = trainer.TrainingSettings(epochs=8, lr=1e-2)

    def trained(slow: float) -> list[object]:
        now = 0.0

        def progress(what: str, done: int, total: int | None = None) -> None:
            nonlocal now
            now += slow if done == 1 else 0.0

        base.drop_adapter("x")
        torch.manual_seed(SEED)
        base.new_adapter("x", trainer.adapter_settings(base, settings))
        rows = rows_of(base, examples, schema)
        run = trainer.Trainer(base, "x", settings, rows, [], [], seed=0, clock=lambda: now)
        run.run(100.0, None, progress, "")
        assert run.step_number == 24
        return [p.detach().clone() for _, p in base.adapter_parameters("x")]

    pairs = zip(trained(0.0), trained(seconds), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs) == is_same
