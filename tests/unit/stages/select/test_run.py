"""Selection on tiny tasks: filters, probes, refusals, plans."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests import tiny_tasks
from tests.simulated_lists import CONTRACT, RECIPE, TOOLS, call_of, example_of

from deputize.core.artifacts import Curated, Discovered, Selected
from deputize.core.config import Convert
from deputize.core.errors import BadInput, MissingExtra
from deputize.core.progress import silent
from deputize.core.records import Contract, PromptRecipe, Split, Task
from deputize.specialists import model_download
from deputize.stages.finetune.methods.registry import find_methods
from deputize.stages.select import probe
from deputize.stages.select import run as stage

Tiny = tuple[Path, str]


def select(tiny: Tiny, *kinds: str, n: int = 80, **settings: object) -> Selected:
    curated, discovered = tiny_tasks.make(kinds, n)
    config = Convert.model_validate({"models": (tiny[1],), "minutes": 2, "explore": True, **settings})
    return stage.run(
        curated, discovered, config, methods=find_methods(config.methods), models_dir=tiny[0], progress=silent
    )


@pytest.fixture(scope="module")
def selected(tiny: Tiny) -> Selected:
    return select(tiny, *tiny_tasks.CONTRACTS)


def test_plans_begin_with_the_cheapest_method_that_can_do_the_job(selected: Selected, tiny: Tiny) -> None:
    assert selected.base_model == tiny[1]
    assert selected.refused == {}
    for kind in ("label", "closed", "action"):
        assert selected.plan[kind][0] == "linear"
    for kind in ("values", "line"):
        assert selected.plan[kind] == ["lora"]


def test_every_probe_is_in_the_table_with_its_size(selected: Selected) -> None:
    rows = {c.method: c for c in selected.candidates["values"] if c.method}
    assert set(rows) == {"majority", "linear, decision alone", "base prompt", "few-shot"}
    assert rows["majority"].n_probe == rows["linear, decision alone"].n_probe == 16
    assert all(0 <= (c.probe_accuracy or 0) <= 1 for c in rows.values())


def test_untuned_models_are_probed_only_where_one_may_be_tuned(selected: Selected, tiny: Tiny) -> None:
    # so few groups could carry a claim about a third of the calls only
    routine = select(tiny, "closed", explore=False, epsilon=0.34, minutes=20)
    assert routine.plan["closed"] == ["linear"]
    assert routine.linear_settings["closed"][0] >= 2, "the probe read all of train"
    assert selected.plan["closed"] == ["linear", "frozen", "lora"], "to explore is to train all"
    rows = {c.method: c for c in routine.candidates["closed"] if c.method}
    assert set(rows) == {"majority", "linear"} and rows["linear"].n_probe == 16
    assert (rows["linear"].probe_accuracy or 0) > (rows["majority"].probe_accuracy or 0)


def test_where_a_classifier_cannot_write_the_answer_its_decision_is_probed_alone(selected: Selected) -> None:
    rows = {c.method: c for c in selected.candidates["values"]}
    assert (rows["linear, decision alone"].probe_accuracy or 0) > 0.8
    assert not any(c.method.startswith("linear") for c in selected.candidates["line"]), (
        "nothing is chosen there"
    )


def test_calibration_and_test_are_never_read(selected: Selected, tiny: Tiny) -> None:
    # `selected` has measured how fast the model reads, so both runs know it
    curated, discovered = tiny_tasks.make(("label", "values"))
    config = Convert(models=(tiny[1],), minutes=0.001, explore=True)
    spoilt = [
        msgspec.structs.replace(e, response={"role": "assistant", "content": "spoilt"})
        if e.split in ("calibration", "test")
        else e
        for e in curated.examples
    ]
    one = stage.run(
        curated, discovered, config, methods=find_methods(config.methods), models_dir=tiny[0], progress=silent
    )
    two = stage.run(
        msgspec.structs.replace(curated, examples=spoilt),
        discovered,
        config,
        methods=find_methods(config.methods),
        models_dir=tiny[0],
        progress=silent,
    )
    assert one == two


def test_small_tasks_are_refused_with_the_numbers(tiny: Tiny) -> None:
    found = select(tiny, "label", n=50)
    assert found.refused == {"label": "50 calls; at least 60 are needed to train and to certify"}
    assert found.plan == {"label": []} and found.too_few_groups == ["label"]
    few = select(tiny, "label", n=30, min_calls=1)
    assert few.refused["label"].startswith("18 answers to learn from")


def test_a_task_that_no_allowed_method_can_answer_is_refused_with_their_names(tiny: Tiny) -> None:
    found = select(tiny, "line", "label", methods=("linear", "frozen"))
    assert found.plan["line"] == [] and found.plan["label"]
    assert found.refused == {
        "line": "none of the methods that may be used (linear, frozen) can give this task's answers"
    }


def test_long_prose_is_refused() -> None:
    task = Task(
        id="t", name="t", contract=Contract(kind="text"), recipe=tiny_tasks.task("line").recipe, keys=[]
    )
    why = stage.refusal(task, 100, [f"{i} " + "words and " * 90 for i in range(50)], 60)
    assert "free text" in why and "100 % distinct" in why
    assert stage.refusal(task, 100, [f"short {i}" for i in range(50)], 60) == ""


def test_where_the_llm_never_serves_there_is_nothing_to_take_over() -> None:
    assert "never answered" in stage.refusal(tiny_tasks.task("action"), 100, ["<defer>"] * 40, 60)


def test_a_model_that_cannot_be_used_is_a_clear_error(tiny: Tiny) -> None:
    with pytest.raises(BadInput, match="No model is called"):
        select(tiny, "label", models=("nonsense-model",))
    with pytest.raises(BadInput, match="non-commercial"):
        select(tiny, "label", models=("xLAM-2-8B",))
    with pytest.raises(MissingExtra, match="models fetch"):
        select(tiny, "label", models=("SmolLM2-360M-Instruct",))


def test_a_hidden_task_is_never_trained() -> None:
    task = Task(
        id="t1",
        name="n",
        contract=Contract(kind="label", labels=["a"]),
        recipe=PromptRecipe(),
        keys=["k"],
        hidden=True,
    )
    assert "hidden by a person" in stage.refusal(task, 10_000, ["a"] * 5_000, 60)


def test_a_task_that_cannot_be_certified_is_not_trained_unless_it_is_to_be_explored(tiny: Tiny) -> None:
    found = select(tiny, "label", explore=False)
    assert found.plan == {"label": []} and found.refused["label"].startswith(
        "not trained, since it could not"
    )
    assert "80 independent episodes give about 8 calibration units; 63 are needed" in found.refused["label"]
    assert "`--explore`" in found.refused["label"] and found.too_few_groups == ["label"]
    assert {c.method for c in found.candidates["label"]} <= {"majority", ""}, "nothing was probed"
    explored = select(tiny, "label")
    assert explored.plan["label"] and explored.refused == {}
    assert not explored.feasibility["label"].possible and not found.feasibility["label"].possible
    # a language model would read what a small log keeps in reserve
    assert explored.feasibility["label"].n_more_groups == 57 and "lora" in explored.plan["label"]
    assert found.feasibility["label"].n_more_groups == 31
    enough = select(tiny, "label", explore=False, epsilon=0.34)
    assert enough.plan["label"] and enough.feasibility["label"].possible


def test_where_only_the_reserve_makes_a_claim_possible_nothing_is_planned_that_reads_it(tiny: Tiny) -> None:
    curated, discovered = tiny_tasks.make(("closed", "line"), 112)
    counts: dict[Split, int] = {"train": 37, "reserve": 12, "calibration": 52, "test": 11}
    splits = [split for split, n in counts.items() for _ in range(n)]
    examples = [
        msgspec.structs.replace(e, split=splits[i % 112], group=f"g{i}")
        for i, e in enumerate(curated.examples)
    ]
    curated = msgspec.structs.replace(curated, examples=examples)
    config = Convert(models=(tiny[1],), minutes=2)
    methods = find_methods(config.methods)
    found = stage.run(curated, discovered, config, methods=methods, models_dir=tiny[0], progress=silent)
    assert found.plan["closed"] and not {"lora", "line"} & {*found.plan["closed"]}
    assert found.feasibility["closed"].possible and found.feasibility["closed"].n_units == 64
    notes = {c.model: c.note for c in found.candidates["closed"] if c.note}
    assert "it reads the reserve, without which" in notes["lora"]
    assert found.plan["line"] == [] and not found.feasibility["line"].possible
    assert "about 52 calibration units (64 where no language model is tuned)" in found.refused["line"]


def test_all_probes_together_keep_their_share_of_the_time(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, fits = [0.0], list[int]()

    def slow(train: list[probe.Pair], validation: list[probe.Pair], *args: object, **more: object) -> object:
        now[0] += 0.02 * len(train)
        fits.append(len(train))
        return probe.LinearProbe(probe.ProbeResult(0.5, len(validation)), None, False)

    monkeypatch.setattr(probe, "_linear", slow)
    monkeypatch.setattr(stage, "_untuned", lambda *args: now.__setitem__(0, now[0] + args[4]) or [])
    curated, discovered = tiny_tasks.make(("label", "closed", "action"), 600)
    config = Convert(models=(tiny[1],), minutes=1.0, explore=True)
    methods = find_methods(config.methods)

    def seconds(minutes: float) -> float:
        began = now[0]
        stage.run(
            curated,
            discovered,
            config.model_copy(update={"minutes": minutes}),
            methods=methods,
            models_dir=tiny[0],
            progress=silent,
            clock=lambda: now[0],
        )
        return now[0] - began

    assert seconds(5.0) <= stage.PROBE_SHARE * 5.0 * 60 and max(fits) > 3 * probe.FIRST_FIT, (
        "time is used where there is some"
    )
    fits.clear()
    # 6 s for three tasks of 3 s each: the first takes its part, the last a fit of the least size
    assert seconds(1.0) <= 1.2 * stage.PROBE_SHARE * 60
    fits.clear()
    assert seconds(0.01) <= 3 * 0.02 * probe.FIRST_FIT + 0.01 and max(fits) <= probe.FIRST_FIT


@pytest.mark.parametrize("asked", [("one", "two", "three"), ("auto",)])
def test_a_race_decides_between_several_models_and_says_why_each_lost(
    asked: tuple[str, ...], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        model_download.add(name, tiny[0] / tiny[1], tmp_path)
    curated, discovered = tiny_tasks.make(("label",), 80)
    config = Convert(models=asked, minutes=20, explore=True)
    monkeypatch.setattr(stage, "_untuned", lambda candidate, *args: [candidate])
    raced: list[tuple[str, int]] = []

    def tuner(model: str, task: Task, n_examples: int, seconds: float) -> float | None:
        raced.append((model, n_examples))
        return {"one": 0.4, "two": 0.9, "three": 0.5}[model]

    def select_with(tuner: stage.Tuner | None) -> Selected:
        return stage.run(
            curated,
            discovered,
            config,
            methods=find_methods(config.methods),
            models_dir=tmp_path,
            progress=silent,
            tuner=tuner,
        )

    found = select_with(tuner)
    assert found.base_model == "two" and len(raced) == 5, "three in the first round, two in the second"
    notes = {c.model: c.note for c in found.candidates["label"]}
    assert notes["two"] == "" and notes["one"].startswith("lost round 1 of the race: 40 %")
    assert "lost round 2" in notes["three"] and notes["three"].endswith("(task the label task)")
    by_probe = select_with(None)
    notes = {c.model: c.note for c in by_probe.candidates["label"]}
    assert all(notes[name] for name in {"one", "two", "three"} - {by_probe.base_model})


def test_a_task_whose_requests_list_their_own_tools_is_for_methods_that_read_lists(tiny: Tiny) -> None:
    made = [example_of(call_of(i, TOOLS[:12]), "train" if i % 4 else "validation") for i in range(80)]
    task = Task(id="t", name="call a tool", contract=CONTRACT, recipe=RECIPE, keys=["k"])
    curated = Curated(examples=made, sites=[], n_calls=80, n_episodes=80, n_code_calls=80)
    discovered = Discovered(tasks=[task], keyspaces=[], assignment={e.call_id: "t" for e in made})
    config = Convert(models=(tiny[1],), minutes=2, explore=True)
    found = stage.run(
        curated, discovered, config, methods=find_methods(["auto"]), models_dir=tiny[0], progress=silent
    )
    assert found.plan["t"] == ["listed"] and found.refused == {}
    writing = find_methods(["auto", "listed_lora"])
    found = stage.run(curated, discovered, config, methods=writing, models_dir=tiny[0], progress=silent)
    assert found.plan["t"] == ["listed", "listed_lora"]
    others = find_methods(["linear", "lora"])
    without = stage.run(curated, discovered, config, methods=others, models_dir=tiny[0], progress=silent)
    assert without.plan["t"] == []
