"""What one stage hands to the next: one record per arrow, with counts kept and dropped and the reasons."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from deputize.core.records import Certificate, Contract, Example, KeySpace, Record, Site, Task


class Skip(Record):
    """A line of a log that could not be read."""

    file: str
    line: int
    reason: str


class Imported(Record):
    """S1 -> store: what an import did."""

    n_calls: int
    n_duplicates: int = 0
    n_skipped: int = 0
    skipped: list[Skip] = msgspec.field(default_factory=list)
    """The first 100 skipped lines; n_skipped counts all."""


class SiteInference(Record):
    """S1's reading of a log: the sites, and for each call where it was made and who it speaks to."""

    sites: list[Site]
    site_of: dict[str, str]
    """call id -> site id."""
    audience_of: dict[str, Literal["human", "code"]]
    """call id -> who the reply is meant for."""


class Withheld(Record):
    """A call that S2 left out altogether."""

    call_id: str
    reason: str
    site: str = ""
    tenant: str = ""
    """"" where it is not known: only who may see every tenant sees it."""


class Curated(Record):
    """S2 -> S3."""

    examples: list[Example]
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
    measured: str = ""
    """Of the tagger among them: "measured recall x on set y"; "" where nothing was measured."""
    withheld: list[Withheld] = msgspec.field(default_factory=list)
    """Quarantined calls and those of sites that speak to people only; with the untrainable examples: all drops."""


class Discovered(Record):
    """S3 -> S4."""

    tasks: list[Task]
    keyspaces: list[KeySpace]
    assignment: dict[str, str]
    """call id -> task id; calls that fit no task are absent."""
    unassigned: dict[str, int] = msgspec.field(default_factory=dict)
    """reason -> calls."""
    min_origins: int = 1
    """What the calls of fewer data subjects hold is in no name, template, contract or key space here."""


class Candidate(Record):
    """One model considered for one task."""

    model: str
    method: str = ""
    """"" for the model as it is; majority, linear, ... for a baseline that was probed."""
    probe_accuracy: float | None = None
    n_probe: int = 0
    fits: bool = True
    licence: str = ""
    note: str = ""


class Selected(Record):
    """S4 -> S5: candidates per task id, best first, and the rungs worth training."""

    candidates: dict[str, list[Candidate]]
    plan: dict[str, list[str]]
    """task id -> rungs to train in order of cost, e.g. ["linear", "lora"]; [] where nothing can be learnt."""
    base_model: str
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    """task id -> why S5 should not be tried."""


class Leak(Record):
    """What a specialist gave away of the secrets planted in its training data (scoring.leak, after Carlini et al. 2019)."""

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
    p_exposed: float
    """Chance of that many for a model that saw none of them."""
    p_memorised: float
    """Fisher's combination of all ranks; small values alone are no leak."""
    mean_exposure: float
    """Bits; a model that knows nothing gives about 1.44."""
    max_exposure: float
    seconds: float = 0.0
    n_given_away: int = 0
    """Secrets that were extracted, or that fewer guesses would find than a secret must cost: any one is a leak."""
    bits_left: float | None = None
    """log2 of the guesses that the least safe secret still costs, at the cautious end of the estimate; None: an older test."""
    pattern_bits: float | None = None
    """log2 of the guesses that a secret costs without the specialist."""


class Specialist(Record):
    """A tuned specialist: base + adapter or weights + prompt recipe + checksums. Written as specialist.json."""

    id: str
    task_id: str
    method: str
    """The training method: linear, lora, dora, ..."""
    model: str
    kind: str
    """Of its predictor, as specialists.registry knows it: linear (a linear model over text), pointer (one that also copies
    values out of it), head (one forward pass of a language model and a head over the answers), decoder (decoding)."""
    contract: Contract
    task: Task
    n_train: int
    train_s: float
    cost: int = 0
    """Rank of its method, from cheap to expensive to serve and to train."""
    is_fast: bool = False
    """Whether an answer takes about a millisecond: such specialists are served on a thread of their own."""
    tokens_per_s: float | None = None
    prompt_tokens_before: float | None = None
    """Mean over validation, in tokens of the model."""
    prompt_tokens_after: float | None = None
    validation_accuracy: float | None = None
    seed: int = 0
    base_sha256: str = ""
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    path: str = ""
    """Folder, relative to the home."""
    trained_on: list[str] = msgspec.field(default_factory=list)
    """Call ids, for lineage (which specialists learnt from erased data); in the sealed artifact, not in specialist.json."""
    leak: Leak | None = None
    """The leak test; None where nothing in its answers could carry a secret."""
    version: int = 1


class Finetuned(Record):
    """S5 -> S6."""

    specialists: list[Specialist]
    refused: dict[str, str] = msgspec.field(default_factory=dict)


class TestScore(Record):
    """How the chosen specialist did on held-out calls."""

    __test__ = False

    n_calls: int
    n_episodes: int
    majority_accuracy: float | None = None
    base_accuracy: float | None = None
    tuned_accuracy: float | None = None
    tuned_interval: tuple[float, float] | None = None


class HeldOut(Record):
    """The route as it would have run on episodes nothing else saw."""

    n_calls: int
    share_served: float
    loss_difference: float
    loss_difference_interval: tuple[float, float]


class TaskResult(Record):
    """S6: everything the report says of one task."""

    task_id: str
    chosen: str = ""
    """Specialist id."""
    certificate: Certificate | None = None
    test: TestScore | None = None
    held_out: HeldOut | None = None
    refused: str = ""
    rungs: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """One row per rung tried: method, dev / test accuracy, coverage at several epsilons, seconds."""
    curve: list[dict[str, float]] = msgspec.field(default_factory=list)
    """share_served against loss, with intervals, over thresholds."""
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
