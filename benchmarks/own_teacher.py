"""A teacher for on-policy distillation where no larger model is at hand: the same base model, tuned on the same calls to
write their answers, in llama.cpp.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from deputize.core.config import TeacherSettings
from deputize.core.errors import BadInput
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import FineTuning

KEY = "DEPUTIZE_TEACHER_KEY"


class Writing(FineTuning):
    """LoRA that writes its answers where a head could choose them: a teacher is asked for tokens."""

    always_writes = True


def tune(job: TrainingJob, context: TrainingContext, seconds: float, path: Path) -> None:
    """Tunes a teacher on the examples of a job and writes it into a GGUF file."""
    method = Writing("lora", 40)
    trained = method.train(replace(job, method=method), context, seconds)
    base = getattr(trained.predictor, "base", None)
    if base is None:
        raise BadInput("the teacher does not write its answers")
    base.merge_adapter(base.active)
    write_gguf(base, path, name="teacher", precision="f16")


def serve(path: Path, n_most: int) -> tuple[LlamaCppEngine, TeacherSettings]:
    """The server of a teacher, on one thread of this process, and how to ask it."""
    server = LlamaCppEngine(path, context=n_most)
    os.environ[KEY] = server.key
    settings = TeacherSettings.model_validate(
        {"base_url": f"{server.address}/v1", "model": "teacher", "api_key_env": KEY, "at_once": 1}
    )
    return server, settings
