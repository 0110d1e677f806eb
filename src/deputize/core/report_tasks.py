"""The part of report.json that is about one task."""

from __future__ import annotations

from typing import Literal

import msgspec

from deputize.core.artifacts import Candidate, Leak
from deputize.core.certification import DeltaSpending, FamilyWiseTest, Feasibility
from deputize.core.records import Certificate, Record
from deputize.core.task_results import (
    AgreementBand,
    CurvePoint,
    EpsilonRow,
    EvaluationFacts,
    HeldOut,
    MethodRow,
    TestScore,
)


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


class TaskVerdict(Record):
    """The verdict on a task, and the counts behind it; only a specialist's route is certified."""

    kind: Literal["specialist", "cache", "code", "llm"]
    """The best way found to answer the task: a specialist, a cache of earlier answers, plain code, or the LLM as
    before."""
    reason: str
    """Why, as a sentence without its end."""
    n_exact_repeats: int
    """Calls whose request repeats an earlier one of the task letter for letter, one of the 10,000 that were asked for
    last."""
    n_exact_alike: int
    """Of them, with the answer of the earlier one."""
    n_near_repeats: int
    """Further calls whose request is an earlier one but for case, numbers and punctuation."""
    n_near_alike: int
    """Of them, with the answer of the earlier one."""
    rule: str
    """The constant or rule that gives most answers of the training calls, in words; "" where none fits."""
    n_rule_calls: int
    """Held-out calls that the rule was tried on."""
    n_rule_right: int
    """Of them, those to which it gives the LLM's answer."""


class LossPoint(Record):
    """The losses of one pass over the training examples."""

    epoch: int
    """Number of the pass."""
    train: float
    """Mean loss on training examples, in nats a token of the answer."""
    validation: float
    """The same on validation examples."""


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
    losses: list[LossPoint] = msgspec.field(default_factory=list)
    """Of a language model, after each pass over its training examples; [] for other methods."""


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
    """Part of routed_usd: the LLM, audits of served calls; two answers each for routes certified against its repeated
    samples."""
    cache_usd: float
    """Part of routed_usd: tokens that the provider's cache gave to calls of the LLM, and that it no longer holds for
    those left to it where the call before is served."""


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
    verdict: TaskVerdict
    """The best way found to answer it."""
    certificate: Certificate | None
    """Claim about the route; null where it was refused."""
    route_id: str | None
    """Id of the route that its certificate is for; null without one."""
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
    by_confidence: list[AgreementBand]
    """Agreement with the LLM on held-out calls by the specialist's confidence, from low to high."""
    by_epsilon: list[EpsilonRow]
    """Claims that could be made at other losses."""
    evaluation: EvaluationFacts
    """Facts that the certificate rests on."""
