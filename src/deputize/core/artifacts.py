"""What one stage hands to the next: one record per arrow, with counts kept and dropped and the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from deputize.core.certification import Feasibility
from deputize.core.ood_detector_power import OutOfDistributionDetectorPower
from deputize.core.records import Contract, Example, KeySpace, Record, Split, Task
from deputize.core.sites import Site


class Skip(Record):
    """A record of a log that was not imported."""

    file: str
    line: int
    reason: str
    is_no_call: bool = False
    """The record is no LLM call by its nature (a tool's span, an embedding, a description of the log): nothing was
    lost."""
    keys: list[str] = msgspec.field(default_factory=list)
    """Names of the record's fields, where no format was recognised."""


class SiteInference(Record):
    """Call sites inferred from a log: the sites, and for each call where it was made and who it speaks to."""

    sites: list[Site]
    site_of: dict[str, str]
    """call id -> site id."""
    audience_of: dict[str, Literal["human", "code"]]
    """call id -> who the reply is meant for."""


class Withheld(Record):
    """A call of which curation makes no example: its text goes no further.

    Its like is asked live all the same, so it has a split: certificates are calibrated and tested on it, as it is in
    the store.
    """

    call_id: str
    reason: str
    site: str = ""
    tenant: str = ""
    """"" where it is not known: only who may see every tenant sees it."""
    audience: Literal["human", "code"] = "code"
    episode: str = ""
    """Pseudonym, as in Example."""
    group: str = ""
    """Pseudonym, as in Example."""
    split: Split = ""
    repeated: list[str] = msgspec.field(default_factory=list)
    """As Example.repeated."""


LINKED = "linked:"
"""Start of the names of episodes that the log does not name."""

LinkedBy = Literal["header", "history", "session", "none"]
"""The evidence for the episode of a call: the log, its history, a session field or a person's calls close in time,
nothing."""


class EpisodeLinks(Record):
    """Collection -> curation: the episodes that calls belong to where the log does not say it."""

    episode_of: dict[str, str]
    """Call id -> episode, for calls whose episode the log does not name and that are linked to others."""
    linked_by: dict[LinkedBy, int]
    """Number of calls by the evidence for their episode."""
    dated: bool
    """True where every call has a time."""

    @property
    def basis(self) -> Literal["header", "history", "none"]:
        """The evidence that episodes are independent: names in the log; histories and times; or nothing at all."""
        if self.linked_by["none"] == self.linked_by["history"] == self.linked_by["session"] == 0:
            return "header"
        return (
            "none" if not self.dated and self.linked_by["none"] == sum(self.linked_by.values()) else "history"
        )


class Curated(Record):
    """Result of curation."""

    examples: Sequence[Example]
    """In the order of the log: a list, or a stream that is read from the disk each time (pipeline.example_stream)."""
    sites: list[Site]
    n_calls: int
    n_episodes: int
    n_code_calls: int
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    """reason -> calls that are not in examples, or are there but not trainable."""
    entities: dict[str, int] = msgspec.field(default_factory=dict)
    """entity type -> replaced spans."""
    warnings: list[str] = msgspec.field(default_factory=list)
    detectors: list[str] = msgspec.field(default_factory=list)
    """Names of what looked for personal data."""
    tagger_recall: str = ""
    """Of the tagger among them: "measured recall x on set y"; "" where nothing was measured."""
    linked_by: dict[str, int] = msgspec.field(default_factory=dict)
    """Calls by what tells their episode: header (the log names it), history, session (a session field, or one person's
    calls close in time), none."""
    replaced_segments: list[str] = msgspec.field(default_factory=list)
    """Segments of prompt templates in which something was replaced: no request has them, so none is known by them."""
    n_linked: int = 0
    """Calls whose episode was found by their history or session."""
    n_groups_joined: int = 0
    """Groups that became part of another one, since they repeat its prompts."""
    linkage: Literal["header", "history", "none", ""] = ""
    """What the independence of groups rests on: episodes that the log names; histories, sessions and times; nothing."""
    n_people: int = 0
    """People who asked, where they are few behind many groups; 0 where they are many or the log does not say."""
    split_by_person: bool = False
    """The groups of one person are one group, so that claims hold for people who are not in the log."""
    withheld: list[Withheld] = msgspec.field(default_factory=list)
    """Quarantined calls and those of sites that speak to people only; with the untrainable examples: all drops."""


class TaskChange(Record):
    """A change of tasks since the run before."""

    kind: Literal["born", "gone", "split", "merged"]
    before: list[str] = msgspec.field(default_factory=list)
    """Ids of the tasks of the run before."""
    now: list[str] = msgspec.field(default_factory=list)


class Discovered(Record):
    """Result of task discovery."""

    tasks: list[Task]
    keyspaces: list[KeySpace]
    assignment: dict[str, str]
    """call id -> task id; calls that fit no task are absent."""
    unassigned: dict[str, int] = msgspec.field(default_factory=dict)
    """reason -> calls."""
    min_origins: int = 1
    """What the calls of fewer data subjects hold is in no name, template, contract or key space here."""
    changes: list[TaskChange] = msgspec.field(default_factory=list)
    """Since the newest earlier run of the tenant; [] where there was none."""


class Candidate(Record):
    """One model considered for one task."""

    model: str
    """Its name in the catalogue; "" for a baseline without one."""
    method: str = ""
    """"" for the model as it is; majority, linear, ... for a baseline that was probed."""
    probe_accuracy: float | None = None
    """Agreement with the LLM on the probed calls; null where it was not probed."""
    n_probe: int = 0
    """Calls of the probe."""
    fits: bool = True
    """False where the machine has too little memory for it."""
    licence: str = ""
    """SPDX identifier."""
    note: str = ""
    """Why it was not considered further."""


class TaskProbe(Record):
    """Measurements of a task before any training, for methods to plan by."""

    epsilon: float
    """The loss asked for."""
    linear_fits: bool
    """True where a linear model can express whole answers."""
    linear_accuracy: float = 0.0
    """Accuracy of the linear method on groups it was not fitted on; 0 where it is not among the methods, or all are to
    be trained."""


class MethodPlan(Record):
    """Decision whether a training method is worth its time for a task."""

    train: bool
    reason: str = ""
    """Why not, for the report; "" where there is nothing to say."""


class Selected(Record):
    """Result of selection: candidates per task id, best first, and the methods worth training."""

    candidates: dict[str, list[Candidate]]
    plan: dict[str, list[str]]
    """task id -> methods to train in order of cost, e.g. ["linear", "lora"]; [] where nothing can be trained."""
    base_model: str
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    """task id -> why nothing is trained for it."""
    feasibility: dict[str, Feasibility] = msgspec.field(default_factory=dict)
    """task id -> whether its groups can carry a certificate."""
    too_few_groups: list[str] = msgspec.field(default_factory=list)
    """Tasks that are not trained for that reason alone, or for having too few calls as well."""
    linear_settings: dict[str, tuple[int, float, bool]] = msgspec.field(default_factory=dict)
    """task id -> settings of the linear model (specialists.linear_model.LinearSettings) that cross-validation over all
    of train chose."""


class Leak(Record):
    """Secrets planted in its training data that a specialist gave away (scoring.leak, after Carlini et al. 2019)."""

    leaks: bool
    """It is refused."""
    reason: str
    """One sentence."""
    n_planted: int
    """Secrets planted in the training data and looked for."""
    n_extracted: int
    """Secrets that were brought up letter for letter."""
    n_exposed: int
    """Secrets with an exposure of at least `limit_bits` by rank: they have left a trace, which alone is no leak."""
    limit_bits: float
    """Exposure from which a secret counts in n_exposed."""
    p_exposed: float
    """Chance of that many for a model that saw none of them."""
    p_memorised: float
    """Fisher's combination of all ranks; small values alone are no leak."""
    mean_exposure: float
    """Bits; a model that knows nothing gives about 1.44."""
    max_exposure: float
    """Bits, of the secret that is remembered best."""
    seconds: float = 0.0
    """Time of the test."""
    n_leaked: int = 0
    """Secrets that were extracted, or that fewer guesses would find than a secret must cost: any one is a leak."""
    bits_remaining: float | None = None
    """log2 of the guesses that the least safe secret still costs, at the cautious end of the estimate; None: an older
    test."""
    bits_total: float | None = None
    """log2 of the guesses that a secret costs without the specialist."""
    repeats: int = 1
    """In how many training examples those secrets stood that stood in most: as often as the data of one episode comes
    again."""
    n_repeated: int = 0
    """Secrets that stood in more than one."""


class Specialist(Record):
    """A tuned specialist: base + adapter or weights + prompt recipe + checksums. Written as specialist.json."""

    id: str
    task_id: str
    method: str
    """The training method: linear, frozen, encoder, lora, dora, ...; of a cascade those of its members, as in
    linear+frozen."""
    model: str
    kind: str
    """Of its predictor, as specialists.registry knows it: linear (a linear model over text), pointer (one that also
    copies values out of it), states (a head on pooled states of a model that is not trained), head (one forward pass of
    a tuned language model and a head over the answers), decoder (decoding), self_consistency and verifier (a decoder
    with help), cascade (several as one), cache."""
    contract: Contract
    task: Task
    n_train: int
    train_s: float
    cost: int = 0
    """Rank of its method, from cheap to expensive to serve and to train."""
    is_fast: bool = False
    """True where an answer takes about a millisecond: such specialists are served on a thread of their own."""
    tokens_per_s: float | None = None
    teacher_usd: float = 0.0
    """US dollars for what other models were asked for during its training, by the price list."""
    prompt_tokens_before: float | None = None
    """Mean over validation, in tokens of the model."""
    prompt_tokens_after: float | None = None
    validation_accuracy: float | None = None
    validation_coverage: float | None = None
    """Share of validation that it could serve at about half the loss asked for, by hindsight: what calibration lets
    pass is less than what is claimed. Null where too little was predicted."""
    seed: int = 0
    base_sha256: str = ""
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    path: str = ""
    """Folder, relative to the home."""
    trained_on: list[str] = msgspec.field(default_factory=list)
    """Call ids, for lineage (which specialists were trained on erased data); in the sealed artifact, not in
    specialist.json."""
    leak: Leak | None = None
    """The leak test; None where nothing in its answers could carry a secret."""
    ood_detector: OutOfDistributionDetectorPower | None = None
    """Of its detector of out-of-distribution requests; None where there are too few groups for one."""
    version: int = 1


class CrossFitted(Record):
    """Answers of a method to calls of train, each by a model that was fitted on the calls of other groups; no text."""

    call_ids: list[str]
    confidence: list[float]
    """0 where nothing would be served."""
    right: list[bool]
    """The answer is the LLM's."""
    right_action: list[bool]
    """The same for the decision alone: tool names without arguments."""
    unlike: list[bool]
    """The detector takes the request for one unlike those trained on."""


class Finetuned(Record):
    """Result of fine-tuning."""

    specialists: list[Specialist]
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    """By task without a specialist: why."""
    not_needed: dict[str, list[Candidate]] = msgspec.field(default_factory=dict)
    """By task: planned methods that were not trained, because a cheaper one left them nothing to add."""
    cross_fitted: dict[str, CrossFitted] = msgspec.field(default_factory=dict)
    """By specialist, where the log has a reserve: what choices are made from in the place of validation."""
    unread_reserve: list[str] = msgspec.field(default_factory=list)
    """Tasks whose part of the reserve no training has read: it is calibrated on."""
