"""Results of evaluation, task by task: what was chosen and certified, and the figures behind it."""

from __future__ import annotations

import msgspec

from deputize.core.certification import DeltaSpending, FamilyWiseTest
from deputize.core.earlier_route import EarlierRoute
from deputize.core.ood_detector_power import OutOfDistributionDetectorPower
from deputize.core.records import Certificate, Record


class TestScore(Record):
    """Agreement with the LLM on held-out calls, of the chosen specialist and of what it is compared with."""

    __test__ = False

    n_calls: int
    """Held-out calls that were evaluated."""
    n_episodes: int
    """Episodes they belong to."""
    majority_accuracy: float | None = None
    """Of always giving the most frequent answer of the training split."""
    base_accuracy: float | None = None
    """Of the untuned model, in the selection stage's probe; null where it was not probed."""
    tuned_accuracy: float | None = None
    """Of the chosen specialist, on every call, whatever its confidence."""
    tuned_interval: tuple[float, float] | None = None
    """95 % interval of tuned_accuracy (Wilson, with the effective number of calls)."""


class HeldOut(Record):
    """The route as it would have run on episodes that neither training nor thresholds nor calibration saw."""

    n_calls: int
    """Held-out calls that were evaluated, those meant for people included."""
    share_served: float
    """Of the calls meant for code, served at the certified threshold."""
    loss_difference: float
    """Added errors a call: served and wrong, over all calls; less the LLM's own disagreement where that was
    certified."""
    loss_difference_interval: tuple[float, float]
    """95 % interval of loss_difference."""
    loss_per_episode: float | None = None
    """The same in an average group (episode): the mean over groups of the added errors a call of each."""
    n_code_calls: int = 0
    """Calls meant for code among them."""
    n_served: int = 0
    """Calls served at the threshold, meant for code or for people."""
    agreement_of_served: float | None = None
    """Of the served calls, those answered as the LLM did; null where none was served."""
    errors_on_calls_for_people: int = 0
    """Served calls that the LLM answered to a person: each is an error."""
    share_of_cost_served: float = 0.0
    """Of the LLM's cost for calls meant for code, spent on calls that would be served."""


class MethodRow(Record):
    """One method tried on a task: trained and measured, or a baseline that was only probed. Null where it was not
    read."""

    method: str
    """linear, frozen, encoder, lora, ...; majority, or "probe: ..." for what was not trained."""
    model: str = ""
    """The model it runs on."""
    trained: bool = False
    """False for a baseline."""
    chosen: bool = False
    """True for the method that the certificate is about."""
    n_train: int | None = None
    """Training examples."""
    train_s: float | None = None
    """Training time."""
    n_validation: int | None = None
    """Validation calls that were evaluated, or calls of train that were answered by cross-fitting."""
    validation_accuracy: float | None = None
    """Agreement with the LLM on them."""
    validation_coverage: float | None = None
    """Share of them that could be served at about epsilon, by hindsight: what methods are compared by."""
    n_test: int | None = None
    """Held-out calls that were evaluated."""
    test_accuracy: float | None = None
    """Agreement with the LLM on them."""
    test_interval: tuple[float, float] | None = None
    """95 % interval of test_accuracy."""
    action_accuracy: float | None = None
    """Agreement on tool names without arguments; null for tasks that call no tools."""
    test_coverage: dict[str, float | None] = msgspec.field(default_factory=dict)
    """epsilon -> share of the held-out calls meant for code that hindsight could serve at that loss."""
    seconds_per_call: float | None = None
    """Measured time of one call."""
    probe_accuracy: float | None = None
    """Of a baseline, in the selection stage's probe."""
    n_probe: int | None = None
    """Calls of that probe."""


class CurvePoint(Record):
    """Loss against share served at one threshold, on held-out calls."""

    threshold: float
    """Calls of at least this confidence would be served."""
    share_served: float
    """Of the calls meant for code."""
    loss: float
    """Served and wrong, over all calls."""
    loss_low: float
    """Lower end of the 95 % interval of loss."""
    loss_high: float
    """Upper end of it."""


class AgreementBand(Record):
    """Held-out calls of which the specialist's confidence is in one range, those that it leaves to the LLM aside."""

    lowest_confidence: float
    """Least confidence of the range."""
    highest_confidence: float
    """Greatest of it."""
    mean_confidence: float
    """Mean over its calls: the share of right answers that the specialist expects."""
    n_calls: int
    """Calls in it."""
    n_agreed: int
    """Of them, answered as the LLM did."""


class EpsilonRow(Record):
    """The claim that could be made of a task at one epsilon; each epsilon is a test of its own at delta."""

    epsilon: float
    """The loss allowed."""
    certified: bool = False
    """True where a threshold passed the test and serves enough."""
    threshold: float | None = None
    """The certified threshold."""
    p_value: float | None = None
    """Of that threshold."""
    share_certified: float = 0.0
    """Of the calibration calls meant for code, served at the threshold."""
    share_held_out: float = 0.0
    """Of the held-out calls meant for code, served at the threshold."""
    loss_held_out: float | None = None
    """Served and wrong, over all held-out calls."""
    oracle_coverage: float = 0.0
    """Of the held-out calls meant for code, what hindsight could serve at this loss: an upper bound."""
    oracle_coverage_calibration_and_test: float = 0.0
    """The same over calibration and held-out calls together."""
    n_units: int = 0
    """Independent calibration units of the test."""
    units_needed: int = 0
    """Units without an error that a claim at this epsilon needs."""
    reason: str = ""
    """Why nothing was certified."""


