"""docs/reference/settings.md says what the classes of settings say."""

from __future__ import annotations

from pathlib import Path

from deputize.cli.settings_reference import markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md"


def test_the_reference_is_what_the_settings_say() -> None:
    assert PAGE.read_text("utf-8") == markdown(), (
        "run: python -m deputize.cli.settings_reference > docs/reference/settings.md"
    )
