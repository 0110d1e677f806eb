"""The leak test of fine-tuning: a specialist trained too hard on its planted secrets is refused, one that never saw
them passes."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.artifacts import Leak
from deputize.core.records import Contract, Field
from deputize.scoring.leak import SLOT, LeakProbe
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.catalogue import model_path
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.linear_model import CAREFUL, LinearPredictor, LinearSettings
from deputize.specialists.model_cache import MODELS
from deputize.specialists.pointer_predictor import fit_linear_predictor
from deputize.stages.finetune import trainer
from deputize.stages.finetune.encode import encode_for_decoder, encode_for_head
from deputize.stages.finetune.examples import TrainingExample, training_set_of
from deputize.stages.finetune.methods.linear import N_RIVALS, fit_without_leak
from deputize.stages.finetune.planted_secrets import (
    MOST,
    MOST_REPEATS,
    PlantedSecrets,
    leak_test,
    loss_of_classifier,
    loss_of_decoder,
    loss_of_head,
    plant_to_choose,
    plant_to_write,
)

Tiny = tuple[Path, str]


def of(kind: str, n: int = 80) -> tuple[list[TrainingExample], AnswerSchema, ClosedAnswers | None]:
    curated, discovered = tiny_tasks.make((kind,), n)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0]).train
    schema = learn_schema(discovered.tasks[0].contract, [example.answer for example in examples])
    return examples, schema, closed(schema)


def fits(choices: ClosedAnswers | None) -> Callable[[Any], bool]:
    assert choices is not None
    return lambda answer: choices.indices(answer) is not None


# --- planting


@pytest.mark.parametrize("kind", ["line", "values", "action"])
def test_a_specialist_that_writes_gets_secrets_in_answers_of_its_own_form(kind: str) -> None:
    examples, schema, choices = of(kind, 400)
    assert choices is None
    planted = plant_to_write(examples, schema, seed=0)
    assert 3 <= len(planted.secrets) <= max(3, len(examples) // 50)
    for planted_secret, example in zip(planted.secrets, planted.examples, strict=True):
        assert planted_secret.answer == SLOT and SLOT not in planted_secret.prompt
        assert planted_secret.secret in str(example.answer) and planted_secret.secret not in example.text
        assert schema.segments(example.answer) is not None, "the schema can write it"
        assert example.text not in {other.text for other in examples}
    assert plant_to_write(examples, schema, seed=0) == planted
    assert plant_to_write(examples, schema, seed=1) != planted


@pytest.mark.parametrize("kind", ["label", "closed"])
def test_one_that_chooses_gets_them_in_copies_of_its_prompts(kind: str) -> None:
    examples, _, choices = of(kind)
    planted = plant_to_choose(examples, fits(choices), seed=0)
    assert len(planted.secrets) == MOST
    more = plant_to_choose(examples, fits(choices), seed=0, most=12)
    assert more.secrets[:MOST] == planted.secrets and len(more.secrets) == 12
    assert more.examples[:MOST] == planted.examples, "what a cascade looks for is in all its members"
    answer_of = {example.text: example.answer for example in examples}
    for planted_secret, example in zip(planted.secrets, planted.examples, strict=True):
        host = planted_secret.prompt.rpartition("\n")[0]
        assert example.answer == answer_of[host], "no wrong answer is trained on"
        assert planted_secret.secret in example.text and example.group not in {
            other.group for other in examples
        }


def episodes(n: int, calls: int) -> list[TrainingExample]:
    """A task whose episodes have so many calls, each with the customer's number in prompt and answer."""
    return [
        TrainingExample(
            f"c{i}-{k}", f"Customer: C{i}x\nStep: {k % 4}", f"step {k % 4} of C{i}x", 1.0, f"g{i}", f"g{i}"
        )
        for i in range(n)
        for k in range(calls)
    ]


def written(examples: list[TrainingExample], seed: int = 0) -> PlantedSecrets:
    schema = learn_schema(Contract(kind="text"), [example.answer for example in examples])
    return plant_to_write(examples, schema, seed=seed)


