"""Training methods by name.

A package adds one with an entry point in the group "deputize.methods" that leads to a `Method`, and, where its
specialists are of a new kind, one in "deputize.specialists" that leads to the function which loads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points

from deputize.core.errors import BadInput, UsageError
from deputize.stages.finetune.methods.base import Method
from deputize.stages.finetune.methods.cache import CACHE
from deputize.stages.finetune.methods.dora import DORA
from deputize.stages.finetune.methods.dpo import DPO
from deputize.stages.finetune.methods.encoder import ENCODER
from deputize.stages.finetune.methods.frozen import FROZEN, FROZEN_BASE
from deputize.stages.finetune.methods.full import FULL
from deputize.stages.finetune.methods.linear import LINEAR
from deputize.stages.finetune.methods.listed import LISTED
from deputize.stages.finetune.methods.listed_lora import LISTED_LORA
from deputize.stages.finetune.methods.lora import LORA
from deputize.stages.finetune.methods.lora_from_head import LORA_FROM_HEAD
from deputize.stages.finetune.methods.minifinetuning import MINIFINETUNING
from deputize.stages.finetune.methods.multitask import MULTITASK
from deputize.stages.finetune.methods.on_policy_distillation import ON_POLICY_DISTILLATION
from deputize.stages.finetune.methods.qlora import QLORA
from deputize.stages.finetune.methods.rslora import RSLORA
from deputize.stages.finetune.methods.token_distillation import TOKEN_DISTILLATION
from deputize.stages.finetune.methods.tools import TOOLS

GROUP = "deputize.methods"
OURS: tuple[Method, ...] = (
    CACHE,
    LINEAR,
    TOOLS,
    LISTED,
    FROZEN,
    ENCODER,
    FROZEN_BASE,
    LORA,
    LORA_FROM_HEAD,
    TOKEN_DISTILLATION,
    MULTITASK,
    LISTED_LORA,
    RSLORA,
    MINIFINETUNING,
    ON_POLICY_DISTILLATION,
    DORA,
    DPO,
    QLORA,
    FULL,
)
AUTO, AUTO_METHODS = "auto", ("linear", "listed", "frozen", "lora")
"""The name under which methods are chosen by the task, and among which: of each task those are trained whose answers it
has, that a cheaper one does not make unnecessary, and that the time allows; the report says why another was not. The
others take longer, or need something that few logs hold."""


def find_method(name: str) -> Method:
    """The method of a name.

    Raises:
        UsageError: no such method; the sentence names the known ones.
        BadInput: an entry point of that name leads to something else.
    """
    for method in OURS:
        if method.name == name:
            return method
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join([AUTO, *(method.name for method in OURS), *sorted(points)])
        raise UsageError(f"No training method is called {name!r}. Known: {known}.")
    try:
        found: Method = points[name].load()
    except (ImportError, AttributeError) as error:
        raise BadInput(f"The training method {name} cannot be imported: {error}") from error
    if not callable(getattr(found, "train", None)) or getattr(found, "name", None) != name:
        raise BadInput(f"The training method {name} has no train(job, context, budget_s), or another name")
    return found


def find_methods(names: Iterable[str]) -> list[Method]:
    """The methods of these names from cheap to expensive, each once; "auto" stands for several. Raises as
    `find_method`."""
    each = [one for name in names for one in (AUTO_METHODS if name == AUTO else (name,))]
    return sorted((find_method(name) for name in dict.fromkeys(each)), key=lambda m: (m.cost, m.name))
