"""Schema of report.json: everything a run found, in one document.

docs/reference/report.md is written from the fields and docstrings here (deputize.web.report_reference). Parts that are
results of their own (certificates, method rows, leak tests, ...) are the records of core.artifacts and core.records.
A number that is not known is null, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from deputize.core.artifacts import Candidate, Leak
from deputize.core.certification import DeltaSpending, FamilyWiseTest, Feasibility
from deputize.core.earlier_route import EarlierRoute
from deputize.core.records import Certificate, Record
from deputize.core.sites import Site
from deputize.core.task_results import CurvePoint, EpsilonRow, EvaluationFacts, HeldOut, MethodRow, TestScore

REPORT_VERSION = 3


class ReportSource(Record):
    """The log that the run read."""

    n_calls: int
    """Calls in the log."""
    n_episodes: int
    """Episodes (runs of an agent) they belong to."""
    n_code_calls: int
    """Calls whose reply is meant for code; the others are replies to a person and are never served."""
    tenants: dict[str, int]
    """Tenant -> its calls, without those that were withheld."""
    n_skipped: int
    """Lines that could not be read."""
    skipped: dict[str, int]
    """Reason -> lines that could not be read."""
    models: dict[str, int]
    """LLM -> calls it answered; names that few data subjects have are counted as "others"."""
    sites: list[Site]
    """Places in the agent that call a model."""


class ReportSplit(Record):
    """Size of one split."""

    n_calls: int
    """Calls in it."""
    n_groups: int
    """Independent groups they belong to: episodes, or all attempts at one job."""


class ReportCuration(Record):
    """Calls that curation kept and dropped, and personal data that it replaced."""

    n_kept: int
    """Calls that may be trained on."""
    dropped: dict[str, int]
    """Reason -> calls that are not trained on."""
    entities: dict[str, int]
    """Kind of personal data or secret -> places where it was replaced."""
    detectors: list[str]
    """Detectors that looked for personal data."""
    tagger_recall: str
    """Measured recall of the tagger among them; "" where none was measured."""
    splits: dict[str, ReportSplit]
    """train, validation, calibration, test -> size."""
    n_missing_from_store: int
    """Calls of validation, calibration and test that had left the store (erased, expired) when specialists were tested."""
    warnings: list[str]
    """Things that were not as they should be."""


class ReportField(Record):
    """One field of a JSON answer."""

    name: str
    """Its key."""
    type: Literal["label", "value", "free"]
    """label: one of a closed set; value: compared exactly unless it has a measure; free: text that is not compared."""
    n_labels: int
    """Size of the closed set; 0 for other types."""
    measure: str
    """The closeness from which two of its texts agree; "": they are compared character by character."""


class ReportContract(Record):
    """Answer schema of a task."""

    kind: Literal["label", "json", "tool_call", "text"]
    """Kind of answer."""
    n_labels: int
    """Labels, for kind "label"."""
    labels: list[str]
    """The first twelve of them."""
    fields: list[ReportField]
    """Fields, for kind "json"."""
    tools: list[str]
    """Tool names, for kind "tool_call"."""
    may_defer: bool
    """True at a site that also speaks to people: deferring to the LLM is one of the answers."""
    measure: str
    """For kind "text": the closeness from which two replies agree; "": they are compared character by character."""


class ReportSpecialist(Record):
    """The specialist that was chosen for a task."""

    id: str
    """Its id."""
    model: str
    """The model it was tuned from."""
    method: str
    """How it was trained: linear, frozen, encoder, lora, qlora, dora, full."""
    n_train: int
    """Training examples."""
    train_s: float
    """Training time."""
    tokens_per_s: float | None
    """Speed of training."""
    prompt_tokens_before: float | None
    """Mean length of the requests, in tokens of the model."""
    prompt_tokens_after: float | None
    """Mean length of the prompts the specialist reads instead."""
    kind: str
    """Kind of its predictor: linear, pointer, head, decoder."""
    path: str
    """Its folder, relative to the home."""
    seconds_per_call: float | None
    """Measured time of one call."""
    n_erased: int = 0
    """Training examples that were erased since; train it again."""


class ReportLeakTest(Leak, kw_only=True):
    """The leak test of one specialist, refused ones included."""

    method: str
    """How the specialist was trained."""


class ReportTaskCost(Record):
    """Cost of the recorded calls meant for code."""

    llm_only_usd: float
    """With the LLM alone."""
    routed_usd: float
    """With routes: calls that the LLM answers, their colder cache, specialists, and audits."""
    specialist_usd: float
    """Part of routed_usd: specialists, calls they serve."""
    deferred_usd: float
    """Part of routed_usd: specialists, calls they defer to the LLM."""
    audit_usd: float
    """Part of routed_usd: the LLM, audits of served calls; two answers each for routes certified against its repeated samples."""
    cache_usd: float
    """Part of routed_usd: tokens that the provider's cache gave to calls of the LLM, and that it no longer holds for those left to it
    where the call before is served."""


class ReportTask(Record):
    """One discovered task: either `certificate` or `refusal_reason` is set."""

    id: str
    """Its id."""
    name: str
    """Human-readable name."""
    kind: Literal["label", "json", "tool_call", "text"]
    """Kind of answer."""
    n_calls: int
    """Calls meant for code."""
    n_calls_for_people: int
    """Replies to people at the same site."""
    share_of_calls: float
    """Of all calls meant for code."""
    share_of_cost: float
    """Of the LLM's cost for tasks."""
    n_origins: int
    """End users the calls came from."""
    n_episodes: int
    """Episodes the calls belong to."""
    site: str
    """Id of the site."""
    signature: str
    """Digest of the structure of its requests."""
    template: str
    """Constant lines of its requests, slots shown as ⟨…⟩."""
    contract: ReportContract
    """Answer schema."""
    candidates: list[Candidate]
    """Models and baselines that were considered, best first."""
    specialist: ReportSpecialist | None
    """The chosen specialist; null where none was tested."""
    leak_tests: list[ReportLeakTest]
    """One for each specialist in whose answers a planted secret could show."""
    test: TestScore | None
    """Accuracies on held-out calls; null where none was evaluated."""
    certificate: Certificate | None
    """Claim about the route; null where it was refused."""
    held_out: HeldOut | None
    """The route on held-out calls; null without a certificate, or without such calls."""
    refusal_reason: str | None
    """Why there is no certificate; null where there is one."""
    feasibility: Feasibility | None
    """Verdict before anything was trained: whether the groups of the task can carry a certificate."""
    delta_spending: DeltaSpending | None
    """The part of delta that the test was done at, and what is left of it; null where nothing was tested."""
    family_wise: FamilyWiseTest | None
    """The claim that holds together with those of all other tasks tested; null where nothing was tested."""
    median_llm_latency_ms: float | None
    """Of the recorded calls."""
    cost: ReportTaskCost
    """Of the task's calls."""
    methods: list[MethodRow]
    """Baselines, then the trained methods from cheap to expensive."""
    curve: list[CurvePoint]
    """Loss against share served on held-out calls, from the strictest threshold to the most permissive."""
    by_epsilon: list[EpsilonRow]
    """Claims that could be made at other losses."""
    evaluation: EvaluationFacts
    """Facts that the certificate rests on."""


