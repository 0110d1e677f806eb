"""Help at inference as a training method: a decoder that was trained, with more done for each of its answers.

Nothing of it is trained. Its confidence is calibrated on validation like that of any specialist, and it is chosen only
where it serves more.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from deputize.core.artifacts import MethodPlan, Specialist, TaskProbe
from deputize.core.records import Task
from deputize.specialists.decoder import MEMBER_FOLDER, DecoderPredictor, load_decoder
from deputize.specialists.pointer_predictor import SlotPlace, tools_in_words
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.sampled_answers import SampledPredictor
from deputize.specialists.specialist_card import OUT_OF_DISTRIBUTION_FILE, read_card, settings_of
from deputize.specialists.tooled_answers import TooledPredictor
from deputize.specialists.value_tools import ValueTool
from deputize.specialists.verified_answers import VerifiedPredictor
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.tools import tools_for

VALIDATION_SHARE = 0.1
"""Of the time left, for predicting validation."""
Help = Literal["self_consistency", "verifier", "tools"]


class HelpedMethod:
    """A trained decoder with one kind of help."""

    tunes_base_model = False
    helps = DecoderPredictor.kind
    """The kind of specialists that it is for: others choose in one pass, and their probabilities are known."""

    def __init__(self, member: Specialist, help: Help) -> None:
        """
        Args:
            member: the decoder.
            help: the name of the help, as in the settings.
        """
        self.member, self._help = member, help
        self.name, self.cost = f"{member.method}:{help}", member.cost + 1

    def require(self) -> None:
        """Nothing: the member is there."""

    def base_model(self, context: TrainingContext) -> str:
        """None of its own: ""."""
        return ""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        return MethodPlan(train=True)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """The member in another role; None where tools explain no value.

        Its leak test holds here too: the same weights write the same words, and whoever asks cannot choose the answer
        that is judged.
        """
        began, folder = context.clock(), context.home / self.member.path
        tools = self._tools(job, context)
        if self._help == "tools" and not tools:
            return None
        card = read_card(folder)
        decoder = load_decoder(StoredSpecialist(folder, card, settings_of(card), context.models_dir))
        predictor = self._predictor(decoder, tools)
        said = tools_in_words(job.schema, tools)

        def save(fresh: Path) -> None:
            unread = shutil.ignore_patterns(OUT_OF_DISTRIBUTION_FILE)
            shutil.copytree(folder, fresh / MEMBER_FOLDER, ignore=unread)
            predictor.save(fresh)

        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=f"{self.member.model}; {said}" if said else self.member.model,
            save=save,
            train_s=context.clock() - began,
            leak=self.member.leak,
            base_sha256=self.member.base_sha256,
            max_slot_tokens=decoder.max_slot_tokens,
            validation_s=VALIDATION_SHARE * budget_s,
            release=predictor.release,
            hyperparameters={"tools": said} if said else {},
        )

    def _tools(self, job: TrainingJob, context: TrainingContext) -> dict[SlotPlace, ValueTool]:
        """The tools that explain values of train; none where that is not the help."""
        if self._help != "tools":
            return {}
        return tools_for(job, context)

    def _predictor(
        self, decoder: DecoderPredictor, tools: dict[SlotPlace, ValueTool]
    ) -> SampledPredictor | VerifiedPredictor | TooledPredictor:
        if self._help == "tools":
            return TooledPredictor(decoder, tools)
        return SampledPredictor(decoder) if self._help == "self_consistency" else VerifiedPredictor(decoder)
