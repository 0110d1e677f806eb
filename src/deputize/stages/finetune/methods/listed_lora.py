"""The listed_lora method: the tool is chosen as by the listed method, and a language model tuned by LoRA writes its
arguments.

The model reads the request and the one tool that was chosen (name, description, arguments), so a long list costs it
nothing, and writes an object under that tool's own schema. It learns from calls of one tool; where none fits, or
several do, the call is the LLM's.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.errors import BadInput, MissingExtra
from deputize.core.records import Task
from deputize.stages.finetune.examples import TrainingSet
from deputize.stages.finetune.listed_writing_mode import ListedWritingMode, tokens_written
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.methods.listed import fit_chooser
from deputize.stages.finetune.trainer import TrainingSettings

BATCH = 8
"""Calls of an optimiser step."""


class ListedLora(FineTuning):
    """LoRA on what is written for one chosen tool."""

    reads_lists = True

    def require(self) -> None:
        """Raises MissingExtra also where llguidance is not here, which keeps values within their schemas."""
        super().require()
        if find_spec("llguidance") is None:
            raise MissingExtra.package("llguidance", "train")

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """For tasks whose requests list what may be answered, and for no other."""
        return MethodPlan(train=task.contract.from_request)

    def answer_mode(self, job: TrainingJob, context: TrainingContext) -> ListedWritingMode:
        """Raises BadInput where no tool of a list was ever called."""
        chooser = fit_chooser(job, context)
        if chooser is None:
            raise BadInput("no tool of a list was ever called, so there are no arguments to learn")
        return ListedWritingMode(job.task.contract, chooser)

    def settings(self, job: TrainingJob, device: str) -> TrainingSettings:
        """As of LoRA, in smaller steps: calls are of many tools, so each tells something of its own."""
        return replace(super().settings(job, device), batch=BATCH)

    def n_tokens(self, examples: TrainingSet) -> int:
        """Tokens of one epoch, estimated: of one tool each, where a prompt may list many."""
        return tokens_written(examples.task.contract, examples.train)


LISTED_LORA = ListedLora("listed_lora", 44)
