"""Records of what a task's test could show before it was done, at which level it was done, and what was left."""

from __future__ import annotations

from deputize.core.records import Record


class Feasibility(Record):
    """Verdict on whether the groups of a task can carry a certificate, made before anything is trained."""

    n_groups: int
    """Independent groups of the task in the whole log: episodes, or all attempts at one job."""
    n_units: int
    """Independent calibration units to be expected of them."""
    n_needed: int
    """Units without a single error that the claim needs."""
    epsilon: float
    """The loss to be claimed."""
    delta: float
    """The probability with which a claim may be false."""
    test_level: float
    """The part of delta that may be spent on this test."""
    n_earlier: int
    """Tests of earlier runs on some of the same groups; each has spent a part of delta."""
    smallest_epsilon: float
    """The least loss that so many units could be certified at, without a single error."""
    possible: bool
    """True if a specialist without an error would be certified; else nothing is trained, unless `explore` is set."""
    n_more_groups: int
    """Groups that are missing in the whole log; 0 where there are enough."""
    days: float | None
    """Days until they are there, at the rate of the log; null where the log has no times."""
    sentence: str
    """The verdict in words."""


class DeltaSpending(Record):
    """The level of one task's test: what is left of delta after earlier tests on the same groups, and after this
    one."""

    __test__ = False

    delta: float
    """For all tests on these groups together."""
    test_level: float
    """Of this test."""
    n_earlier: int = 0
    """Tests of earlier runs on some of the same groups."""
    new_groups_only: bool = False
    """Only groups that no earlier test saw were used: they are enough, and cost nothing of what was spent."""
    n_groups: int = 0
    """Calibration groups that the test could draw on."""
    delta_left: float = 0.0
    """The part of delta that is left for further tests on the same groups."""


class FamilyWiseTest(Record):
    """The claim that could be made of a task if the claims of all tasks of the run had to hold at once."""

    n_tasks: int
    """Tasks that were tested: delta is shared among them."""
    test_level: float
    """Of this task's test then (Holm's step over the tasks)."""
    certified: bool = False
    """True where a threshold passes at that level and serves enough."""
    threshold: float | None = None
    """The certified threshold."""
    share_served: float = 0.0
    """Of the calibration calls meant for code, served at the threshold."""
    reason: str = ""
    """Why nothing could be claimed."""
