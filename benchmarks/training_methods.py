"""Every training method on small samples of recorded logs: `python -m benchmarks.training_methods ../shared/data
--json OUT`.

For each log the same calls to learn from, to stop by and to be judged on, split by its independent units; the measure
is agreement with the answer of the log's LLM on calls that were in no split before. Each method is a process of its
own, with one thread, so that its seconds of training (of the clock and of the processor) and its peak memory are its
own. `majority` and `linear` stand beside them. Rows of methods that find nothing to learn from in a log say so.
`on_policy_distillation` gets a teacher that was tuned on the same calls before (benchmarks/own_teacher.py); its
processor seconds count what it was asked, not how it was tuned.

`--order short` trains from short examples to long ones in each pass, instead of in random order.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import own_teacher, table
from benchmarks.training import MODEL
from deputize.core.config import Convert
from deputize.core.contracts import agree
from deputize.core.errors import DeputizeError
from deputize.core.progress import silent
from deputize.core.records import Contract, PromptRecipe, Task
from deputize.locations import models_path
from deputize.scoring.intervals import coverage_at
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune import trainer
from deputize.stages.finetune.company import with_company
from deputize.stages.finetune.encode import MAX_TOKENS
from deputize.stages.finetune.examples import TrainingExample, TrainingSet
from deputize.stages.finetune.methods.base import Trained, TrainingContext
from deputize.stages.finetune.run import jobs_of

METHODS = [
    "linear",
    "frozen",
    "lora",
    "lora_from_head",
    "token_distillation",
    "multitask",
    "rslora",
    "minifinetuning",
    "dora",
    "dpo",
    "qlora",
    "full",
    "on_policy_distillation",
]
ON_POLICY, TEACHER = "on_policy_distillation", "teacher"
RISKS = (0.05, 0.10)


@dataclass(frozen=True)
class Row:
    """One answer of the log's LLM."""

    unit: str
    text: str
    answer: str
    success: bool


def tweets(folder: Path) -> list[Row]:
    """Sentiment of a tweet by gpt-3.5-turbo, with and without examples in its prompt: two answers to each tweet."""
    with gzip.open(folder / "tweeteval_sentiment_gpt35.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Row(
            row["run_id"],
            str(row["messages"][-1]["content"]).strip(),
            str(row["response"]["content"]),
            bool((row.get("outcome") or {}).get("success")),
        )
        for row in rows
    ]


