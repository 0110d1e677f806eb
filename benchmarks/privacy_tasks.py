"""What de-identification costs a task: specialists trained on de-identified calls compared with ones trained on raw
calls.

Both learn from the same examples of the same split, by the same method and seed; only the texts differ. Both
are asked the same unseen calls. The live path shows a specialist raw requests, so that is the comparison that counts;
the de-identified specialist is also asked de-identified requests, which is what evaluation measures. Right means: the
recorded answer under the task's contract, raw for raw requests and de-identified for de-identified ones.

  CLINC150    labelled utterances, hardly any personal data: does touching a few of them do harm? (linear)
  help desk   the simulated agent of the demo: triage, policy, next action, and copying order, product, date and e-mail
              address out of letters full of personal data (linear; the copying and the policy check by LoRA too)
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deputize.core.artifacts import Curated, Selected
from deputize.core.config import Convert
from deputize.core.contracts import agree, answer_of, commonest_answer
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Answer, Call, Example, Task
from deputize.demo import teacher, traffic, world
from deputize.locations import models_path
from deputize.scoring.intervals import clopper_pearson, effective_n, grouped
from deputize.specialists import catalogue
from deputize.specialists.predictor import SpecialistPredictor, load
from deputize.stages.cluster.run import run as cluster
from deputize.stages.collect.audience import infer_sites
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.curate.run import run as curate
from deputize.stages.finetune.run import run as finetune
from deputize.testing import ScriptedUpstream, running

KEY = b"benchmark key of 32 bytes length"
MODEL = "SmolLM2-135M-Instruct"
SPLIT = (0.45, 0.05, 0.02, 0.48)
"""Calibration is not needed here; more to test on is."""
LORA_S = 240.0
"""Seconds of training per specialist; both get the same passes unless the machine is slower than that."""
MAX_READ = 160
"""Test calls that a language model is asked."""


def clinc(data: Path, n: int, seed: int) -> list[Call]:
    """Some calls of CLINC150."""
    calls = [c for c in read_calls(data / "intent_clinc150.jsonl.gz") if isinstance(c, Call)]
    return random.Random(seed).sample(calls, n)


def help_desk(n_episodes: int, seed: int) -> list[Call]:
    """Calls of the simulated agent with the scripted teacher; no gateway in between."""

    async def record() -> list[Any]:
        async with running(ScriptedUpstream(teacher.script(seed))) as upstream:
            tickets = [world.ticket(seed, i) for i in range(n_episodes)]
            return await traffic.run_episodes(upstream.url + "/v1", tickets, feedback=False)

    return [
        Call(
            id=f"d{n}",
            agent="help desk (simulated)",
            site=one.site,
            episode=one.episode,
            messages=one.messages,
            tools=one.tools,
            response=one.response,
        )
        for n, one in enumerate(asyncio.run(record()))
    ]


def with_raw_texts(curated: Curated, calls: Sequence[Call]) -> Curated:
    """The same examples with the texts as they were."""
    by_id = {c.id: c for c in calls}
    examples = [
        msgspec.structs.replace(
            e, request=by_id[e.call_id].request(), response=by_id[e.call_id].response, repeated=[]
        )
        for e in curated.examples
    ]
    return msgspec.structs.replace(curated, examples=examples)


def asked(
    predictor: SpecialistPredictor, examples: Sequence[Example], task: Task
) -> tuple[list[Answer | None], np.ndarray[Any, Any]]:
    """The answers, and 1 where one is the recorded one."""
    answers = [p.answer for p in predictor.predict([e.request for e in examples])]
    pairs = zip(answers, examples, strict=True)
    return answers, np.array(
        [agree(a, answer_of(e.response, task.contract), task.contract) for a, e in pairs], dtype=float
    )


def paired_interval(
    difference_N: np.ndarray[Any, Any], groups_N: Sequence[str], level: float = 0.95
) -> tuple[float, float]:
    """Interval of a mean of -1, 0 and 1: exact ones of the shares won and lost, at half the risk each, so conservative;
    it stays open where no difference was seen at all."""
    bounds = []
    for sign in (1, -1):
        share = grouped(difference_N == sign, groups_N)
        n = effective_n(share)
        bounds.append(clopper_pearson(share.mean * n, n, 1 - (1 - level) / 2))
    (won_low, won_high), (lost_low, lost_high) = bounds
    return won_low - lost_high, won_high - lost_low


def compare(
    name: str, calls: Sequence[Call], methods: dict[str, str], level: str, seed: int
) -> list[dict[str, Any]]:
    """One row per task.

    Args:
        name: of the log.
        calls: the log.
        methods: part of a task's name -> method; "" is any other task. Tasks that match none are left out.
        level: of privacy.
        seed: of split and training.
    """
    config = Convert.model_validate({"seed": seed, "privacy": level, "split": SPLIT, "models": (MODEL,)})
    curated = curate(calls, infer_sites(calls), config, key=KEY)
    raw = with_raw_texts(curated, calls)
    found = cluster(curated, config)
    plan: dict[str, list[str]] = {}
    for task in found.tasks:
        method = next((r for part, r in methods.items() if part and part in task.name), methods.get("", ""))
        plan[task.id] = [method] if method else []
    selected = Selected(candidates={}, plan=plan, base_model=MODEL)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        trained: dict[str, dict[str, SpecialistPredictor]] = {}
        for side, examples in (("clean", curated), ("raw", raw)):
            home = Path(folder) / side
            done = finetune(
                examples,
                found,
                selected,
                config,
                home=home,
                out_dir=home / "specialists",
                models_dir=models_path(),
                deadline=Deadline.after(LORA_S),
                progress=silent,
            )
            trained[side] = {s.task_id: load(home / s.path, models_path()) for s in done.specialists}
        for task in found.tasks:
            if task.id in trained["clean"] and task.id in trained["raw"]:
                rows.append(_row(name, level, task, found.assignment, curated, raw, trained))
    return rows


def _row(
    name: str,
    level: str,
    task: Task,
    assignment: dict[str, str],
    curated: Curated,
    raw: Curated,
    trained: dict[str, dict[str, SpecialistPredictor]],
) -> dict[str, Any]:
    method = trained["raw"][task.id].specialist.method
    at = [
        i
        for i, e in enumerate(curated.examples)
        if e.split == "test" and assignment.get(e.call_id) == task.id
    ]
    if method != "linear":
        at = at[:MAX_READ]
    clean_test, raw_test = [curated.examples[i] for i in at], [raw.examples[i] for i in at]
    groups = [e.group for e in clean_test]
    _, clean_on_clean = asked(trained["clean"][task.id], clean_test, task)
    clean_answers, clean_on_raw = asked(trained["clean"][task.id], raw_test, task)
    raw_answers, raw_on_raw = asked(trained["raw"][task.id], raw_test, task)
    low, high = paired_interval(clean_on_raw - raw_on_raw, groups)
    changed = [
        c.request != r.request or c.response != r.response for c, r in zip(clean_test, raw_test, strict=True)
    ]
    training = [e for e in raw.examples if e.split == "train" and assignment.get(e.call_id) == task.id]
    answers = (answer_of(e.response, task.contract) for e in training)
    majority = commonest_answer((a for a in answers if a is not None), task.contract)
    return {
        "log": name,
        "level": level,
        "task": task.name,
        "method": method,
        "trained on": len(training),
        "tested": len(at),
        "changed by curation": float(np.mean(changed)),
        "majority": float(
            np.mean(
                [
                    agree(
                        majority,
                        answer_of(e.response, task.contract),
                        task.contract,
                    )
                    for e in raw_test
                ]
            )
        ),
        "raw": float(raw_on_raw.mean()),
        "de-identified, asked raw": float(clean_on_raw.mean()),
        "difference, points": 100 * float((clean_on_raw - raw_on_raw).mean()),
        "interval": f"[{100 * low:.1f}, {100 * high:.1f}]",
        "answers that differ": float(
            np.mean([a != b for a, b in zip(clean_answers, raw_answers, strict=True)])
        ),
        "de-identified, asked de-identified": float(clean_on_clean.mean()),
    }


PARTS = ("clinc", "desk", "policy", "lora")


def measure(
    data: Path,
    seed: int,
    parts: Sequence[str] = PARTS,
    *,
    n_clinc: int = 8000,
    n_episodes: int = 1000,
    lora_episodes: int = 300,
) -> list[dict[str, Any]]:
    """Every comparison, one row each; `parts` of PARTS."""
    rows = []
    if "clinc" in parts:
        utterances = clinc(data, n_clinc, seed)
        for level in ("standard", "strict"):
            rows += compare("CLINC150", utterances, {"": "linear"}, level, seed)
    if "desk" in parts:
        desk = help_desk(n_episodes, seed)
        for level in ("standard", "strict"):
            rows += compare("help desk (simulated)", desk, {"": "linear"}, level, seed)
    for part, task in (("policy", "policy check"), ("lora", "order_id")):
        if part in parts and catalogue.is_fetched(MODEL, models_path()):
            desk = help_desk(lora_episodes, seed)
            rows += compare("help desk (simulated)", desk, {task: "lora"}, "standard", seed)
    return rows
