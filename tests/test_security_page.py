"""The security page names the test behind each promise; each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/concepts/security.md").read_text("utf-8")


def test_each_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"[\w./]*test_\w+\.py", PAGE))
    assert len(named) > 50
    places = (ROOT, ROOT / "tests", ROOT / "tests/unit")
    missing = sorted(name for name in named if not any((place / name).is_file() for place in places))
    assert not missing


def test_each_attacker_has_a_promise_a_limit_and_a_test() -> None:
    table = PAGE.partition("## Attackers")[2].partition("\n## ")[0].partition("\n### ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert [row[0] for row in rows if len(row) != 4 or not all(map(str.strip, row))] == []
