"""A hidden task is refused whatever its numbers."""

from deputize.core.records import Contract, PromptRecipe, Task
from deputize.stages.select.run import refusal


def test_a_hidden_task_is_never_trained() -> None:
    task = Task(
        id="t1",
        name="n",
        contract=Contract(kind="label", labels=["a"]),
        recipe=PromptRecipe(),
        keys=["k"],
        hidden=True,
    )
    assert "hidden by a person" in refusal(task, 10_000, ["a"] * 5_000, 60)
