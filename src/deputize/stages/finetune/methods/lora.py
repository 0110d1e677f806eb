"""LoRA: low-rank adapters on every linear projection of the upper layers; the base model stays as it is.

References:
    Hu et al., "LoRA: Low-rank adaptation of large language models", arXiv 2106.09685.
"""

from __future__ import annotations

from deputize.stages.finetune.methods.fine_tuning import FineTuning

LORA = FineTuning("lora", 40)