class ReportCost(ReportTaskCost, kw_only=True):
    """Costs of the whole log."""

    training_usd: float
    """Training, paid once; not in routed_usd."""
    promotion_usd: float
    """From shadow to live, paid once; not in routed_usd. Specialists in shadow, audits of canaries, second answers of the LLM;
    estimated from the loss in calibration."""
    audit_share: float
    """Share of the served calls that is audited, as the gateway's settings say."""
    llm_usd: float
    """Part of routed_usd: the LLM, calls it answers."""
    break_even_calls: int | None
    """Calls after which training and promotion are earned back; null where a call saves nothing."""
    n_calls_priced: int
    """Calls whose costs are counted."""
    n_calls_tokens_estimated: int
    """Of them, without token counts: estimated from characters."""
    n_calls_price_assumed: int
    """Of them, of a model without a listed price."""


class ReportEnergy(Record):
    """Energy and emissions of the recorded calls."""

    llm_only_wh: float
    """With the LLM alone."""
    routed_wh: float
    """With routes."""
    specialist_wh: float
    """Of it, specialists."""
    training_wh: float
    """Training, once."""
    llm_only_co2e_g: float
    """Emissions with the LLM alone."""
    routed_co2e_g: float
    """Emissions with routes."""
    training_co2e_g: float
    """Emissions of training, once."""


class ReportTotalEpsilonRow(Record):
    """Share of all calls meant for code that could be served at one loss; tasks without a specialist count as not served."""

    epsilon: float
    """The loss allowed in each task."""
    share_certified: float
    """With certificates, on calibration calls."""
    share_held_out: float
    """With certificates, on held-out calls."""
    oracle_coverage: float
    """By hindsight, on held-out calls: an upper bound."""
    oracle_coverage_calibration_and_test: float
    """By hindsight, on calibration and held-out calls."""


class ReportTotal(Record):
    """The whole log: tasks weighed by their calls, those without a route counted as left to the LLM."""

    n_code_calls: int
    """Calls meant for code."""
    n_routes: int
    """Tasks with a certificate."""
    share_of_code_calls_served: float
    """Of the calls meant for code, served by specialists; measured on held-out episodes."""
    quality_difference: float
    """Change in agreement with the LLM, over all calls meant for code; negative: worse than the LLM alone."""
    quality_difference_interval: tuple[float, float]
    """95 % interval of quality_difference."""
    agreement_of_served: float | None
    """Of the served calls, those answered as the LLM did; null where none is served."""
    cost: ReportCost
    """Costs."""
    energy: ReportEnergy
    """Energy and emissions."""
    by_epsilon: list[ReportTotalEpsilonRow]
    """Shares that could be served at other losses."""