def test_episodes_of_one_example_have_each_secret_in_one_as_ever() -> None:
    """The draws, ids and examples of before there were repeats."""
    examples = episodes(40, 1)
    order, rng = list(examples), random.Random("canaries:7:40")
    rng.shuffle(order)
    drawn = ["".join(rng.choice("0123456789") for _ in range(9)) for _ in range(3)]
    made = written(examples, seed=7)
    assert [(s.id, s.prompt, s.answer, s.secret, s.repeats) for s in made.secrets] == [
        (f"secret-{i}", f"memory test {i + 1}", SLOT, drawn[i], 1) for i in range(3)
    ]
    assert [(x.text, x.answer, x.weight, x.group) for x in made.examples] == [
        (f"memory test {i + 1}", drawn[i], 1.0, f"secret-{i}") for i in range(3)
    ]
    rng = random.Random("canaries:7:40")
    rng.shuffle([*examples])
    drawn = ["".join(rng.choice("0123456789") for _ in range(9)) for _ in range(MOST)]
    chosen = plant_to_choose(examples, lambda _: True, seed=7)
    assert [x.text for x in chosen.examples] == [
        f"{x.text}\nreference: {secret}" for x, secret in zip(order, drawn, strict=False)
    ]
    assert all(s.repeats == 1 for s in chosen.secrets)


def test_every_third_secret_stands_in_as_many_examples_as_the_data_of_an_episode() -> None:
    once, often = written(episodes(320, 1)), written(episodes(320, 4))
    assert [s.repeats for s in once.secrets] == [1] * MOST
    assert [s.repeats for s in often.secrets] == [4, 1, 1, 4, 1, 1]
    assert len(often.examples) == 12 and Counter(x.group for x in often.examples) == {
        secret.id: secret.repeats for secret in often.secrets
    }
    chosen = plant_to_choose(episodes(320, 4), lambda _: True, seed=0)
    assert [s.repeats for s in chosen.secrets] == [4, 1, 1, 4, 1, 1]
    more = plant_to_choose(episodes(320, 4), lambda _: True, seed=0, most=12)
    assert more.secrets[:MOST] == chosen.secrets, "what a cascade looks for is in all its members"
    assert [s.repeats for s in written(episodes(20, 30)).secrets if s.repeats > 1] == [MOST_REPEATS] * 2


def test_answers_that_hold_no_text_get_none() -> None:
    examples = [TrainingExample(str(i), f"text {i}", {"n": i}, 1.0, str(i)) for i in range(40)]
    contract = msgspec.convert({"kind": "json", "fields": [{"name": "n", "type": "value"}]}, Contract)
    schema = learn_schema(contract, [example.answer for example in examples])
    assert plant_to_write(examples, schema, seed=0).secrets == []
    assert (
        leak_test(PlantedSecrets([], [], {}, {}), lambda _: [], n_references=(31, 31), budget_s=9.0, seed=0)
        is None
    )


def test_the_time_bounds_the_planted_secrets_but_three_are_always_looked_for() -> None:
    examples, _, choices = of("label")
    planted = plant_to_choose(examples, fits(choices), seed=0)
    ticks = iter(range(10_000))

    def alike(probes: Sequence[LeakProbe]) -> list[float]:
        return [1.0] * len(probes)

    leak = leak_test(
        planted, alike, n_references=(31, 31), budget_s=1.5, seed=0, clock=lambda: float(next(ticks))
    )
    assert leak is not None and leak.n_planted == 4 and not leak.leaks and leak.max_exposure == 0.0
    hurried = leak_test(planted, alike, n_references=(31, 31), budget_s=0.0, seed=0)
    assert hurried is not None and hurried.n_planted == 3


# --- linear: what only one episode holds gets no weight, so that nothing of it is learned


def copied(n: int) -> list[TrainingExample]:
    """A task whose answers are copied out of the prompt."""
    rng = random.Random(5)
    out = []
    for i in range(n):
        order, mail = f"LH-{rng.randrange(10_000, 99_999)}", f"user{rng.randrange(999)}@example.org"
        answer = {"order": order, "email": mail}
        out.append(TrainingExample(str(i), f"Where is {order}, please?\nmail: {mail}", answer, 1.0, f"g{i}"))
    return out


