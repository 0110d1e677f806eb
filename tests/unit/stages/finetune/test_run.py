"""Fine-tuning on a tiny model with random weights: every predictor, every method, stops and starts, and what lies on
disk."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.artifacts import Finetuned, Leak, Selected, Specialist
from deputize.core.config import Convert
from deputize.core.contracts import DEFER
from deputize.core.deadline import Deadline
from deputize.core.errors import BadInput, MissingExtra, Tampered
from deputize.core.progress import silent
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.predictor import load
from deputize.specialists.specialist_card import read_card
from deputize.stages.finetune import run as stage
from deputize.stages.finetune.encode import encode_for_decoder
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.registry import find_method
from deputize.stages.finetune.run import jobs_of, train_jobs
from deputize.testing import check_predictor

Tiny = tuple[Path, str]
KINDS = ("label", "closed", "values", "action", "line")


@pytest.fixture(scope="module")
def trained(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finetuned]:
    home = tmp_path_factory.mktemp("home")
    return home, tiny_tasks.train(home, *tiny, KINDS, ("linear", "lora"), n=40)


def of(finetuned: Finetuned, id_: str) -> Specialist:
    return next(s for s in finetuned.specialists if s.id == id_)


def test_closed_answers_get_the_cheap_readers_and_open_ones_are_written(
    trained: tuple[Path, Finetuned],
) -> None:
    predictors = {s.id: s.kind for s in trained[1].specialists}
    assert predictors == {
        "label-linear": "linear",
        "label-lora": "head",
        "closed-linear": "linear",
        "closed-lora": "head",
        "label-linear+lora": "cascade",
        "closed-linear+lora": "cascade",
        "values-lora": "decoder",
        "action-linear": "pointer",
        "action-lora": "decoder",
        "line-lora": "decoder",
    }
    assert trained[1].refused == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["linear", "lora"])
def test_a_stored_specialist_keeps_the_engines_promises(
    trained: tuple[Path, Finetuned], tiny: Tiny, kind: str, method: str
) -> None:
    home, finetuned = trained
    found = [s for s in finetuned.specialists if s.id == f"{kind}-{method}"]
    for specialist in found:
        predictor = load(home / specialist.path, tiny[0])
        requests = [tiny_tasks.example(kind, i, "test").request for i in (8, 18, 28, 38)]
        check_predictor(predictor, requests)
        assert all(p.n_prompt_tokens > 0 for p in predictor.predict(requests)), "whatever read them"
    assert found or (kind, method) in {("values", "linear"), ("line", "linear")}


def test_nothing_is_tuned_where_a_cheap_specialist_serves_nearly_all(tiny: Tiny, tmp_path: Path) -> None:
    found = tiny_tasks.train(tmp_path, *tiny, ("label", "line"), ("linear", "lora"), n=120, explore=False)
    (linear,) = (s for s in found.specialists if s.task_id == "label")
    assert linear.method == "linear" and (linear.validation_coverage or 0) >= 0.95
    (row,) = found.not_needed["label"]
    assert row.model == "lora" and row.note.startswith("not trained: linear could serve")
    assert [s.method for s in found.specialists if s.task_id == "line"] == ["lora"] and not found.refused


def test_a_cheap_specialist_that_leaks_or_errs_replaces_none(trained: tuple[Path, Finetuned]) -> None:
    curated, discovered = tiny_tasks.make(("label",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    schema = learn_schema(examples.task.contract, ["yes", "no"])
    job = TrainingJob(examples, schema, find_method("lora"), Path("x"), 10, 1, "")
    linear = of(trained[1], "label-linear")
    sound = Leak(
        leaks=False,
        reason="",
        n_planted=4,
        n_extracted=0,
        n_exposed=0,
        limit_bits=20.0,
        p_exposed=1.0,
        p_memorised=1.0,
        mean_exposure=1.4,
        max_exposure=3.0,
    )

    def left_out(**changes: object) -> bool:
        fast = msgspec.structs.replace(linear, **{"validation_coverage": 0.96, **changes})
        return stage.nothing_to_add(job, [fast], Convert()) is not None

    assert stage.nothing_to_add(job, [linear], Convert(explore=True)) is None
    assert left_out() and left_out(leak=sound)
    assert not left_out(validation_coverage=0.94) and not left_out(validation_coverage=None)
    assert not left_out(leak=msgspec.structs.replace(sound, leaks=True))
    assert not left_out(task_id="another") and not left_out(cost=40)


def test_quick_methods_leave_evaluation_its_time(tiny: Tiny, tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    now = 0.0

    def slow(what: str, done: int, total: int | None = None) -> None:
        nonlocal now
        now += 80.0 if what.startswith("training") and done == 0 else 0.0

    context = TrainingContext(Convert(explore=True), tmp_path, *tiny, slow, time.monotonic)
    jobs = jobs_of(examples, ["linear", "frozen"], context, tmp_path / "out")
    found = train_jobs(jobs, context, Deadline.after(100.0, lambda: now), [])
    assert [s.method for s in found.specialists] == ["linear"]
    (left_out,) = found.not_needed["label"]
    assert left_out.model == "frozen" and "evaluation" in left_out.note

    found = train_jobs(jobs, context, Deadline.after(10_000.0, lambda: now), [])
    assert [s.method for s in found.specialists][:2] == ["linear", "frozen"]


def in_order(
    home: Path, tiny: Tiny, plan: dict[str, list[str]], slow: str = "", seconds: float = 0.0
) -> tuple[Finetuned, list[str]]:
    """What is trained of a plan in a hundred seconds, and in which order; the clock stands still, but for what is
    `slow`."""
    curated, discovered = tiny_tasks.make(tuple(plan), 40)
    now, begun = 0.0, list[str]()

    def progress(what: str, done: int, total: int | None = None) -> None:
        nonlocal now
        found = re.match(r"(?:training|reading) (the \w+ task \(\w+\))", what)
        if found and found[1] not in begun:
            begun.append(found[1])
            now += seconds if slow and slow in what else 0.0

    finetuned = stage.run(
        curated,
        discovered,
        Selected(candidates={}, plan=plan, base_model=tiny[1]),
        Convert(explore=True),
        home=home,
        out_dir=home / "s",
        models_dir=tiny[0],
        deadline=Deadline.after(100.0, lambda: now),
        progress=progress,
    )
    return finetuned, [what.removeprefix("the ").replace(" task", "") for what in begun]


def weights_of(specialist: Specialist) -> tuple[str, dict[str, str], str]:
    """What of a specialist does not tell how long it took."""
    sums = {name: sum_ for name, sum_ in specialist.checksums.items() if "specialist.json" not in name}
    assert specialist.leak is not None and sums
    return specialist.id, sums, specialist.leak.reason


ALL = {"label": ["linear", "frozen", "lora"], "line": ["linear", "frozen", "lora"]}


def test_what_nothing_cheaper_can_answer_is_trained_before_what_only_competes(
    tiny: Tiny, tmp_path: Path
) -> None:
    together, begun = in_order(tmp_path / "both", tiny, ALL)
    assert [what for what in begun if not what.startswith("line (linear") and "line (frozen" not in what] == [
        "label (linear)",
        "line (lora)",
        "label (frozen)",
        "label (lora)",
    ]
    # each task by itself has no other order: with time enough the same is trained, to the bit
    for kind, plan in ALL.items():
        single, _ = in_order(tmp_path / kind, tiny, {kind: plan})
        mine = [s for s in together.specialists if s.task_id == kind]
        assert [weights_of(s) for s in mine] == [weights_of(s) for s in single.specialists]
        assert together.not_needed.get(kind) == single.not_needed.get(kind)


def test_what_competes_takes_no_time_from_what_nothing_else_can_answer(tiny: Tiny, tmp_path: Path) -> None:
    found, _ = in_order(tmp_path / "a", tiny, ALL, "label task (frozen)", 120.0)
    assert "line" not in found.refused and {"line-lora", "label-frozen"} <= {s.id for s in found.specialists}
    found, _ = in_order(tmp_path / "b", tiny, ALL, "line task (lora)", 101.0)
    assert {s.id for s in found.specialists if s.task_id == "label"} == {"label-linear"}
    (frozen, *_) = found.not_needed["label"]
    assert frozen.model == "frozen" and "what no cheaper one can do came first" in (frozen.note or "")


def test_a_task_is_served_where_a_specialist_could_serve_some_of_it(trained: tuple[Path, Finetuned]) -> None:
    curated, discovered = tiny_tasks.make(("label",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    job = TrainingJob(
        examples, learn_schema(examples.task.contract, ["yes", "no"]), find_method("lora"), Path(), 1, 1, ""
    )
    linear = of(trained[1], "label-linear")

    def served(**changes: object) -> bool:
        return stage.is_served(job, [msgspec.structs.replace(linear, **changes)])

    assert served(validation_coverage=0.05) and served(validation_coverage=None)
    assert not served(validation_coverage=0.04) and not served(task_id="another")
    assert linear.leak is not None
    leaking = msgspec.structs.replace(linear.leak, leaks=True)
    assert not served(leak=leaking, validation_coverage=1.0)


def test_a_card_says_what_was_done(trained: tuple[Path, Finetuned]) -> None:
    card = of(trained[1], "values-lora")
    assert card.n_train == 24 and card.seed == 0 and card.train_s > 0 and (card.tokens_per_s or 0) > 0
    assert card.prompt_tokens_before is not None and card.prompt_tokens_after is not None
    assert card.prompt_tokens_after < card.prompt_tokens_before
    assert set(card.trained_on) == {f"values-{i}" for i in range(40) if i % 10 < 6}, "train only"
    losses = [e["train_loss"] for e in card.settings["training"]["history"]]
    assert losses[-1] < losses[0]
    assert "adapter/adapter_model.safetensors" in card.checksums


def test_nothing_of_the_traffic_lies_in_clear(trained: tuple[Path, Finetuned]) -> None:
    for path in trained[0].rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not re.search(rb"LH-\d\d|@example\.org", data), path.name


def test_a_finished_specialist_is_not_trained_again(trained: tuple[Path, Finetuned], tiny: Tiny) -> None:
    home, finetuned = trained
    stamps = {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()}
    again = tiny_tasks.train(home, *tiny, KINDS, ("linear", "lora"), n=40)
    assert again == finetuned
    assert {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()} == stamps


def test_a_renamed_task_is_not_trained_again(tiny: Tiny, tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 40)
    selected = Selected(candidates={}, plan={"label": ["linear", "lora"]}, base_model=tiny[1])

    def train(name: str) -> tuple[list[Specialist], list[str]]:
        told: list[str] = []
        tasks = [msgspec.structs.replace(t, name=name) for t in discovered.tasks]
        found = stage.run(
            curated,
            msgspec.structs.replace(discovered, tasks=tasks),
            selected,
            Convert(),
            home=tmp_path,
            out_dir=tmp_path / "s",
            models_dir=tiny[0],
            deadline=Deadline.after(300),
            progress=lambda what, *a: told.append(what),
        )
        return found.specialists, told

    before, trained = train("one name")
    after, again = train("another")
    assert any("epoch" in what for what in trained) and not any("epoch" in what for what in again)
    assert [s.checksums for s in after] == [s.checksums for s in before]
    assert {s.task.name for s in after} == {"another"}
    assert {read_card(tmp_path / s.path).task.name for s in after} == {"another"}


def test_equal_seeds_give_equal_specialists_and_other_data_other_ones(tiny: Tiny, tmp_path: Path) -> None:
    one = of(tiny_tasks.train(tmp_path / "a", *tiny, ("label",), n=40), "label-lora")
    two = of(tiny_tasks.train(tmp_path / "b", *tiny, ("label",), n=40), "label-lora")
    three = of(tiny_tasks.train(tmp_path / "a", *tiny, ("label",), n=50), "label-lora")
    weights = "adapter/adapter_model.safetensors"
    assert one.checksums[weights] == two.checksums[weights]
    assert one.checksums[weights] != three.checksums[weights]


class Cut(Exception):
    """Stands for a kill."""


def test_a_killed_training_goes_on_where_it_was(tiny: Tiny, tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("values",), 40)
    selected = Selected(candidates={}, plan={"values": ["lora"]}, base_model=tiny[1])
    steps: list[str] = []

    def train(home: Path, stop_in: str) -> Finetuned:
        def progress(what: str, done: int, total: int | None = None) -> None:
            steps.append(what)
            if stop_in and stop_in in what:
                raise Cut

        return stage.run(
            curated,
            discovered,
            selected,
            Convert(),
            home=home,
            out_dir=home / "s",
            models_dir=tiny[0],
            deadline=Deadline.after(300),
            progress=progress,
        )

    whole = train(tmp_path / "whole", "")
    with pytest.raises(Cut):
        train(tmp_path / "cut", "epoch 4/")
    steps.clear()
    resumed = train(tmp_path / "cut", "")
    assert not any("epoch 1/" in s or "epoch 3/" in s for s in steps) and any("epoch 4/" in s for s in steps)
    weights = "adapter/adapter_model.safetensors"
    assert resumed.specialists[0].checksums[weights] == whole.specialists[0].checksums[weights]
    assert not list((tmp_path / "cut" / "s").glob("*.training*")), "checkpoints are cleared away"


@pytest.mark.parametrize("method", ["dora", "full"])
def test_other_methods_work_on_a_cpu(tiny: Tiny, tmp_path: Path, method: str) -> None:
    finetuned = tiny_tasks.train(tmp_path, *tiny, ("label", "values"), (method,), n=30)
    for specialist in finetuned.specialists:
        assert specialist.method == method
        kind = specialist.task_id
        check_predictor(
            load(tmp_path / specialist.path, tiny[0]),
            [tiny_tasks.example(kind, i, "test").request for i in (1, 2)],
        )


@pytest.mark.usefixtures("without_bitsandbytes")
def test_qlora_without_its_package_says_so(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="bitsandbytes is not installed"):
        tiny_tasks.train(tmp_path, *tiny, ("values",), ("qlora",), n=30)


def test_without_time_a_task_is_refused_with_the_numbers(tiny: Tiny, tmp_path: Path) -> None:
    finetuned = tiny_tasks.train(tmp_path, *tiny, ("values",), n=40, minutes=0)
    assert finetuned.specialists == []
    assert "24 examples" in finetuned.refused["values"] and "0 s are left" in finetuned.refused["values"]


def test_a_changed_weight_file_is_not_loaded(tiny: Tiny, tmp_path: Path) -> None:
    (specialist,) = tiny_tasks.train(tmp_path, *tiny, ("label",), ("linear",), n=40).specialists
    folder = tmp_path / specialist.path
    with (folder / "linear.npz").open("ab") as out:
        out.write(b"x")
    with pytest.raises(Tampered, match=r"linear\.npz"):
        load(folder, tiny[0])


def test_a_specialist_of_another_base_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    (specialist,) = tiny_tasks.train(tmp_path, *tiny, ("line",), n=30).specialists
    card = tmp_path / specialist.path / "specialist.json"
    card.write_bytes(msgspec.json.encode(msgspec.structs.replace(specialist, base_sha256="0" * 64)))
    with pytest.raises(BadInput, match="not the model"):
        load(tmp_path / specialist.path, tiny[0])


@pytest.mark.parametrize("text", [None, "{", json.dumps({"id": 1})])
def test_a_folder_without_a_readable_card_is_bad_input(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "specialist.json").write_text(text)
    with pytest.raises(BadInput):
        load(tmp_path, tmp_path)


def test_a_task_without_trainable_examples_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 40)
    barred = [msgspec.structs.replace(e, trainable=False) for e in curated.examples]
    finetuned = stage.run(
        msgspec.structs.replace(curated, examples=barred),
        discovered,
        Selected(candidates={}, plan={"label": ["linear"]}, base_model=tiny[1]),
        Convert(),
        home=tmp_path,
        out_dir=tmp_path / "s",
        models_dir=tiny[0],
        deadline=Deadline.after(10),
        progress=silent,
    )
    assert finetuned.specialists == [] and "trained on" in finetuned.refused["label"]


def test_the_action_counts_the_same_with_and_without_arguments(tiny: Tiny) -> None:
    """Else a mixed site learns to leave too often: "leave" has no arguments that share its weight."""
    curated, discovered = tiny_tasks.make(("action",), 60)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    schema = learn_schema(examples.task.contract, [example.answer for example in examples.train])
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    seen = set()
    for example, row in zip(
        examples.train, encode_for_decoder(base, examples.train, schema, 256), strict=True
    ):
        assert row is not None and schema.action_field is not None
        n_decided = sum(s.allowed is not None and s.weight == 1.0 for s in row.scored)
        rest = sum(s.weight for s in row.scored) - n_decided
        assert n_decided >= 1 and rest == pytest.approx(
            0.0 if example.answer == DEFER else min(1.0, round(rest))
        )
        seen.add(example.answer == DEFER)
    assert seen == {True, False}


@pytest.mark.parametrize("seconds", [30.0, 300.0, 1000.0])
def test_no_step_is_begun_that_would_end_too_late(tiny: Tiny, tmp_path: Path, seconds: float) -> None:
    """On a clock that only steps move: each takes ten seconds."""
    curated, discovered = tiny_tasks.make(("values",), 60)
    now, n_steps = 0.0, 0

    def progress(what: str, done: int, total: int | None = None) -> None:
        nonlocal now, n_steps
        if "epoch" in what:
            now, n_steps = now + 10.0, n_steps + 1

    found = stage.run(
        curated,
        discovered,
        Selected(candidates={}, plan={"values": ["lora"]}, base_model=tiny[1]),
        Convert(),
        home=tmp_path,
        out_dir=tmp_path / "s",
        models_dir=tiny[0],
        deadline=Deadline.after(seconds, lambda: now),
        progress=progress,
    )
    assert n_steps > 0 and now <= seconds, found.refused
    history = found.specialists[0].settings["training"]["history"]
    assert (seconds == 30.0) == (len(history) == 1)
