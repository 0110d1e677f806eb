"""A training method as a user would add it, in one file: the answer that the LLM gave most often."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.records import Answer, Task
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.registry import StoredSpecialist
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob


class MajorityPredictor:
    """Always the same answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        return [RawPrediction(self.answer, RawConfidence(-0.5, 1.0, 1.0)) for _ in texts]

    def save(self, folder: Path) -> None:
        (folder / "answer.json").write_text(json.dumps(self.answer), "utf-8")


def load_majority(stored: StoredSpecialist) -> MajorityPredictor:
    """Entry point `majority` in the group "deputize.specialists"."""
    return MajorityPredictor(json.loads((stored.folder / "answer.json").read_text("utf-8")))


class MajorityMethod:
    """Entry point `majority` in the group "deputize.methods"."""

    name, cost, tunes_base_model = "majority", 5, False

    def base_model(self, context: TrainingContext) -> str:
        """None: ""."""
        return ""

    def require(self) -> None:
        """Nothing."""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        return MethodPlan(train=True)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        answers = [x.answer for x in job.examples.train if job.schema.segments(x.answer) is not None]
        if not answers:
            return None
        most = Counter(json.dumps(a, sort_keys=True) for a in answers).most_common(1)[0][0]
        predictor = MajorityPredictor(json.loads(most))
        return Trained(predictor, "majority", "the majority answer", predictor.save, 0.0, is_fast=True)


METHOD = MajorityMethod()
