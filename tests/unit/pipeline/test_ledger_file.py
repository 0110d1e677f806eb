"""The home's ledger of tests is sealed, added to by one process at a time, and outlives runs, keys and erasures."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from deputize.core.errors import Tampered
from deputize.home import Home
from deputize.maintenance.erasure import erase
from deputize.maintenance.find_calls import Wanted
from deputize.maintenance.rotation import rotate
from deputize.pipeline.ledger_file import LedgerFile
from deputize.scoring.ledger import RecordedTest, digests, digests_of_groups, earlier_tests
from deputize.store.access.roles import owner
from deputize.testing import call


def recorded_test(
    run_id: str, specialist: str = "s", groups: tuple[str, ...] = ("customer-1", "customer-2")
) -> RecordedTest:
    return RecordedTest(
        run_id=run_id,
        task_id="t",
        specialist=specialist,
        keys=digests(["refund letters"]),
        groups=digests(groups),
        test_level=0.04,
        delta=0.05,
        at_s=1e9,
    )


def test_tests_are_kept_sealed_and_the_same_one_once(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        assert LedgerFile(home).read().tests == []
        assert not home.ledger_path.exists(), "reading makes nothing"
        for one in (
            recorded_test("run-1"),
            recorded_test("run-1"),
            recorded_test("run-1", "again"),
            recorded_test("r2"),
        ):
            LedgerFile(home).add(one)
    kept = Home(tmp_path)
    assert [(x.run_id, x.specialist) for x in LedgerFile(kept).read().tests] == [
        ("run-1", "s"),
        ("run-1", "again"),
        ("r2", "s"),
    ]
    assert b"run-1" not in kept.ledger_path.read_bytes()
    assert stat.S_IMODE(kept.ledger_path.stat().st_mode) == 0o600


def test_a_ledger_that_was_changed_is_no_empty_one(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        LedgerFile(home).add(recorded_test("r1"))
        blob = home.ledger_path.read_bytes()
        home.ledger_path.write_bytes(blob[:-1] + bytes([blob[-1] ^ 1]))
        with pytest.raises(Tampered):
            LedgerFile(home).read()
        with pytest.raises(Tampered):
            LedgerFile(home).add(recorded_test("r2"))


def test_what_was_spent_stays_spent_after_an_erasure_and_new_keys(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.store.append([call("c1", origin="customer-1"), call("c2", origin="customer-2")])
        LedgerFile(home).add(recorded_test("r1"))
        erase(home, owner(), Wanted(origin="customer-1"))
        rotate(home)
    with Home(tmp_path) as home:
        ledger = LedgerFile(home).read()
        groups = digests_of_groups({"customer-2": ["c2"]})
        found = earlier_tests(ledger, digests(["refund letters"]), groups, run_id="r2")
        assert [x.run_id for x in found] == ["r1"]
