"""The dataset card: what curation kept, dropped and replaced, in words that a security officer can check."""

from __future__ import annotations

import html
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import metadata, resources
from typing import Any

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.percentages import percent
from deputize.core.records import Example
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spans import detect_all
from deputize.privacy.detectors.verification import VerificationDetector
from deputize.stages.curate.k_anonymity import COLUMNS, SMALL, Combinations, metadata_row
from deputize.stages.curate.split import SPLITS

PACKAGES = ("presidio-analyzer", "spacy", "Faker", "rensa", "phonenumbers")
"""Packages that detect and replace personal data."""
MASKED = "(looks like personal data)"
MAX_SUBJECTS = 1000
"""Data subjects of one model are counted up to this number."""


class CardCounts:
    """Counts over examples for the card, one example after the other."""

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        self.n = 0
        self.by_split: Counter[str] = Counter()
        self.learnable: Counter[str] = Counter()
        self.groups: dict[str, set[str]] = defaultdict(set)
        self.origins: set[str] = set()
        self.teachers: Counter[str] = Counter()
        self.subjects: dict[str, set[str]] = defaultdict(set)
        """Model that answered -> data subjects of its examples, up to MAX_SUBJECTS."""
        self.drops: Counter[str] = Counter()
        self.combinations = Combinations()
        self.train_weight = 0.0
        self.answered_by: Counter[str] = Counter()
        """LLMs asked again -> calls of train with their answer in the place of the logged one."""
        self.made_up: Counter[str] = Counter()
        """LLMs -> synthetic examples of train."""
        for example in examples:
            self.add(example)

    def add(self, e: Example) -> None:
        """Adds an example."""
        if e.made_from:
            self.made_up[e.answered_by] += 1
            return
        self.n += 1
        self.by_split[e.split] += 1
        self.groups[e.split].add(e.group)
        self.teachers[e.model or "unnamed"] += 1
        if len(self.subjects[e.model]) < MAX_SUBJECTS:
            self.subjects[e.model].add(e.subject)
        self.combinations.add(metadata_row(e))
        if e.origin:
            self.origins.add(e.origin)
        if e.answered_by:
            self.answered_by[e.answered_by] += 1
        if e.trainable:
            self.learnable[e.split] += 1
            self.train_weight += e.weight if e.split == "train" else 0.0
        else:
            self.drops[e.drop_reason] += 1


def dataset_card(curated: Curated, counts: CardCounts, config: Convert) -> str:
    """The card as Markdown. It contains counts and names of sites, agents and models, never text of a call.

    A name that looks like personal data itself is masked: agents choose these names, nobody reviews them.

    Args:
        curated: the result of curation; its examples are not read.
        counts: of its examples, or of those among them that the card is about.
        config: what it was made with.
    """
    reasons = counts.drops + Counter(w.reason for w in curated.withheld)
    sections = [
        ["# Dataset card", "", *_splits(curated, counts, config)],
        [
            "## Personal data",
            "",
            *_detectors(curated, config),
            "",
            *_counted("type", "replaced", curated.entities),
        ],
        [
            "## Dropped calls, and calls that are kept but not used for training",
            "",
            "`deputize dataset dropped` lists them.",
            "",
            *_counted("reason", "calls", reasons),
        ],
        ["## k-anonymity of the metadata", "", *_anonymity(counts)],
        ["## Sites", "", *_sites(curated)],
        ["## Licences", "", *_licences(counts, config.min_origins)],
    ]
    if curated.warnings:
        sections.append(["## Warnings", "", *(f"- {_inert(w)}" for w in curated.warnings)])
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


_RESERVE = (
    "The reserve is calibration too for tasks whose choices are all made by cross-fitting on train, and validation for those with a "
    "method that tunes a base model."
)


def _splits(curated: Curated, counts: CardCounts, config: Convert) -> list[str]:
    n_origins = len(counts.origins)
    origins = f"from {n_origins:,} known origins" if n_origins else "and the log does not say who asked"
    splits = [
        (s, f"{counts.by_split[s]:,}", f"{len(counts.groups[s]):,}", f"{counts.learnable[s]:,}")
        for s in (*SPLITS, "reserve")
        if counts.by_split[s]
    ]
    return [
        f"{counts.n:,} examples from {curated.n_calls:,} calls of {curated.n_episodes:,} episodes, {origins}; "
        f"{curated.n_code_calls:,} of the calls are meant for code. Seed {config.seed}, {_shares(config)}. A group is in one "
        "split; where the log has times, the oldest groups are in train, the newest in test.",
        "",
        _independence(curated),
        "",
        *_table(("split", "examples", "groups", "fit for training"), splits),
        "",
        f"The examples of train stand for {counts.train_weight:,.0f} calls: the weight of an example counts its dropped "
        "duplicates.",
        *([_RESERVE] if counts.by_split["reserve"] else []),
        *(
            f"{n:,} examples of train have an answer of {models} in the place of the logged one: most LLMs asked again gave it."
            for models, n in sorted(counts.answered_by.items())
        ),
        *(
            f"{n:,} more examples of train are synthetic: {model} made them up from examples of train and answered them. They are in none "
            "of the counts here, and in no other split."
            for model, n in sorted(counts.made_up.items())
        ),
    ]


