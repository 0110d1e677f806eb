"""The documentation builds as a site, strictly: every page is in its navigation, every link and anchor leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
with_mkdocs = pytest.mark.skipif(
    find_spec("mkdocs") is None, reason="mkdocs is not installed: pip install -c constraints.txt -e '.[docs]'"
)


def built(configuration: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-f",
        str(configuration),
        "-d",
        str(site),
    ]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=240)


@with_mkdocs
@pytest.mark.slow
def test_the_site_builds_strictly_and_fetches_nothing(tmp_path: Path) -> None:
    done = built(ROOT / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "guides/gateway.html" in index and "changelog.html" in index, (
        "links of README.md lead to pages of the site"
    )
    fetched = re.findall(
        r'(?:src|<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href)="(https?://[^"]+)"', index
    )
    assert not fetched


@with_mkdocs
@pytest.mark.slow
def test_a_page_outside_the_navigation_and_a_dead_link_are_errors(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n\n[gone](gone.md) and [nowhere](#nowhere)\n")
    (tmp_path / "docs" / "lost.md").write_text("# Lost\n")
    settings = (ROOT / "mkdocs.yml").read_text("utf-8").split("\nnav:")[0]
    settings = settings.replace("hooks: [mkdocs_hooks.py]\n", "").replace("material", "mkdocs", 1)
    settings = re.sub(r"\ntheme:\n(?:  .*\n)+", "\n", settings)
    (tmp_path / "mkdocs.yml").write_text(f"{settings}\nnav:\n  - Home: index.md\n")
    done = built(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    for told in ("gone.md", "#nowhere", "lost.md"):
        assert told in done.stderr, told


def test_the_workflow_builds_it() -> None:
    assert "make check" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "$(MAKE) --no-print-directory docs" in (ROOT / "Makefile").read_text("utf-8")
