"""What lies beside the weights, and that an export is in its place whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.errors import BadInput
from deputize.core.records import Certificate, Route
from deputize.specialists.export_forms import export_folder
from deputize.specialists.export_forms.comparison import ExportComparison
from deputize.specialists.export_forms.peft_adapter import PEFT
from deputize.specialists.registry import StoredSpecialist

COMPARED = ExportComparison(n=3, n_same=3, n_served=2, n_same_served=2, requests="test calls", engine="peft")


def route_of(stored: StoredSpecialist) -> Route:
    certificate = Certificate(
        id="cert-1",
        kind="not_worse_than_llm",
        epsilon=0.05,
        delta=0.05,
        n_calibration=300,
        threshold=0.4,
        share_served=0.8,
        p_value=0.01,
        claim="At most 5 % of all calls.",
    )
    return Route(
        id="route-1",
        task_id=stored.card.task_id,
        task_name=stored.card.task.name,
        keys=["k"],
        contract=stored.card.contract,
        specialist="specialists/s",
        threshold=0.4,
        state="live",
        certificate=certificate,
    )


def test_recipe_schema_certificate_and_card(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    fresh = export_folder.begin(tmp_path / "out")
    export_folder.describe(stored, route_of(stored), PEFT, "Load it.", COMPARED, fresh)
    export_folder.finish(fresh, tmp_path / "out")
    read = {path.name: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}
    assert read["recipe.json"]["before"] == "<|im_start|>user\n" and read["recipe.json"]["max_tokens"] == 200
    assert read["answer_schema.json"]["schema"]["kind"] == "json"
    assert read["certificate.json"]["threshold"] == 0.4
    assert read["certificate.json"]["certificate"]["claim"] == "At most 5 % of all calls."
    assert read["comparison.json"]["n_same"] == 3 and "all 3 requests" in read["comparison.json"]["sentence"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: apache-2.0" in card and COMPARED.sentence in card and "Load it." in card
    assert "not on this copy" in card


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_folder.finish(export_folder.begin(tmp_path / "out"), tmp_path / "out")
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(BadInput, match="new or an empty folder"):
        export_folder.begin(tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_a_linear_specialist_has_no_base_licence(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "linear")
    assert export_folder.licence_of(stored) == {}
    card = export_folder.model_card(stored, route_of(stored), PEFT, "", COMPARED)
    assert card.startswith("# ") and "There is no base model" in card
