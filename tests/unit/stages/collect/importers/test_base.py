"""What every importer is given."""

from __future__ import annotations

from deputize.core.artifacts import Skip
from deputize.stages.collect.importers.base import ImportContext


def test_a_skip_names_the_line() -> None:
    assert ImportContext("a.jsonl", 3).skip("not JSON") == Skip(file="a.jsonl", line=3, reason="not JSON")


def test_without_a_key_no_id_is_kept_in_any_form() -> None:
    assert ImportContext("a.jsonl", 3).pseudonym("ann", "default") == ""
