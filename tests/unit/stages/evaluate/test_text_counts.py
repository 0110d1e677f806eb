"""What the report needs of texts is counted in one pass; of a large task few texts are kept."""

from __future__ import annotations

import pytest

from deputize.core.artifacts import Curated
from deputize.core.records import Contract, Example, PromptRecipe, Request, Split, Task
from deputize.scoring.costs import llm_spend, load_prices
from deputize.stages.evaluate import text_counts
from deputize.stages.evaluate.text_counts import TaskTexts, read_texts

PRICES = load_prices()
TASK = Task(
    id="t",
    name="check",
    contract=Contract(kind="label", labels=["yes", "no"]),
    recipe=PromptRecipe(),
    keys=["k"],
)
SPLITS: tuple[Split, ...] = ("train", "validation", "calibration", "test")


def example(i: int, text: str = "") -> Example:
    return Example(
        call_id=f"c{i}",
        request=Request(messages=[{"role": "user", "content": text or f"Is order {'x' * i} late?"}]),
        response={"role": "assistant", "content": "yes"},
        audience="human" if i == 7 else "code",
        site="s",
        episode=f"e{i}",
        group=f"e{i}",
        split=SPLITS[i % 4],
        model="gpt-4o",
    )


def test_costs_and_repeats_are_those_of_all_calls_for_code() -> None:
    calls = [*(example(i) for i in range(12)), example(13, "Is order xx late?")]
    texts = TaskTexts.of(TASK, calls, PRICES)
    assert len(texts.examples) == 13
    assert texts.spend.usd == pytest.approx(
        sum(llm_spend(e, PRICES).usd for e in calls if e.audience == "code")
    )
    assert texts.repeated.n_exact == texts.repeated.n_exact_alike == 1


def test_texts_are_kept_of_train_and_test_and_of_some_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_counts, "MOST_TRIED", 2)
    kept = [e for e in TaskTexts.of(TASK, map(example, range(40)), PRICES).examples if e.request.messages]
    assert [e.split for e in kept].count("test") == 2
    assert [e.split for e in kept].count("train") == 10 and len(kept) == 12


def test_calls_of_no_task_are_counted_apart() -> None:
    whole = Curated(
        examples=[example(i) for i in range(8)], sites=[], n_calls=8, n_episodes=8, n_code_calls=7
    )
    curated, found = read_texts(whole, [TASK], {f"c{i}": "t" for i in range(4)}, PRICES)
    assert [e.call_id for e in curated.examples] == [f"c{i}" for i in range(8)]
    assert [len(found[id].examples) for id in ("t", "")] == [4, 4]
    assert found[""].spend.usd > 0 and found[""].repeated.n_exact == 0
    assert not any(e.request.messages for e in found[""].examples)
