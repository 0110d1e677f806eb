"""The dataset card: what S2 kept, dropped and replaced, in words a security officer can check."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from importlib import metadata, resources
from typing import Any

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.records import Example
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spans import detect_all
from deputize.privacy.detectors.verification import VerificationDetector
from deputize.stages.curate.k_anonymity import COLUMNS, SMALL, Combinations, metadata_row

PACKAGES = ("presidio-analyzer", "spacy", "Faker", "rensa", "phonenumbers")
"""What looks at and rewrites the data."""
MASKED = "(looks like personal data)"
MOST_ASKED = 1000
"""More data subjects are not counted for the name of a model."""


class CardCounts:
    """What the card says of the examples, counted one by one."""

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        self.n = 0
        self.by_split: Counter[str] = Counter()
        self.learnable: Counter[str] = Counter()
        self.groups: dict[str, set[str]] = defaultdict(set)
        self.origins: set[str] = set()
        self.teachers: Counter[str] = Counter()
        self.asked: dict[str, set[str]] = defaultdict(set)
        """Model that answered -> whose data it saw, as far as they are counted."""
        self.drops: Counter[str] = Counter()
        self.combinations = Combinations()
        self.train_weight = 0.0
        for example in examples:
            self.add(example)

    def add(self, e: Example) -> None:
        """One more example."""
        self.n += 1
        self.by_split[e.split] += 1
        self.groups[e.split].add(e.group)
        self.teachers[e.model or "unnamed"] += 1
        if len(self.asked[e.model]) < MOST_ASKED:
            self.asked[e.model].add(e.subject)
        self.combinations.add(metadata_row(e))
        if e.origin:
            self.origins.add(e.origin)
        if e.trainable:
            self.learnable[e.split] += 1
            self.train_weight += e.weight if e.split == "train" else 0.0
        else:
            self.drops[e.drop_reason] += 1


def dataset_card(curated: Curated, tally: CardCounts, config: Convert) -> str:
    """The card as Markdown. It holds counts and names of sites, agents and models, never text of a call.

    A name that looks like personal data itself is masked: the agents chose these names, nobody looked at them.

    Args:
        curated: what S2 says of the log; its examples are not looked at.
        tally: of its examples, or of those among them that the card is about.
        config: what it was made with.
    """
    n_origins = len(tally.origins)
    asked = f"from {n_origins:,} known origins" if n_origins else "and the log does not say who asked"
    sides = [
        (s, f"{tally.by_split[s]:,}", f"{len(tally.groups[s]):,}", f"{tally.learnable[s]:,}")
        for s in ("train", "validation", "calibration", "test")
        if tally.by_split[s]
    ]
    drops = tally.drops + Counter(w.reason for w in curated.withheld)
    lines = [
        "# Dataset card",
        "",
        f"{tally.n:,} examples from {curated.n_calls:,} calls of {curated.n_episodes:,} episodes, {asked}; "
        f"{curated.n_code_calls:,} of the calls are not meant for a person. Seed {config.seed}, shares of the sides "
        f"{' / '.join(f'{share:g}' for share in config.split)}. Groups are whole on one side, the oldest in train, the "
        "newest in test, where the log has times.",
        "",
        *_table(("side", "examples", "groups", "fit to learn from"), sides),
        "",
        f"The examples of train stand for {tally.train_weight:,.0f} calls: each carries the number of its dropped duplicates as weight.",
        "",
        "## Personal data",
        "",
        *_detectors(curated, config),
        "",
        *_table(("type", "replaced"), _sorted(curated.entities)),
        "",
        "## Not kept, or kept but not learnt from",
        "",
        "`deputize dataset dropped` shows them.",
        "",
        *_table(("reason", "calls"), _sorted(drops)),
        "",
        "## How many people share what is known of a row",
        "",
        *_anonymity(tally),
        "",
        "## Sites",
        "",
        *_table(
            ("site", "calls", "for people", "for code", "audience", "evidence"),
            _masked(
                (s.name, f"{s.n_calls:,}", f"{s.n_human:,}", f"{s.n_code:,}", s.audience, s.evidence)
                for s in curated.sites
            ),
        ),
        "",
        "## Licences",
        "",
        *_licences(tally, config.min_origins),
    ]
    if curated.warnings:
        lines += ["", "## Warnings", "", *(f"- {w}" for w in curated.warnings)]
    return "\n".join(lines) + "\n"


def _detectors(curated: Curated, config: Convert) -> list[str]:
    names = sorted(curated.detectors)
    found = [m for m in _measured() if sorted(m["detectors"]) == names]
    said = f'De-identified at level "{config.privacy}"'
    by = f" by {', '.join(names)}" if names else ""
    by += f"; the tagger among them: {curated.measured}" if curated.measured else ""
    still = "No list of names, numbers and forms is complete, so treat the data as personal still."
    if not found:
        return [f"{said}{by}; the recall of this set of detectors was not measured. {still}"]
    rows = [
        (m["set"], m["recall_direct"], m["recall_all"], m["precision"], m["date"], m.get("note", ""))
        for m in found
    ]
    heads = ("measured on", "recall, direct identifiers", "recall, all", "precision", "date", "note")
    return [
        f"{said}{by}, measured recall below; on this log nobody knows it. {still}",
        "",
        *_table(heads, rows),
    ]


def _measured() -> list[dict[str, Any]]:
    text = resources.files("deputize.stages.curate").joinpath("measured.toml").read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["measured"]
    return rows


def _anonymity(tally: CardCounts) -> list[str]:
    if not tally.n:
        return ["No rows."]
    measures = tally.combinations.table()
    rows = [
        (
            ", ".join(m.columns) or "none varies",
            f"{m.n_combinations:,}",
            m.k_people,
            m.k_rows,
            m.l,
            f"{m.share_small:.1%}",
        )
        for m in measures
    ]
    heads = (
        "metadata",
        "combinations",
        "k (people)",
        "k (rows)",
        "l (answers)",
        f"rows shared by fewer than {SMALL} people",
    )
    return [
        f"Per combination of {', '.join(COLUMNS)} (hour: a quarter of the day, UTC): the fewest people, rows and "
        "different answers behind one."
        + ("" if tally.origins else " The log does not say who asked, so each episode counts as a person."),
        "",
        *_table(heads, rows),
    ]


def _licences(tally: CardCounts, least: int) -> list[str]:
    told: Counter[str] = Counter()
    for model, n in tally.teachers.items():
        few = model != "unnamed" and len(tally.asked[model]) < min(least, MOST_ASKED)
        told["others" if few else model] += n
    rows = [(name, version, licence) for name in PACKAGES for version, licence in _package(name)]
    return [
        "The calls are their owner's. Whether answers of a model may be learnt from is in the terms of its provider:",
        "",
        *_table(
            ("model that answered", "examples"),
            _masked((m, f"{n:,}") for m, n in told.most_common()),
        ),
        "",
        *_table(("curated with", "version", "licence"), rows),
    ]


def _package(name: str) -> list[tuple[str, str]]:
    """(version, licence) of an installed package, [] where it is not."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return []
    licence = about.json.get("license_expression") or about.json.get("license") or ""
    if not isinstance(licence, str) or not 0 < len(licence) <= 60:
        named = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or () if c.startswith("License")]
        licence = named[0] if named else "see its own files"
    return [(about["Version"], licence)]


def _masked(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """Rows whose cells were looked at as texts are: names come from the log."""
    listed = [list(row) for row in rows]
    cells = [cell for row in listed for cell in row]
    found = detect_all([RuleDetector(), VerificationDetector()], cells)
    clean = iter(MASKED if spans else cell for cell, spans in zip(cells, found, strict=True))
    return [[next(clean) for _ in row] for row in listed]


def _sorted(counts: dict[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{n:,}") for name, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))]


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    body = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *body] if body else ["None."]


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
