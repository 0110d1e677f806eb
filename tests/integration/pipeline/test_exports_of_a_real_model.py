"""A real small model, tuned and exported in every form that its specialists have, loaded back and compared answer for
answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests import tiny_specialist, tiny_tasks

from deputize.core.artifacts import Specialist
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.specialists.export_forms.comparison import compare
from deputize.specialists.export_forms.registry import OURS, export_form
from deputize.specialists.predictor import SpecialistPredictor, load, unload
from deputize.specialists.registry import StoredSpecialist

SLM, N_ASKED = "SmolLM2-135M-Instruct", 12
FORMS = {
    "values": {"peft", "merged", "gguf"},
    "line": {"peft", "merged", "gguf", "ollama"},
    "closed": {"peft", "merged", "onnx"},
}
"""By the task: two whose answers are written, fields and one line, and one whose answers are chosen by heads."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Specialist]]:
    """From a task to the home and the specialist that was trained for it, once."""
    if not catalogue.is_fetched(SLM, models_path()):
        pytest.skip(f"{SLM} is not fetched: deputize models fetch {SLM}")
    home, made = tmp_path_factory.mktemp("home"), dict[str, Specialist]()

    def of(task: str) -> tuple[Path, Specialist]:
        if task not in made:
            (made[task],) = tiny_tasks.train(home, models_path(), SLM, (task,), n=60, minutes=4.0).specialists
        return home, made[task]

    return of


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(("task", "name"), [(t, n) for t, names in FORMS.items() for n in sorted(names)])
def test_it_answers_alike(
    trained: Callable[[str], tuple[Path, Specialist]], tmp_path: Path, task: str, name: str
) -> None:
    if name == "onnx":
        pytest.importorskip("onnxscript", reason="not installed (pip install 'deputize[onnx]')")
    home, made = trained(task)
    own = load(home / made.path, models_path())
    try:
        stored = StoredSpecialist(home / made.path, made, own.settings, models_path())
        _compared(own, stored, name, tmp_path)
    finally:
        unload(own)


def _compared(own: SpecialistPredictor, stored: StoredSpecialist, name: str, folder: Path) -> None:
    assert {form.name for form in OURS if not form.refusal(stored)} == FORMS[stored.card.task_id]
    form = export_form(name, stored)
    form.require()
    form.write(stored, folder, form.precisions[0])
    requests = tiny_specialist.requests(N_ASKED, stored.card.task_id)
    found = compare(own, form.load(stored, folder), requests, 0.5, "calls not trained on")
    print(f"{stored.card.task_id} as {name}: {found.sentence}")  # noqa: T201 - figures for docs/results.md
    assert found.n == N_ASKED
    assert found.n_agreeing >= N_ASKED - 2