class SelfAgreement(Record):
    """Agreement of the LLM's repeated samples with its recorded answers: the ceiling of any specialist's agreement."""

    agreement: float
    """Share of repeated samples that equal the recorded answer."""
    n_calls: int
    """Calls that were asked more than once."""


class FullAnswers(Record):
    """Cost of writing out the free text of answers too, which is not compared and so not written while measuring."""

    n_calls: int
    """Calls answered in full."""
    seconds_per_call: float
    """Measured time of one such call."""
    finished: float
    """Share of them that ended within the length limit; the others go to the LLM."""


class DecisionAlone(Record):
    """The claim that could be made of the decision alone: which tool is called, or that the call is left to the LLM,
    whatever the arguments.

    A test of its own at the level of the certificate's. Nothing is served by it: an answer needs its arguments.
    """

    certified: bool
    """True where a threshold passed the test and would serve enough."""
    threshold: float | None = None
    """The certified threshold."""
    share_served: float = 0.0
    """Of the calibration calls meant for code."""
    n_units: int = 0
    """Calibration units."""
    n_served: int = 0
    """Of them, served at the threshold."""
    n_errors: int = 0
    """Of these, with another tool than the LLM's, or one where it called none."""
    p_value: float | None = None
    """Of the claim."""
    share_held_out: float = 0.0
    """Of the held-out calls meant for code, served at the threshold."""
    loss_held_out: float | None = None
    """Served with another decision than the LLM's, over all held-out calls."""
    reason: str = ""
    """Why nothing was certified."""


class EvaluationFacts(Record):
    """Facts that the certificate of a task rests on, and others found while measuring."""

    chosen_because: str = ""
    """Why this method was chosen, on validation or by cross-fitting on train."""
    mixed: bool = False
    """True at a site that also speaks to people: deferring to the LLM is one of the answers there."""
    n_validation: int = 0
    """Calls that the methods were compared on: of validation, or of train."""
    is_cross_fitted: bool = False
    """True where these are calls of train, each answered by a model fitted on other groups, and calibration has what
    would be validation."""
    n_calibration_calls: int = 0
    """Calibration calls that were evaluated."""
    n_calibration_groups: int = 0
    """Independent calibration units: one random call of each group."""
    n_calibration_not_evaluated: int = 0
    """Units not evaluated within the time budget; they count as served and wrong."""
    units_needed: int = 0
    """Units without an error that a claim at epsilon needs."""
    n_repeated: int = 0
    """Units for which the LLM was asked more than once."""
    seconds_per_call: float | None = None
    """Measured time of one call of the chosen specialist, its whole answer written."""
    full_answers: FullAnswers | None = None
    """Measured apart where answers hold free text."""
    action_accuracy: float | None = None
    """Agreement on tool names without arguments, on held-out calls; null for tasks that call no tools."""
    decision_alone: DecisionAlone | None = None
    """What could be certified of the decision apart from its arguments; null for tasks that call no tools."""
    llm_self_agreement: SelfAgreement | None = None
    """Null where the LLM was asked once only."""
    ood_detector: OutOfDistributionDetectorPower | None = None
    """The chosen specialist's detector of out-of-distribution requests; null where there are too few groups for one."""
    leaks: str = ""
    """Which specialists of the task give planted secrets away, and so were not measured."""


class CalibrationCall(Record):
    """The result of the chosen specialist for one calibration call; no text of the call or of the answer."""

    call_id: str
    served: bool
    """At the certified threshold; false where the claim was refused."""
    right: bool
    """The answer is the LLM's."""
    is_unit: bool = False  # one of the calls that the claim was tested on
    episode: int | None = None
    """Number of its episode, where whole episodes were tested."""
    confidence: float | None = None
    """Null where nothing could be served: not asked, no answer, left to the LLM, out of distribution."""
    answer: str = ""
    """Keyed digest of the answer; "" where there is none."""


class TaskResult(Record):
    """Everything the report says of one task. Either `certificate` or `refusal_reason` is set."""

    task_id: str
    chosen: str = ""
    """Specialist id."""
    certificate: Certificate | None = None
    test: TestScore | None = None
    held_out: HeldOut | None = None
    refusal_reason: str = ""
    """Why there is no certificate, for a reader; nothing is decided by it."""
    methods: list[MethodRow] = msgspec.field(default_factory=list)
    """Baselines, then the trained methods from cheap to expensive."""
    curve: list[CurvePoint] = msgspec.field(default_factory=list)
    """From the strictest threshold to the most permissive."""
    by_confidence: list[AgreementBand] = msgspec.field(default_factory=list)
    """By rising confidence."""
    by_epsilon: list[EpsilonRow] = msgspec.field(default_factory=list)
    """By rising epsilon."""
    evaluation: EvaluationFacts = EvaluationFacts()
    held_out_groups: dict[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    """Group -> (calls meant for code, loss difference summed over all its calls): what the totals of the report are
    made of. Names of groups stay here, in the sealed results."""
    delta_spending: DeltaSpending | None = None
    """Level of the test; None where nothing was tested."""
    family_wise: FamilyWiseTest | None = None
    """The claim if those of all tasks had to hold at once; None where nothing was tested."""
    calibration: list[CalibrationCall] = msgspec.field(default_factory=list)
    """What was recorded of each calibration call that was evaluated: what the gateway serves can be compared with
    it."""


class Evaluated(Record):
    """Result of evaluation."""

    results: list[TaskResult]
    earlier: list[EarlierRoute] = msgspec.field(default_factory=list)
    """Published routes of which this run certified no successor."""
    outdated: dict[str, str] = msgspec.field(default_factory=dict)
    """Published routes with a successor that may not serve alongside it -> why."""
    n_missing_from_store: int = 0
    """Calls of validation, calibration and test that had left the store (erased, expired) and were left out."""
