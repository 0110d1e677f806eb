"""Records of a task's test are plain documents: every field is in the report, and none is lost on the way to a file."""

from __future__ import annotations

import pytest

from deputize.core.certification import DeltaSpending, FamilyWiseTest
from deputize.core.records import Record, decode, encode
from deputize.core.report_schema import document

RECORDS: list[Record] = [
    DeltaSpending(delta=0.05, test_level=0.008, n_earlier=1, n_groups=63, delta_left=0.002),
    FamilyWiseTest(n_tasks=5, test_level=0.01, certified=True, threshold=0.9, share_served=0.7),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_a_record_survives_a_file_and_is_whole_in_a_report(record: Record) -> None:
    assert decode(encode(record), type(record)) == record
    assert set(document(record)) == set(record.__struct_fields__)


def test_a_claim_that_nothing_was_shown_of_serves_nothing() -> None:
    nothing = FamilyWiseTest(n_tasks=5, test_level=0.01)
    assert not nothing.certified and nothing.threshold is None and nothing.share_served == 0.0
