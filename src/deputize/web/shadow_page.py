"""The page of a comparison in shadow: one file without scripts, numbers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deputize.files import make_folder, write_atomic
from deputize.web import figures
from deputize.web.html_templates import html_templates


def write_comparison(path: Path, comparison: Mapping[str, Any]) -> Path:
    """Writes the page of a comparison (stages.refine.shadow_comparison, with `next` and `until`) as a whole or not at
    all."""
    make_folder(path.parent)
    write_atomic(path, comparison_page(comparison).encode())
    return path


def comparison_page(comparison: Mapping[str, Any]) -> str:
    """The page as HTML."""
    environment = html_templates("deputize.web")
    environment.filters.update(share=figures.share, usd=figures.usd, count=figures.count, day=figures.day)
    return environment.get_template("shadow.html.j2").render(c=comparison)
