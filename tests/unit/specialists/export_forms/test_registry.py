"""Forms that make no sense for a specialist are refused with a sentence that names those that do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.errors import UsageError
from deputize.specialists.export_forms.registry import export_form


@pytest.mark.parametrize(
    ("kind", "asked", "able"),
    [
        ("decoder", "onnx", "peft, merged, gguf."),
        ("head", "gguf", "peft, merged, onnx."),
        ("linear", "peft", "onnx, npz."),
    ],
)
def test_a_refusal_names_the_forms_that_there_are(
    tiny: tuple[Path, str], tmp_path: Path, kind: str, asked: str, able: str
) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", kind)
    with pytest.raises(UsageError, match=f"cannot be exported as {asked}: it .*{able}$"):
        export_form(asked, stored)
    with pytest.raises(UsageError, match="Known: peft"):
        export_form("tar", stored)
    assert export_form(able.split(",")[0], stored).name == able.split(",")[0]