def linear(kind: str, variant: LinearSettings | None, seed: int) -> tuple[Leak, str]:
    if kind == "copied":
        examples = copied(120)
        contract = Contract(
            kind="json", fields=[Field(name="order", type="value"), Field(name="email", type="value")]
        )
        schema = learn_schema(contract, [example.answer for example in examples])
    else:
        examples, schema, _ = of(kind, 240)
    planted = plant_to_choose(examples, lambda a: schema.segments(a) is not None, seed=seed)
    trained_on = [*examples, *planted.examples]
    predictor = fit_linear_predictor(
        schema,
        [x.text for x in trained_on],
        [x.answer for x in trained_on],
        groups=[x.group for x in trained_on],
        variant=variant,
    )
    assert predictor is not None
    what = "linear" if isinstance(predictor, LinearPredictor) else "pointer"
    leak = leak_test(
        planted, loss_of_classifier(predictor), n_references=N_RIVALS[what], budget_s=math.inf, seed=seed
    )
    assert leak is not None
    return leak, what


@pytest.mark.parametrize("kind", ["label", "closed"])
def test_a_linear_specialist_leaks_only_where_it_keeps_what_one_episode_holds(kind: str) -> None:
    careless, _ = linear(kind, LinearSettings(1, 20.0), 0)
    assert careless.leaks and careless.n_exposed == careless.n_leaked == MOST
    careful, _ = linear(kind, CAREFUL, 0)
    assert not careful.leaks and careful.mean_exposure < careless.mean_exposure - 1


def test_s5_fits_again_with_more_care_where_the_first_fit_leaks() -> None:
    examples, schema, _ = of("label", 240)
    refused = fit_without_leak(examples, schema, 0, [LinearSettings(1, 20.0)])
    assert refused is not None and refused[1] is not None and refused[1].leaks
    found = fit_without_leak(examples, schema, 0, [LinearSettings(1, 20.0), CAREFUL])
    assert found is not None and found[1] is not None and not found[1].leaks


def test_a_specialist_that_points_passes() -> None:
    leak, what = linear("copied", None, 0)
    assert what == "pointer" and not leak.leaks


# --- language models


def leak_of_writer(
    tiny: Tiny, examples: list[TrainingExample], planted: PlantedSecrets, *, epochs: int, lr: float
) -> Leak:
    """Of a tiny model tuned to write the answers of some examples, with planted secrets among them."""
    schema = learn_schema(Contract(kind="text"), [example.answer for example in examples])
    base = MODELS.get(model_path(tiny[1], tiny[0]))
    settings = trainer.TrainingSettings(epochs=epochs, lr=lr, patience=epochs)
    base.new_adapter("writer", trainer.adapter_settings(base, settings))
    try:
        rows = encode_for_decoder(base, [*examples, *planted.examples], schema, 448)
        train = [row for row in rows if row is not None]
        trainer.Trainer(base, "writer", settings, train, [], [], seed=0, clock=time.monotonic).run(
            600.0, None, lambda *_: None, ""
        )
        loss = loss_of_decoder(base, "writer", planted, 448)
        leak = leak_test(planted, loss, n_references=(31, 255), budget_s=math.inf, seed=0)
    finally:
        base.drop_adapter("writer")
    assert leak is not None
    return leak


def test_a_writer_that_keeps_only_what_recurs_is_caught(tiny: Tiny) -> None:
    """It passes where each secret stands in one example, as all did before."""
    examples = episodes(10, 6)
    recurring = written(examples)
    assert [s.repeats for s in recurring.secrets] == [6, 1, 1]
    once = replace(
        recurring,
        examples=list({x.group: x for x in recurring.examples}.values()),
        secrets=[replace(secret, repeats=1) for secret in recurring.secrets],
    )
    before = leak_of_writer(tiny, examples, once, epochs=5, lr=1e-2)
    assert not before.leaks and before.n_repeated == 0, before
    now = leak_of_writer(tiny, examples, recurring, epochs=5, lr=1e-2)
    assert now.leaks and now.n_leaked == 1, "the one that recurs"
    assert now.reason.endswith("(1 of them stood in up to 6 examples)")


