"""Verdicts on audits; what becomes of them is in test_pages."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.unit.dashboard.conftest import audit_of, served

from deputize.core.errors import BadInput
from deputize.dashboard.judgement import judge
from deputize.store.memory import MemoryStore


def test_no_verdict_and_no_texts_are_refused_and_nothing_is_kept() -> None:
    one, other, store = served("a", 1.0), audit_of("a", 2.0, agrees=False, reply="x"), MemoryStore()
    store.append([one, other])
    with pytest.raises(BadInput, match="verdict is"):
        judge(store, one, other, "")
    with pytest.raises(BadInput, match="not kept"):
        judge(store, structs.replace(one, response={}), other, "llm_wrong")
    assert all(c.correction is None and c.outcome is None for c in store.calls())


def test_the_right_answer_is_the_correction_of_both() -> None:
    one, other, store = served("a", 1.0), audit_of("a", 2.0, agrees=False, reply="x"), MemoryStore()
    store.append([one, other])
    assert judge(store, one, other, "llm_wrong") == "llm_wrong"
    assert [c.correction for c in store.calls()] == [one.response, one.response]
