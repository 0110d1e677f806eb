"""The detector of out-of-distribution requests on CLINC150: what it notices by the number of texts known, and its time.

In scope: utterances of the intents that the texts known have. Out of scope: CLINC150's own class for that, which the
detector never saw; in-scope utterances changed as in `stages.finetune.fit_ood_detector`; and, for a task of four
intents, the 146 others.
"""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deputize.core.subjects import Subjects
from deputize.specialists.out_of_distribution import OutOfDistributionDetector
from deputize.stages.finetune.fit_ood_detector import CHANGES

LOG = Path(__file__).resolve().parents[1] / "../shared/data/intent_clinc150.jsonl.gz"
OUT_OF_SCOPE = "oos"
KNOWN = (90, 150, 500, 2048, 10_000)
FOUR = ("balance", "transfer", "transactions", "pay_bill")
P_VALUE = 0.05
N_ASKED = 1500


def rows(seed: int) -> list[dict[str, Any]]:
    """One row for each number of texts known, and one for a task of four intents."""
    with gzip.open(LOG, "rt", encoding="utf-8") as lines:
        log = [json.loads(line) for line in lines]
    random.Random(seed).shuffle(log)
    asked = [(str(row["messages"][-1]["content"]), str(row["response"]["content"])) for row in log]
    inside = [text for text, intent in asked if intent != OUT_OF_SCOPE]
    outside = [text for text, intent in asked if intent == OUT_OF_SCOPE][:N_ASKED]
    out = [_row("150 intents", inside[:n], inside[-N_ASKED:], outside, seed) for n in KNOWN]
    narrow = [text for text, intent in asked if intent in FOUR]
    others = [text for text, intent in asked if intent not in (*FOUR, OUT_OF_SCOPE)][:N_ASKED]
    return [*out, _row("4 intents, asked the other 146", narrow[:400], narrow[400:], others, seed)]


def _row(
    task: str, known: Sequence[str], inside: Sequence[str], outside: Sequence[str], seed: int
) -> dict[str, Any]:
    groups = [str(i) for i in range(len(known))]
    detector = OutOfDistributionDetector.fit(known, groups, Subjects(groups, 2), seed=seed)
    row: dict[str, Any] = {"task": task, "texts known": len(known)}
    if detector is None:
        return {**row, "given up in scope": "no detector"}

    def flagged(texts: Sequence[str], p_value: float = P_VALUE) -> float:
        return float(np.mean(np.array(detector.p_values(texts)) < p_value))

    changed = {kind: flagged([change(text) for text in inside[:400]]) for kind, change in CHANGES.items()}
    best_s = min(_seconds(detector, text) for text in inside[:200])
    arrays = detector.arrays()
    return {
        **row,
        "given up in scope": flagged(inside),
        "out of scope noticed": flagged(outside),
        "the same at p < .01": flagged(outside, 0.01),
        **changed,
        "us a request": best_s * 1e6,
        "MB on disk, not compressed": sum(a.nbytes for a in arrays.values()) / 1e6,
    }


def _seconds(detector: OutOfDistributionDetector, text: str) -> float:
    began = time.perf_counter()
    detector.p_values([text])
    return time.perf_counter() - began
