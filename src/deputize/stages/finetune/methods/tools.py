"""The tools method: the linear method with a calculator and lookups for values that stand nowhere in the prompt.

References:
    Belcak et al., arXiv 2506.02153, section 3.1 (tool augmentation at inference makes up for small size).
"""

from __future__ import annotations

from functools import partial

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.records import Task
from deputize.core.subjects import Subjects
from deputize.specialists.base import TextPredictor
from deputize.specialists.linear_model import CAREFUL, LinearSettings
from deputize.specialists.pointer_predictor import (
    PointerPredictor,
    SlotPlace,
    fit_pointer_predictor,
    fit_tools,
    tools_in_words,
)
from deputize.specialists.value_tools import ValueTool
from deputize.stages.finetune.methods.base import CrossFittedAnswers, Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.cross_fitting import cross_fit
from deputize.stages.finetune.methods.linear import fit_without_leak, refit_on_train, token_counter


class ToolsMethod:
    """Trains in seconds, answers in a millisecond."""

    name, cost, tunes_base_model = "tools", 12, False

    def base_model(self, context: TrainingContext) -> str:
        """None: ""."""
        return ""

    def require(self) -> None:
        """Nothing: it needs only the base installation."""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """For answers with values: objects and tool calls whose fields their requests do not bring themselves."""
        has_values = task.contract.kind in ("json", "tool_call", "text") and not task.contract.from_request
        return MethodPlan(train=has_values)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where no value is explained by a tool: then the linear method says all there is to say."""
        began, config, examples = context.clock(), context.config, job.examples.train
        tools = tools_for(job, context)
        if not tools:
            return None
        chosen = LinearSettings(*job.linear_settings) if job.linear_settings is not None else None
        found = fit_without_leak(
            examples,
            job.schema,
            config.seed,
            tuple(dict.fromkeys((chosen, CAREFUL))),
            min_origins=config.min_origins,
            fit=partial(fit_pointer_predictor, tools=tools),
        )
        if found is None:
            return None
        predictor, leak = found
        said = tools_in_words(job.schema, tools)
        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=f"tf-idf + linear classifier, values copied; {said}",
            save=predictor.save,
            train_s=context.clock() - began,
            is_fast=True,
            leak=leak,
            hyperparameters={"tools": said},
            count_tokens=token_counter(context.base_model, context.models_dir),
        )

    def cross_fit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers:
        """Of five fits, tools and pointers both learned again."""
        return cross_fit(job, self.refit, context, trained)

    def refit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> TextPredictor | None:
        """The same fit on a part of train; None where its tools do not show there."""
        whole = trained.predictor
        assert isinstance(whole, PointerPredictor)
        tools = tools_for(job, context)
        if tools.keys() != whole.tools.keys():
            return None
        return refit_on_train(partial(fit_pointer_predictor, tools=tools), whole, job, context)


TOOLS = ToolsMethod()


def tools_for(job: TrainingJob, context: TrainingContext) -> dict[SlotPlace, ValueTool]:
    """The tools that explain values of a job's examples."""
    examples = job.examples.train
    return fit_tools(
        job.schema,
        [x.text for x in examples],
        [x.answer for x in examples],
        groups=[x.group for x in examples],
        subjects=Subjects([x.subject for x in examples], context.config.min_origins),
        tables=context.tables,
    )