def _shares(config: Convert) -> str:
    if config.split is None:
        return (
            f"calibration as large as a claim at epsilon {config.epsilon:g} needs it, train with what is left"
        )
    return f"shares of the splits {' / '.join(f'{share:g}' for share in config.split)}"


def _independence(curated: Curated) -> str:
    """The evidence that groups are independent, in words."""
    words = {
        "header": "that the log names the episode of",
        "history": "linked by their histories",
        "session": "linked by session fields, or as calls of one person within half an hour",
        "none": "that nothing links to others",
    }
    counted = "; ".join(f"{curated.linked_by[by]:,} {words[by]}" for by in words if curated.linked_by.get(by))
    out = f"Calls by what tells their episode: {counted or 'none'}."
    if curated.linkage == "none":
        out += " Calls are counted as independent: nothing in the log links or dates them."
    if curated.n_groups_joined:
        out += f" {curated.n_groups_joined:,} groups repeat the prompts of others and were joined to them."
    if curated.n_people:
        people = "one person" if curated.n_people == 1 else f"{curated.n_people:,} people"
        how = (
            "person, so that claims hold for new people"
            if curated.split_by_person
            else "episode; a new person may differ"
        )
        out += f" The calls are of {people}: split by {how}."
    return out


def _sites(curated: Curated) -> list[str]:
    rows = (
        (s.name, f"{s.n_calls:,}", f"{s.n_human:,}", f"{s.n_code:,}", s.audience, s.evidence)
        for s in curated.sites
    )
    return _table(("site", "calls", "for people", "for code", "audience", "evidence"), _masked(rows))


def _counted(what: str, unit: str, counts: Mapping[str, int]) -> list[str]:
    return _table((what, unit), _sorted(counts))


def _detectors(curated: Curated, config: Convert) -> list[str]:
    names = sorted(curated.detectors)
    found = [m for m in _measured_recall() if sorted(m["detectors"]) == names]
    statement = f'De-identified at level "{config.privacy}"'
    by = f" by {', '.join(names)}" if names else ""
    by += f"; the tagger among them: {curated.tagger_recall}" if curated.tagger_recall else ""
    caution = "No list of names, numbers and forms is complete, so treat the data as personal data."
    if not found:
        return [f"{statement}{by}; the recall of this set of detectors was not measured. {caution}"]
    rows = [
        (m["set"], m["recall_direct"], m["recall_all"], m["precision"], m["date"], m.get("note", ""))
        for m in found
    ]
    heads = ("measured on", "recall, direct identifiers", "recall, all", "precision", "date", "note")
    return [
        f"{statement}{by}, measured recall below; on this log it is unknown. {caution}",
        "",
        *_table(heads, rows),
    ]


def _measured_recall() -> list[dict[str, Any]]:
    text = resources.files("deputize.stages.curate").joinpath("measured.toml").read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["measured"]
    return rows


def _anonymity(counts: CardCounts) -> list[str]:
    if not counts.n:
        return ["No rows."]
    measures = counts.combinations.table()
    rows = [
        (
            ", ".join(m.columns) or "none varies",
            f"{m.n_combinations:,}",
            m.k_people,
            m.k_rows,
            m.l,
            percent(m.share_small),
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
        + ("" if counts.origins else " The log does not say who asked, so each episode counts as a person."),
        "",
        *_table(heads, rows),
    ]


def _licences(counts: CardCounts, min_origins: int) -> list[str]:
    n_examples: Counter[str] = Counter()
    for model, n in counts.teachers.items():
        few = model != "unnamed" and len(counts.subjects[model]) < min(min_origins, MAX_SUBJECTS)
        n_examples["others" if few else model] += n
    rows = [(name, version, licence) for name in PACKAGES for version, licence in _package(name)]
    return [
        "The calls are their owner's. Whether answers of a model may be used for training is in the terms of its provider:",
        "",
        *_table(
            ("model that answered", "examples"),
            _masked((m, f"{n:,}") for m, n in n_examples.most_common()),
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
    """The rows with cells masked in which a detector finds something: names come from the log."""
    listed = [list(row) for row in rows]
    cells = [cell for row in listed for cell in row]
    detectors = [DeobfuscatingDetector(RuleDetector()), DeobfuscatingDetector(VerificationDetector())]
    found = detect_all(detectors, cells)
    clean = iter(MASKED if spans else cell for cell, spans in zip(cells, found, strict=True))
    return [[next(clean) for _ in row] for row in listed]


@lru_cache(maxsize=4096)
def masked_name(name: str) -> str:
    """The name of a site or a model; MASKED where a detector finds something in it."""
    return _masked([[name]])[0][0]


def _sorted(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{n:,}") for name, n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))]


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    body = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *body] if body else ["None."]


def _cell(value: object) -> str:
    return " ".join(_inert(str(value)).replace("|", "\\|").split())


def _inert(text: str) -> str:
    """A name of the log as text: no tag for whatever shows Markdown, no sign that steers a terminal."""
    return "".join(c if c.isprintable() else " " for c in html.escape(text, quote=False))
