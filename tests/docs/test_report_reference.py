"""docs/reference/report.md says what the schema of report.json says."""

from __future__ import annotations

from pathlib import Path

from deputize.web.report_reference import markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "report.md"


def test_the_reference_is_what_the_schema_says() -> None:
    assert PAGE.read_text("utf-8") == markdown(), (
        "run: python -m deputize.web.report_reference > docs/reference/report.md"
    )
