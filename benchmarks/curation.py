"""What two settings of curation do to a specialist: `balance` of rare answers, and `privacy = "paraphrase"`. Linear
method.

Only what development may see: CLINC150's own train and validation utterances, made uneven on purpose (the most frequent
intent 25 times as often as the rarest), and the demo's simulated help desk. Of these, the test split is asked, as the
gateway would ask: with raw requests.

    python -m benchmarks.curation
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.privacy_tasks import KEY, MODEL, SPLIT, asked, help_desk, with_raw_texts
from benchmarks.table import arguments, save, show
from deputize.core.artifacts import Curated, Discovered, Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Call
from deputize.locations import models_path
from deputize.specialists.predictor import load
from deputize.stages.cluster.run import run as cluster
from deputize.stages.collect.audience import infer_sites
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.curate.run import run as curate
from deputize.stages.finetune.run import run as finetune

N_INTENTS, MOST, LEAST = 40, 100, 4


def uneven_clinc(data: Path, seed: int) -> list[Call]:
    """Some intents, each less frequent than the one before it, down to LEAST utterances."""
    path = data / "intent_clinc150.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        seen = {r["id"] for r in map(json.loads, lines) if r.get("split") in ("train", "val", "dev")}
    by_intent: dict[str, list[Call]] = defaultdict(list)
    for call in read_calls(path):
        if isinstance(call, Call) and call.id in seen and call.response.get("content") != "oos":
            by_intent[str(call.response.get("content"))].append(call)
    rng = random.Random(seed)
    chosen = rng.sample(sorted(by_intent), N_INTENTS)
    sizes = np.geomspace(MOST, LEAST, N_INTENTS).round().astype(int)
    return [c for intent, n in zip(chosen, sizes, strict=True) for c in rng.sample(by_intent[intent], int(n))]


def measure(
    log: str, calls: Sequence[Call], seed: int, settings: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One row per task and setting: the share of right answers over all calls, and its mean over the different answers."""
    rows: list[dict[str, Any]] = []
    prepared: dict[str, tuple[Curated, Curated, Discovered]] = {}
    for setting in settings:
        config = Convert.model_validate({"seed": seed, "split": SPLIT, "models": (MODEL,), **setting})
        if config.privacy not in prepared:
            examples = curate(calls, infer_sites(calls), config, key=KEY)
            prepared[config.privacy] = examples, with_raw_texts(examples, calls), cluster(examples, config)
        curated, raw, found = prepared[config.privacy]
        selected = Selected(candidates={}, plan={t.id: ["linear"] for t in found.tasks}, base_model=MODEL)
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            done = finetune(
                curated,
                found,
                selected,
                config,
                home=home,
                out_dir=home / "specialists",
                models_dir=models_path(),
                deadline=Deadline.after(120),
                progress=silent,
            )
            for specialist in done.specialists:
                task = next(t for t in found.tasks if t.id == specialist.task_id)
                test = [
                    e
                    for e in raw.examples
                    if e.split == "test" and found.assignment.get(e.call_id) == task.id
                ]
                _, right_N = asked(load(home / specialist.path, models_path()), test, task)
                kinds: dict[str, list[float]] = defaultdict(list)
                for e, right in zip(test, right_N, strict=True):
                    kinds[json.dumps(e.response, sort_keys=True)].append(right)
                rows.append(
                    {
                        "log": log,
                        "task": task.name,
                        "setting": ", ".join(f"{k} {v}" for k, v in setting.items()),
                        "trained on": sum(
                            e.split == "train" and e.trainable and found.assignment.get(e.call_id) == task.id
                            for e in curated.examples
                        ),
                        "asked": len(test),
                        "right": float(right_N.mean()),
                        "mean over answers": float(np.mean([np.mean(v) for v in kinds.values()])),
                        "answers": len(kinds),
                        "left out by curation": sum(curated.dropped.values()),
                    }
                )
    return rows


def main() -> None:
    """Prints the rows."""
    parser = arguments((__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--episodes", type=int, default=150, help="of the help desk")
    args = parser.parse_args()
    balances = [{"balance": b} for b in (0.0, 0.5, 1.0)]
    levels = [{"privacy": level} for level in ("standard", "strict", "paraphrase")]
    rows = measure(
        "CLINC150, uneven", uneven_clinc(args.data, args.seed), args.seed, [*balances, *levels[1:]]
    )
    rows += measure(
        "help desk (simulated)", help_desk(args.episodes, args.seed), args.seed, [*balances, *levels[1:]]
    )
    show("What balance and paraphrase do to a specialist", rows)
    save(args.json, "curation", {"rows": rows})


if __name__ == "__main__":
    main()
