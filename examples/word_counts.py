"""A training method of one's own: naive Bayes over words. `certificates.ipynb` plugs it in; docs/guides/extend/methods.md explains it.

Only words that five examples or more have are kept, so that no single text can be told from the weights.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.records import Task
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.registry import StoredSpecialist
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


class WordCounts:
    """Log-probabilities of words given the answer."""

    def __init__(self, prior: dict[str, float], by_word: dict[str, dict[str, float]]) -> None:
        self.prior, self.by_word = prior, by_word

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        return [self._one(words(text) & self.by_word.keys()) for text in texts]

    def _one(self, known: set[str]) -> RawPrediction:
        scores = {a: p + sum(self.by_word[w][a] for w in known) for a, p in self.prior.items()}
        best, second = sorted(scores.values())[-1], sorted(scores.values())[-2]
        log_p = -math.log(sum(math.exp(s - best) for s in scores.values()))
        return RawPrediction(
            max(scores, key=scores.__getitem__), RawConfidence(log_p, best - second, best - second)
        )

    def save(self, folder: Path) -> None:
        (folder / "words.json").write_text(json.dumps([self.prior, self.by_word]), "utf-8")


def load(stored: StoredSpecialist) -> WordCounts:
    """Entry point `word-counts` in the group "deputize.specialists"."""
    return WordCounts(*json.loads((stored.folder / "words.json").read_text("utf-8")))


class WordCountsMethod:
    """Entry point `word-counts` in the group "deputize.methods"."""

    name, cost, tunes_base_model = "word-counts", 5, False

    def base_model(self, context: TrainingContext) -> str:
        return ""

    def require(self) -> None:
        pass

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        return MethodPlan(train=task.contract.kind == "label", reason="only labels are learned")

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        rows = [(words(x.text), x.answer) for x in job.examples.train if isinstance(x.answer, str)]
        n_of, n_with = Counter(a for _, a in rows), Counter(w for found, _ in rows for w in found)
        if len(n_of) < 2:
            return None
        pairs = Counter((w, a) for found, a in rows for w in found)
        by_word = {
            w: {a: math.log((pairs[w, a] + 1) / (n_of[a] + 2)) for a in n_of}
            for w, n in n_with.items()
            if n >= 5
        }
        model = WordCounts({a: math.log(n / len(rows)) for a, n in n_of.items()}, by_word)
        return Trained(model, "word-counts", "naive Bayes over words", model.save, 0.0, is_fast=True)


METHOD = WordCountsMethod()
