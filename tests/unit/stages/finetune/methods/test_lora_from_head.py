"""LoRA from fitted heads on: at the first step it answers as they do."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
from tests import tiny_tasks

from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.pooled_states import LanguageModelStates
from deputize.specialists.state_heads import scores_of
from deputize.stages.finetune.encode import MAX_TOKENS
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import TrainingContext
from deputize.stages.finetune.methods.lora_from_head import LORA_FROM_HEAD
from deputize.stages.finetune.outputs import ClassificationMode, GenerationMode, answer_mode_of
from deputize.stages.finetune.run import jobs_of
from deputize.stages.finetune.trainer import TrainingSettings

Tiny = tuple[Path, str]


def test_a_new_adapter_answers_as_the_heads_that_were_fitted(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny[0], tmp_path / "models")
    context = TrainingContext(Convert(), tmp_path, tmp_path / "models", tiny[1], silent, time.monotonic)
    curated, discovered = tiny_tasks.make(("closed",), 60)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    (job,) = jobs_of(examples, ["lora_from_head"], context, context.home)
    base, output = LanguageModel(tmp_path / "models" / tiny[1], "cpu", "fp32"), answer_mode_of(job.schema)
    assert isinstance(output, ClassificationMode)
    heads = LORA_FROM_HEAD.heads(output, base, job, context, 600.0)
    adapter = LORA_FROM_HEAD.add_adapter(base, job, TrainingSettings())
    texts = [x.text for x in examples.train[:8]]
    found = output.predictor(base, adapter, heads, []).scores(texts)
    model = LanguageModelStates(base)
    states_NS = model.states(model.rows(texts, MAX_TOKENS))[:, base.width :]
    fitted = scores_of([(w.numpy(), b.numpy()) for w, b in heads], states_NS)
    for mine, theirs in zip(found.log_ps, fitted, strict=True):
        assert np.allclose(mine, theirs, atol=1e-4)
    right = sum(
        output.answers.indices(x.answer) == [int(log_p_NC[n].argmax()) for log_p_NC in fitted]
        for n, x in enumerate(examples.train[:8])
    )
    assert right >= 4, "fitted on these very texts"


def test_where_answers_are_written_it_is_lora(tiny: Tiny, tmp_path: Path) -> None:
    context = TrainingContext(Convert(), tmp_path, tiny[0], tiny[1], silent, time.monotonic)
    curated, discovered = tiny_tasks.make(("line",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    (job,) = jobs_of(examples, ["lora_from_head"], context, context.home)
    output = answer_mode_of(job.schema)
    assert isinstance(output, GenerationMode)
    assert (
        LORA_FROM_HEAD.heads(output, LanguageModel(tiny[0] / tiny[1], "cpu", "fp32"), job, context, 1.0) == []
    )
