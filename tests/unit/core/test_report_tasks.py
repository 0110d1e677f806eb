"""The parts of a report about one task keep their names: programs read them."""

from __future__ import annotations

from typing import get_args, get_type_hints

import msgspec
import pytest

from deputize.core.report_schema import document
from deputize.core.report_tasks import LossPoint, ReportTask, TaskVerdict

VERDICT = {
    "kind": "cache",
    "reason": "30 of 40 calls repeat an earlier one",
    "n_exact_repeats": 30,
    "n_exact_alike": 30,
    "n_near_repeats": 2,
    "n_near_alike": 1,
    "rule": "",
    "n_rule_calls": 0,
    "n_rule_right": 0,
}


def test_a_verdict_is_one_of_four_and_survives_the_document() -> None:
    verdict = msgspec.convert(VERDICT, TaskVerdict)
    assert document(verdict) == VERDICT
    with pytest.raises(msgspec.ValidationError, match=r"\$\.kind"):
        msgspec.convert({**VERDICT, "kind": "magic"}, TaskVerdict)
    assert set(get_args(get_type_hints(TaskVerdict)["kind"])) == {"specialist", "cache", "code", "llm"}


def test_every_task_has_a_verdict_and_says_which_route_it_has() -> None:
    assert {"verdict", "route_id", "by_confidence"} <= set(ReportTask.__struct_fields__)
    assert document(LossPoint(epoch=1, train=2.0, validation=2.5)) == {
        "epoch": 1,
        "train": 2.0,
        "validation": 2.5,
    }