def aspects(folder: Path) -> list[Row]:
    """Categories and polarities in a sentence of a restaurant review by gemma3:27b, as one line; five answers to each."""
    with gzip.open(folder / "absa_rest_gemma3_twins.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    out = []
    for row in rows:
        if row.get("answer") and not row.get("attempt"):
            said = "; ".join(sorted({f"{one[1]} {one[2]}" for one in row["answer"]}))
            text = (
                str(row["messages"][-1]["content"])
                .rpartition("Text: ")[2]
                .removesuffix("\nSentiment Elements:")
            )
            out.append(Row(row["run_id"], text, said, bool((row.get("outcome") or {}).get("success"))))
    return out


LOGS = {"tweets": tweets, "aspects": aspects}


def training_set(
    name: str, folder: Path, sizes: Sequence[int], seed: int
) -> tuple[TrainingSet, list[TrainingExample]]:
    """(train and validation, unseen calls); the first answer to each unit, another with the other outcome as the
    rejected one."""
    by_unit: dict[str, list[Row]] = {}
    for row in LOGS[name](folder):
        by_unit.setdefault(row.unit, []).append(row)
    units = sorted(by_unit)
    random.Random(seed).shuffle(units)
    examples = []
    for unit in units[: sum(sizes)]:
        first, *others = by_unit[unit]
        worse = next(
            (o.answer for o in others if first.success and not o.success and o.answer != first.answer), None
        )
        examples.append(TrainingExample(unit, first.text, first.answer, 1.0, unit, unit, rejected=worse))
    n_train, n_validation, _ = sizes
    contract = (
        Contract(kind="label", labels=sorted({x.answer for x in examples}))
        if name == "tweets"
        else Contract(kind="text")
    )
    task = Task(id=name, name=name, contract=contract, recipe=PromptRecipe(), keys=[name])
    train, held = examples[:n_train], examples[n_train : n_train + n_validation]
    return TrainingSet(task, train, held, []), examples[n_train + n_validation :]


class ShortFirst(trainer.Trainer):
    """Trains from short examples to long ones; equally long ones in random order."""

    def _order(self, epoch: int) -> Iterator[list[int]]:
        order = list(range(len(self.train)))
        random.Random(f"{self.seed}:{epoch}").shuffle(order)
        order.sort(key=lambda i: len(self.train[i]))
        size = self.settings.batch
        yield from (order[at : at + size] for at in range(0, len(order), size))


def measure(method: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """One method on one log, in this process."""
    torch = torch_module()
    torch.set_num_threads(1)
    folder, seed = Path(given["data"]), given["seed"]
    examples, unseen = training_set(name, folder, given["sizes"], seed)
    if method == "majority":
        most = Counter(x.answer for x in examples.train).most_common(1)[0][0]
        return {"right": float(np.mean([x.answer == most for x in unseen])), "n": len(unseen)}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        config = Convert(seed=seed, min_origins=1)
        context = TrainingContext(config, home, models_path(), given["model"], silent, time.monotonic)
        sets = [examples]
        if method == "multitask":
            sets += [training_set(other, folder, given["sizes"], seed)[0] for other in LOGS if other != name]
        asked = "lora" if method == TEACHER else method
        jobs = with_company([job for one in sets for job in jobs_of(one, [asked], context, home)])
        job = replace(jobs[0], epochs=given["epochs"])
        if method == TEACHER:
            own_teacher.tune(job, context, given["seconds"], Path(given["teacher"]))
            return {}
        if method == ON_POLICY:
            _server, settings = own_teacher.serve(Path(given["teacher"]), MAX_TOKENS)
            context = replace(context, teacher=settings)
        if given["order"] == "short":
            trainer.Trainer = ShortFirst  # type: ignore[misc]
        began = time.process_time()
        trained = job.method.train(job, context, given["seconds"])
        cpu_s = time.process_time() - began
        if trained is None:
            raise DeputizeError("the method does not fit the task")
        return {**judged(trained, job.task, unseen, opening=job.task.recipe.opening), "cpu_s": cpu_s}


def judged(
    trained: Trained, task: Task, unseen: Sequence[TrainingExample], *, opening: str
) -> dict[str, Any]:
    """Agreement on unseen calls, what could be served of them by hindsight, and what the training took."""
    figures = trained.hyperparameters
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    found = trained.predictor.predict([f"{opening}\n{x.text}" if opening else x.text for x in unseen])
    answer_s = (time.process_time() - began) / len(unseen)
    right = np.array([agree(p.answer, x.answer, task.contract) for p, x in zip(found, unseen, strict=True)])
    sure = np.array([float("-inf") if p.answer is None else p.raw_confidence.log_p for p in found])
    everyone = np.ones(len(right), dtype=bool)
    shares = [float(coverage_at(sure, 1.0 - right, risk, everyone)[0]) for risk in RISKS]
    return {
        "right": float(right.mean()),
        "n": len(right),
        **{f"servable at {risk}": share for risk, share in zip(RISKS, shares, strict=True)},
        "train_s": trained.train_s,
        "steps": figures.get("steps"),
        "own_answers": figures.get("own_answers"),
        "peak_mb": peak_mb,
        "answer_cpu_s": answer_s,
        "leaks": bool(trained.leak and trained.leak.leaks),
    }


def in_a_process(method: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """One method on one log, in a process of its own; a reason where there is nothing to measure."""
    if method == ON_POLICY and "teacher" not in given:
        with tempfile.TemporaryDirectory() as folder:
            with_teacher = {**given, "teacher": str(Path(folder) / "teacher.gguf")}
            before = in_a_process(TEACHER, name, with_teacher)
            return (
                before | {"method": method} if "why" in before else in_a_process(method, name, with_teacher)
            )
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    asked = json.dumps({"method": method, "log": name, **given})
    command = [sys.executable, "-m", "benchmarks.training_methods", given["data"], "--one", asked]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"log": name, "method": method, "why": (done.stderr.strip().splitlines() or ["?"])[-1][:300]}
    return {"log": name, "method": method, **json.loads(lines[-1])}


def main(argv: list[str] | None = None) -> int:
    parser = table.arguments(__doc__ or "")
    parser.add_argument("data", help="the folder with the recorded logs")
    parser.add_argument("--logs", nargs="+", choices=list(LOGS), default=list(LOGS))
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument(
        "--sizes", nargs=3, type=int, default=[200, 60, 200], metavar="N", help="train, validation, unseen"
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=600.0, help="most for one training (default 600)")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument(
        "--order", choices=("random", "short"), default="random", help="of train in each pass"
    )
    parser.add_argument("--one", default="", help="used within: one method, as JSON")
    given = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    if given.one:
        job = json.loads(given.one)
        try:
            print(json.dumps(measure(job["method"], job["log"], job)))
        except DeputizeError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        return 0
    asked = {
        key: getattr(given, key) for key in ("data", "sizes", "epochs", "seconds", "model", "seed", "order")
    }
    rows = []
    for method in ["majority", *given.methods]:
        for name in given.logs:
            rows.append(in_a_process(method, name, asked))
            print(json.dumps(rows[-1]), flush=True)
    table.show(f"{given.sizes[0]} calls to learn from, {given.epochs} passes at most", rows)
    table.save(given.json, "training_methods", {**asked, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
