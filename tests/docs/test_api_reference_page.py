"""docs/reference/api.md says what the code says."""

from __future__ import annotations

from pathlib import Path

from deputize.cli.api_reference import markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"


def test_the_reference_is_what_the_public_names_say() -> None:
    assert PAGE.read_text("utf-8") == markdown(), (
        "run: python -m deputize.cli.api_reference > docs/reference/api.md"
    )
