"""The verification pass: quarantine and sketches of possible duplicates."""

from __future__ import annotations

import pytest

from deputize.core.records import Call
from deputize.privacy.deidentify import Deidentifier
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.first_pass import read_log
from deputize.stages.curate.verify import VerifiedLog, verify

pytest.importorskip("rensa")


def call(id: str, text: str, reply: str = '{"a": 1}') -> Call:
    return Call(
        id=id,
        agent="a",
        tenant="t",
        messages=[{"role": "user", "content": text}],
        response={"role": "assistant", "content": reply},
    )


CALLS = [
    call("same1", "sort case 1"),
    call("same2", "sort case 1"),
    call("other", "sort case 2", '{"a": 2}'),
    call("odd", "ask bob (at) gmail (dot) com"),
]


def verified(restored: frozenset[str] = frozenset()) -> VerifiedLog:
    policy = policy_of("standard")
    index = read_log(CALLS, infer_sites(CALLS), LineIndex(DetectorSet([RuleDetector()]).ensemble(policy)))
    deidentifier = Deidentifier(CALLS, index.scanned, policy, key=b"k" * 32, checks_answers=False)
    return verify(CALLS, index, deidentifier, {c.id for c in CALLS}, restored, seed=0)


def test_a_call_in_which_something_is_left_is_quarantined_unless_a_person_put_it_back() -> None:
    (withheld,) = verified().quarantined.values()
    assert (withheld.call_id, withheld.reason, withheld.tenant) == ("odd", "quarantined: EMAIL_ADDRESS", "t")
    assert verified(frozenset({"odd"})).quarantined == {}


def test_only_calls_that_equal_others_are_kept_for_comparison() -> None:
    found = verified()
    assert set(found.sketches) == {"same1", "same2"}
    assert found.sketches["same1"].digest == found.sketches["same2"].digest