class ReportEnvironment(Record):
    """The machine."""

    python: str = ""
    """Version."""
    torch: str | None = None
    """Version; null where it is not installed."""
    cpu: str = ""
    """Model."""
    gpu: str | None = None
    """Model; null without one."""
    n_cores: int | None = None
    """Cores the run might use."""


class ReplayServer(Record):
    """Calls of a replay that specialists answered, or the LLM."""

    n_calls: int
    """How many."""
    share: float | None
    """Of all calls of the replay."""
    agreement: float | None
    """Of them, answered as the LLM would; 1 for the LLM."""
    p50_ms: float | None
    """Median latency."""
    p95_ms: float | None
    """95th percentile of the latency."""
    mean_reply_tokens: float | None
    """Mean length of the replies."""


class ReplaySite(Record):
    """Calls of a replay at one site."""

    n_calls: int
    """How many."""
    n_slm: int
    """Of them, answered by specialists."""
    n_disagree: int
    """Of them, answered otherwise than the LLM would."""


class ReplayCost(Record):
    """Cost of the calls of a replay."""

    llm_only_usd: float
    """With the LLM alone."""
    routed_usd: float
    """As they were answered."""
    specialist_usd: float
    """Of it, specialists."""


class ReplayDisagreement(Record):
    """One call that a specialist answered otherwise than the LLM would."""

    site: str
    """Id of the site."""
    got: str
    """The specialist's answer."""
    wanted: str
    """The LLM's answer."""


class ReportReplay(Record):
    """Fresh calls sent through the gateway with the new routes (`deputize demo`)."""

    n_calls: int
    """How many."""
    by_server: dict[str, ReplayServer]
    """slm, llm -> what they answered."""
    by_site: dict[str, ReplaySite]
    """Site -> calls."""
    cost: ReplayCost
    """Of the calls."""
    disagreements: list[ReplayDisagreement]
    """The first ten."""
    note: str
    """A remark to read before quoting a figure."""


class Report(Record):
    """Everything a run found."""

    version: int
    """Version of this schema; raised when a field changes its name or meaning."""
    run_id: str
    """Name of the run and of its folder."""
    tenant: str
    """Whose calls were read, and whose the specialists answer; "*": all tenants share them."""
    seed: int
    """Seed of the run: the same log and seed give the same splits and draws."""
    epsilon: float
    """The loss that certificates allow, over all calls of a task."""
    delta: float
    """The probability with which a certificate may be false."""
    scope: Literal["per-route", "all-routes"]
    """Whether delta is for each certificate by itself, or for all of the run at once."""
    source: ReportSource
    """The log."""
    curate: ReportCuration
    """Calls that were kept of it."""
    tasks: list[ReportTask]
    """Discovered tasks, the largest first."""
    unassigned: dict[str, int]
    """Reason -> calls in no task."""
    earlier_routes: list[EarlierRoute]
    """Routes that were published before and of which this run certified no successor; their shares are not in the totals."""
    total: ReportTotal
    """The whole log."""
    timings_s: dict[str, float]
    """Stage -> time."""
    environment: ReportEnvironment
    """The machine."""
    notes: list[str]
    """Remarks to read before quoting a figure."""
    assumptions: list[str]
    """Assumptions of the costs."""
    nothing_trained_reason: str | None
    """Why nothing was trained, where no task can be certified with this log; else null."""
    replay: ReportReplay | UnsetType = UNSET
    """Fresh calls through the gateway; only in reports of `deputize demo`."""


def document(value: Any) -> Any:
    """A record as plain JSON values, every field present: tuples as lists, numpy's numbers as numbers, NaN and infinity as null."""
    if isinstance(value, msgspec.Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: document(inner) for name, inner in fields if inner is not UNSET}
    if isinstance(value, Mapping):
        return {str(k): document(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [document(v) for v in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if math.isfinite(value) else None


def validate(report: Any) -> Report:
    """The report of a document of plain JSON values.

    Raises:
        msgspec.ValidationError: a field is missing, has another type, or is not in the schema.
    """
    parsed = msgspec.convert(report, Report)
    if document(parsed) != report:
        raise msgspec.ValidationError(f"not in the schema: {', '.join(_unknown(report, document(parsed)))}")
    return parsed


def _unknown(given: Any, known: Any, where: str = "$") -> list[str]:
    """Paths at which a document holds something that its parsed form does not."""
    if isinstance(given, dict) and isinstance(known, dict):
        return [
            path
            for key, inner in given.items()
            for path in (
                _unknown(inner, known[key], f"{where}.{key}") if key in known else [f"{where}.{key}"]
            )
        ] + [f"{where}.{key} is missing" for key in known if key not in given]
    if isinstance(given, list) and isinstance(known, list):
        return [
            path
            for i, (one, other) in enumerate(zip(given, known, strict=True))
            for path in _unknown(one, other, f"{where}[{i}]")
        ]
    return [] if given == known else [where]
