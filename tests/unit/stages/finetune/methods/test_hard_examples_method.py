"""A method once more on weighed examples: a specialist of its own, marked in its card, off by default."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs
from tests import tiny_tasks

from deputize.core.artifacts import Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Example
from deputize.stages.evaluate.select_method import in_order_of_cost
from deputize.stages.finetune.methods.base import CrossFits
from deputize.stages.finetune.methods.hard_examples_method import on_hard_examples
from deputize.stages.finetune.methods.linear import LINEAR
from deputize.stages.finetune.methods.lora import LORA
from deputize.stages.finetune.run import run as finetune


def with_wrong_answers(example: Example, n: int) -> Example:
    """Every ninth call is answered against the rule."""
    if n % 9:
        return example
    content = "no" if example.response["content"] == "yes" else "yes"
    return structs.replace(example, response={"role": "assistant", "content": content})


def test_it_stands_beside_the_plain_method_and_says_what_was_weighed(tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 120)
    examples = [with_wrong_answers(e, n) for n, e in enumerate(curated.examples)]
    curated = structs.replace(curated, examples=examples)
    found = {}
    for hard in (False, True):
        made = finetune(
            curated,
            discovered,
            Selected(candidates={}, plan={"label": ["cache", "linear"]}, base_model=""),
            Convert(explore=True, hard_examples=hard),
            home=tmp_path,
            out_dir=tmp_path / f"specialists-{hard}",
            models_dir=tmp_path,
            deadline=Deadline.after(300),
            progress=silent,
        )
        found[hard] = {s.method: s for s in made.specialists}
    assert set(found[False]) == {"linear"} and set(found[True]) == {"linear", "linear:hard"}
    plain, weighed = found[True]["linear"], found[True]["linear:hard"]
    said = weighed.settings["training"]["hard_examples"]
    assert said.endswith("of 72 examples, hard ones, count 2 times") and said in weighed.model
    assert weighed.checksums != plain.checksums and "hard_examples" not in plain.settings["training"]
    assert in_order_of_cost([weighed, plain], ["linear", "lora"]) == [plain, weighed]


def test_what_is_cross_fitted_on_a_small_log_stays_so() -> None:
    assert isinstance(on_hard_examples(LINEAR), CrossFits)
    lora = on_hard_examples(LORA)
    assert not isinstance(lora, CrossFits) and lora.name == "lora:hard" and lora.tunes_base_model
