"""Small logs, with choices made by cross-fitting on train and, beside it, on validation: what is served, and how
often that is false.

The texts are simulated, the truth is known from more of them; groups, splits, training and certificates are the
package's own. One log of independent calls, and one whose episodes hold several calls that are alike.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from benchmarks.recorded_tasks import CopiedCalls
from benchmarks.validity import Outcomes
from deputize.core.artifacts import Curated, Discovered, Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Call, Contract, Example, PromptRecipe, Task
from deputize.scoring.certificates import units_needed
from deputize.scoring.ledger import level
from deputize.specialists.predictor import load
from deputize.stages.curate.first_pass import summarise
from deputize.stages.curate.groups import split_calls
from deputize.stages.curate.split import shares_by_need
from deputize.stages.evaluate.population import Population, PopulationCall
from deputize.stages.evaluate.run import run as evaluate
from deputize.stages.finetune.run import run as finetune

SIZES = (150, 240, 400, 600)
"""Episodes of a log."""
CONFIG = Convert(methods=("linear",), epsilon=0.05, delta=0.05, minutes=20)
LABELS = ("billing", "delivery", "return", "account", "complaint")
N_WORDS, N_COMMON, LENGTH = 40, 300, 14
"""Words that speak for each label, words that speak for none, words of a letter."""
CLEAR = (0.1, 0.6)
"""Share of a letter's words that speak for its label: uniform between these."""
NOISE = 0.01
"""Share of the LLM's answers that are another label."""
N_TRUTH = 3000
"""Fresh calls that the true loss is measured on."""
SYSTEM = "You sort letters for a shop. Answer with one of: " + ", ".join(LABELS) + "."
TASK = Task(
    id="sort",
    name="sort letters",
    contract=Contract(kind="label", labels=list(LABELS)),
    recipe=PromptRecipe(constant_lines=[SYSTEM]),
    keys=["sort"],
    n_calls=1,
    n_episodes=1,
)


@dataclass(frozen=True)
class Language:
    """The words of one simulated shop."""

    of_label: dict[str, list[str]]
    common: list[str]


def _language(rng: Generator) -> Language:
    made: set[str] = set()
    while len(made) < N_WORDS * len(LABELS) + N_COMMON:
        made.add("".join(rng.choice(list("bdfgklmnprst")) + rng.choice(list("aeiou")) for _ in range(3)))
    words = sorted(made)
    rng.shuffle(words)
    parts = {label: words[n * N_WORDS : (n + 1) * N_WORDS] for n, label in enumerate(LABELS)}
    return Language(parts, words[N_WORDS * len(LABELS) :])


def _calls(rng: Generator, language: Language, n_episodes: int, size: int, name: str) -> list[Call]:
    """Calls in episodes; those of an episode have one label, are as clear as each other, and share half of their words."""
    out = []
    for episode in range(n_episodes):
        label, clear = str(rng.choice(LABELS)), rng.uniform(*CLEAR)
        first = _letter(rng, language, label, clear)
        for step in range(size):
            own = _letter(rng, language, label, clear)
            text = " ".join([*first[: LENGTH // 2], *own[LENGTH // 2 :]] if size > 1 else own)
            said = label if rng.random() > NOISE else str(rng.choice(LABELS))
            out.append(
                Call(
                    id=f"{name}{episode}-{step}",
                    agent="shop",
                    site="sort",
                    episode=f"{name}{episode}",
                    model="llm",
                    audience="code",
                    messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
                    response={"role": "assistant", "content": said},
                )
            )
    return out


def _letter(rng: Generator, language: Language, label: str, clear: float) -> list[str]:
    return [
        str(rng.choice(language.of_label[label] if rng.random() < clear else language.common))
        for _ in range(LENGTH)
    ]


def _shares_of_before(calls: Sequence[Call], config: Convert) -> tuple[float, float, float, float]:
    """The shares that a log of this size is split by, with validation as a split of its own."""
    needed = units_needed(config.epsilon, level(0, config.delta))
    return shares_by_need(calls, {call.id: call.episode for call in calls}, needed)


def _certified(
    calls: Sequence[Call], truth: Sequence[Call], config: Convert
) -> tuple[float | None, float, float]:
    """(threshold or None, share served, true loss over all calls) of the log's one task."""
    summaries = [summarise(call, call.site, "") for call in calls]
    splits = split_calls(summaries, [], config)
    examples = [
        Example(
            call_id=call.id,
            request=call.request(),
            response=call.response or {},
            audience="code",
            site=call.site,
            episode=call.episode,
            group=splits.group_of[call.id],
            split=splits.of(call),
        )
        for call in calls
    ]
    curated = Curated(
        examples=examples, sites=[], n_calls=len(calls), n_episodes=len(calls), n_code_calls=len(calls)
    )
    discovered = Discovered(
        tasks=[TASK], assignment=dict.fromkeys([c.id for c in calls], TASK.id), keyspaces=[]
    )
    selected = Selected(candidates={}, plan={TASK.id: ["linear"]}, base_model="")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        finetuned = finetune(
            curated,
            discovered,
            selected,
            config,
            home=home,
            out_dir=home / "specialists",
            models_dir=home,
            deadline=Deadline.after(None),
            progress=silent,
        )
        unread = {*finetuned.unread_reserve}
        measured = [_measured(e, TASK.id in unread) for e in examples if e.split != "train"]
        (result,) = evaluate(
            curated,
            discovered,
            selected,
            finetuned,
            Population({TASK.id: measured}, CopiedCalls({call.id: call for call in calls})),
            config,
            home=home,
            load=lambda path: load(path, home),
        )
        found = result.certificate
        if found is None or result.refusal_reason:
            return None, 0.0, 0.0
        path = next(s.path for s in finetuned.specialists if s.id == result.chosen)
        said = load(home / path, home).predict([call.request() for call in truth])
    served = np.array([p.answer is not None and p.confidence >= found.threshold for p in said])
    wrong = np.array(
        [p.answer != c.response["content"] for p, c in zip(said, truth, strict=True) if c.response]
    )
    return found.threshold, float(served.mean()), float((served & wrong).mean())


def _measured(example: Example, is_unread: bool) -> PopulationCall:
    split = example.split
    if split == "reserve":
        split = "calibration" if is_unread else "validation"
    return PopulationCall(example.call_id, example.episode, example.group, "code", split, True, 0.001, False)


def rows(n_draws: int, seed: int) -> list[dict[str, Any]]:
    """One row for each size, length of episodes and way to choose; both ways see the same logs."""
    out = []
    for size in (1, 4):
        for n in SIZES:
            found = {"validation": Outcomes(), "cross-fitting": Outcomes()}
            for draw in range(n_draws):
                rng = np.random.default_rng([seed, n, size, draw])
                language = _language(rng)
                calls = _calls(rng, language, n, size, "e")
                truth = _calls(rng, language, N_TRUTH // size, size, "t")
                config = CONFIG.model_copy(update={"seed": seed + draw})
                before = config.model_copy(update={"split": _shares_of_before(calls, config)})
                found["cross-fitting"].add(*_certified(calls, truth, config))
                found["validation"].add(*_certified(calls, truth, before))
            head = {"episodes (simulated)": n, "calls of each": size}
            out += [
                {**head, "choices by": name, **o.row(CONFIG.epsilon, CONFIG.delta)}
                for name, o in found.items()
            ]
            print(f"{n} episodes of {size} calls: {n_draws} logs", flush=True)
    return out
