"""Words and numbers of the pages."""

from __future__ import annotations

from tests.unit.dashboard.conftest import route

from deputize.dashboard.rendering import actions_of, clock, energy


def test_energy_and_time_as_a_person_reads_them() -> None:
    assert [energy(v) for v in (0, 0.0123, 12.34, -2.0, 2500.0)] == [
        "0.0 Wh",
        "0.012 Wh",
        "12.3 Wh",
        "-2.0 Wh",
        "2.5 kWh",
    ]
    assert (clock(0), clock(1_700_000_000)) == ("–", "2023-11-14 22:13:20")


def test_only_what_can_be_done_has_a_button() -> None:
    def of(**given: object) -> list[str]:
        return [action for action, _ in actions_of(route("a", **given))]

    assert of() == ["rollback", "close"]
    assert of(state="canary", share=0.05) == ["next", "live", "rollback", "close"]
    assert of(state="closed") == ["next", "live"]
    assert of(state="closed", certificate=None) == []
    assert of(state="rolled_back") == ["next", "live", "close"]
    assert ("previous", "Serve by the earlier version") in actions_of(route("a"), has_previous=True)