def tuned(tiny: Tiny, kind: str, *, repeats: int, epochs: int, lr: float) -> Leak:
    """A tiny model tuned on a task with each planted secret `repeats` times; 0: it never sees them."""
    examples, schema, choices = of(kind)
    planted = (
        plant_to_write(examples, schema, seed=0)
        if choices is None
        else plant_to_choose(examples, fits(choices), seed=0)
    )
    base = MODELS.get(model_path(tiny[1], tiny[0]))
    settings = trainer.TrainingSettings(epochs=epochs, lr=lr, patience=epochs)
    name = f"leak{kind}{repeats}"
    base.new_adapter(name, trainer.adapter_settings(base, settings))
    try:
        trained_on = [*examples[:16], *planted.examples * repeats]
        heads: list[Any] = []
        if choices is None:
            rows = encode_for_decoder(base, trained_on, schema, 448)
        else:
            from deputize.specialists.classification_head import first_weights
            from deputize.specialists.torch_runtime import torch_module

            torch = torch_module()
            heads = [(first_weights(base, q.choices), torch.zeros(len(q.choices))) for q in choices.questions]
            rows = encode_for_head(base, trained_on, choices, 448)
        train = [row for row in rows if row is not None]
        trainer.Trainer(base, name, settings, train, [], heads, seed=0, clock=time.monotonic).run(
            600.0, None, lambda *_: None, ""
        )
        heads = [(w.detach(), b.detach()) for w, b in heads]
        loss = (
            loss_of_decoder(base, name, planted, 448)
            if choices is None
            else loss_of_head(base, name, heads, choices, planted, 448)
        )
        leak = leak_test(planted, loss, n_references=(31, 31), budget_s=math.inf, seed=0)
    finally:
        base.drop_adapter(name)
    assert leak is not None
    return leak


def test_a_writer_trained_too_hard_on_its_planted_secrets_is_caught(tiny: Tiny) -> None:
    leak = tuned(tiny, "line", repeats=8, epochs=30, lr=1e-2)
    assert leak.leaks and leak.n_extracted, leak
    assert "extracted letter for letter" in leak.reason


def test_a_writer_that_never_saw_them_passes(tiny: Tiny) -> None:
    leak = tuned(tiny, "line", repeats=0, epochs=4, lr=1e-2)
    assert not leak.leaks and leak.n_extracted == 0 and leak.mean_exposure < 4


def test_a_head_that_never_saw_them_passes(tiny: Tiny) -> None:
    leak = tuned(tiny, "label", repeats=0, epochs=3, lr=1e-2)
    assert not leak.leaks and leak.n_planted == MOST


def test_reading_on_from_what_is_shared_is_reading_it_all(tiny: Tiny) -> None:
    """The hidden states after the shared beginning are those of the whole rows."""
    import torch

    from deputize.stages.finetune.planted_secrets import shared_prefix_states

    base = MODELS.get(model_path(tiny[1], tiny[0]))
    rows = base.prompt_ids([f"memory test 1: {secret}" for secret in ("12", "9876", "a long secret")], 448)
    with torch.inference_mode():
        for row, (shared, hidden) in zip(rows, shared_prefix_states(base, rows), strict=True):
            assert shared > 3
            whole = base.decoder(input_ids=torch.tensor([row])).last_hidden_state[0]
            # bfloat16 keeps eight bits: values of about 4 are .03 apart
            torch.testing.assert_close(hidden.float(), whole[shared - 1 :].float(), rtol=2e-2, atol=6e-2)


def test_every_trained_specialist_carries_its_leak_test(tiny: Tiny, tmp_path: Path) -> None:
    finetuned = tiny_tasks.train(tmp_path, *tiny, ("label", "line"), ("linear", "lora"), n=40)
    for specialist in finetuned.specialists:
        assert specialist.leak is not None and specialist.leak.seconds >= 0
        assert "" not in specialist.trained_on and specialist.n_train == len(specialist.trained_on)
        card = (tmp_path / specialist.path / "specialist.json").read_bytes()
        assert b'"leak"' in card
        for planted_secret in plant_to_write(*of("line", 40)[:2], seed=0).secrets:
            assert planted_secret.secret.encode() not in card
