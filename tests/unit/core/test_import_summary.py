"""Summaries of imports."""

from __future__ import annotations

from deputize.core.import_summary import Imported, ImportedFile, SkipReason
from deputize.core.records import decode, encode


def test_a_summary_survives_json() -> None:
    reasons = [SkipReason(reason="not JSON", n=3, first_line=7)]
    done = Imported(
        n_calls=2, files=[ImportedFile(name="a", formats={"calls": 2}, n_calls=2, reasons=reasons)]
    )
    assert decode(encode(done), Imported) == done
