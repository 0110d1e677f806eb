"""Help at inference as a training method: a decoder that was trained, with more done for each of its answers.

Nothing is trained. Its confidence is calibrated on validation like that of any specialist, and it is chosen only where it serves more.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from deputize.core.artifacts import MethodPlan, Specialist, TaskProbe
from deputize.core.records import Task
from deputize.specialists.decoder import MEMBER_FOLDER, DecoderPredictor, load_decoder
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.sampled_answers import SampledPredictor
from deputize.specialists.specialist_card import OUT_OF_DISTRIBUTION_FILE, read_card, settings_of
from deputize.specialists.verified_answers import VerifiedPredictor
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob

VALIDATION_SHARE = 0.1
"""Of the time left, for predicting validation."""
HELPS = {"self_consistency": SampledPredictor, "verifier": VerifiedPredictor}


class HelpedMethod:
    """A trained decoder with one kind of help."""

    tunes_base_model = False
    helps = DecoderPredictor.kind
    """The kind of specialists that it is for: others choose in one pass, and their probabilities are known."""

    def __init__(self, member: Specialist, help: Literal["self_consistency", "verifier"]) -> None:
        """
        Args:
            member: the decoder.
            help: the name of the help, as in the settings.
        """
        self.member, self._predictor = member, HELPS[help]
        self.name, self.cost = f"{member.method}:{help}", member.cost + 1

    def require(self) -> None:
        """Nothing: the member is there."""

    def base_model(self, context: TrainingContext) -> str:
        """None of its own: ""."""
        return ""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        return MethodPlan(train=True)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """The member in another role.

        Its leak test holds here too: the same weights write the same words, and whoever asks cannot choose the answer that is judged.
        """
        began, folder = context.clock(), context.home / self.member.path
        card = read_card(folder)
        decoder = load_decoder(StoredSpecialist(folder, card, settings_of(card), context.models_dir))
        predictor = self._predictor(decoder)

        def save(fresh: Path) -> None:
            unread = shutil.ignore_patterns(OUT_OF_DISTRIBUTION_FILE)
            shutil.copytree(folder, fresh / MEMBER_FOLDER, ignore=unread)

        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=self.member.model,
            save=save,
            train_s=context.clock() - began,
            leak=self.member.leak,
            base_sha256=self.member.base_sha256,
            max_slot_tokens=decoder.max_slot_tokens,
            validation_s=VALIDATION_SHARE * budget_s,
            release=predictor.release,
        )
