"""De-identification compared with its peers: `python -m benchmarks.privacy --json OUT`.

1. found     What is found in three public labelled sets, and what is touched for nothing: utterances of CLINC150,
             descriptions of tools, and the sets' own posts without personal data. The tagger is trained here, on one
             split that its test shares no record with, once without common wordings and once with them
             (benchmarks.pii); its threshold comes from the validation part of that split. Not independent evidence
             for the rules: their forms were written while looking at records of all three sets, and the gazetteer of
             names is Faker's.
2. speed     How fast, how much memory, and what is left: simulated calls of about 1 kB that share a template, all of
             curation from the store, compared with the peers call by call (benchmarks.privacy_scale).
3. accuracy  Specialists trained on de-identified calls compared with ones trained on raw calls, on unseen calls
             (benchmarks.privacy_tasks).

Peers run in the same process on the same texts, or, where their dependencies clash with ours, in an environment of
their own that is made on first use; the table says which could not. What a detector found, and the taggers, are kept
in the work folder, so that a stopped run goes on where it was and --only can be used piece by piece.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import privacy_scale, privacy_tasks, table
from benchmarks.pii import ByLine, Foreign, Memory, PresidioPeer, clean_texts, rounds, sets
from deputize.core.config import Privacy
from deputize.locations import models_path
from deputize.privacy.detectors.base import Detector, Span
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spans import merge_spans
from deputize.privacy.replace.replacement_policy import PrivacyLevel, policy_of
from deputize.privacy.standard_detectors import standard_detectors
from deputize.privacy.tagger import DetectionCounts, Sample, TaggerTrainingSettings, load_tagger, train_tagger
from deputize.specialists import model_download

ALONE: dict[str, Callable[[], Detector]] = {
    "presidio patterns": lambda: PresidioPeer(spacy_model=False),
    "presidio + spacy": lambda: PresidioPeer(spacy_model=True),
    "datafog": lambda: Foreign("datafog"),
    "scrubadub": lambda: Foreign("scrubadub"),
    "rules": lambda: DeobfuscatingDetector(RuleDetector()),
    "standard": lambda: ByLine("standard", standard_detectors(privacy=Privacy(tagger="none")).all),
}
"""What is looked with once; all but the last two are peers."""
SYSTEMS: dict[str, tuple[str, ...]] = {
    "presidio patterns": ("presidio patterns",),
    "presidio + spacy": ("presidio + spacy",),
    "datafog": ("datafog",),
    "scrubadub": ("scrubadub",),
    "deputize, rules only (regex)": ("rules",),
    "deputize without a tagger (rules, presidio patterns, spacy names)": ("standard",),
    "tagger alone": ("tagger",),
    "tagger + rules": ("tagger", "rules"),
    "tagger + presidio patterns": ("tagger", "presidio patterns"),
    "tagger + presidio + spacy": ("tagger", "presidio + spacy"),
    "deputize with a tagger, line by line as curation runs it": ("tagger by line", "standard"),
}
"""What is measured: a name, and the detectors whose findings are joined."""
LEVELS: tuple[PrivacyLevel, ...] = ("strict", "standard")

PEERS_IN_SPEED: dict[str, Callable[[], Detector]] = {
    **{name: make for name, make in ALONE.items() if name not in ("rules", "standard")},
    "rules only (regex)": RuleDetector,
}

Found = dict[str, dict[str, list[Span]]]
"""detector -> text -> spans."""


def found(args: Any) -> dict[str, Any]:
    """Trains, looks, counts; the figures per protocol, and why a peer is missing."""
    samples = sets(args.data)
    clean = clean_texts(args.data, args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    memory = Memory(args.work)
    asked = [*samples, *clean["clinc test"], *clean["tools test"]]
    fixed: Found = {}
    missing: dict[str, str] = {}
    for name, make in ALONE.items():
        try:
            fixed[name] = memory.find(name, make, asked)
        except (RuntimeError, ImportError, OSError) as error:
            missing[name] = str(error)
    result: dict[str, Any] = {"missing": missing, "protocols": {}}
    for protocol in args.protocol:
        result["protocols"][protocol] = _protocol(args, protocol, samples, clean, memory, fixed)
    result["chars_per_s"] = {name: round(chars / s) for name, (s, chars) in memory.seconds.items()}
    for name, why in missing.items():
        print(f"{name} could not be measured: {why}")
    return result


def _protocol(
    args: Any,
    protocol: str,
    samples: Sequence[Sample],
    clean: dict[str, list[Sample]],
    memory: Memory,
    fixed: Found,
) -> dict[str, Any]:
    tallies: dict[tuple[str, str, str], DetectionCounts] = {}
    cards = []
    for number, (train, validation, test) in enumerate(rounds(samples, protocol, args.seed)):
        path = args.work / f"tagger-{protocol}-{number}"
        if not (path / "tagger.json").exists():
            train_tagger(
                [*train, *clean["train"]],
                path,
                base_dir=model_download.fetch("all-MiniLM-L6-v2", models_path()),
                validation=_few(validation, 500, args.seed) + _few(clean["validation"], 1000, args.seed),
                companions=[DeobfuscatingDetector(RuleDetector())],
                clock=time.process_time,
                progress=_say,
                settings=TaggerTrainingSettings(seed=args.seed, deadline_s=args.deadline),
            )
        tagger = DeobfuscatingDetector(load_tagger(path))
        cards.append(json.loads((path / "tagger.json").read_text()))
        sides = {"test": test, "clinc": clean["clinc test"], "tools": clean["tools test"]}
        every = [s for side in sides.values() for s in side]
        here = {
            **fixed,
            "tagger": memory.find(path.name, lambda t=tagger: t, every),  # type: ignore[misc]
            "tagger by line": memory.find(
                f"{path.name} by line",
                lambda t=tagger: ByLine("tagger by line", [t]),  # type: ignore[misc]
                every,
            ),
        }
        for system, parts in SYSTEMS.items():
            if not all(part in here for part in parts):
                continue
            for side, members in sides.items():
                for sample in members:
                    spans = merge_spans([here[part][sample.text] for part in parts])
                    for level in LEVELS:
                        kept = [s for s in spans if s.type == "ANY" or policy_of(level).replaces(s.type)]
                        tallies.setdefault((system, level, side), DetectionCounts()).add(sample, kept)
                    if side == "test":
                        tallies.setdefault((system, sample.source, side), DetectionCounts()).add(
                            sample, spans
                        )
    for group in ("strict", "standard", *dict.fromkeys(s.source for s in samples)):
        table.show(
            f"{protocol}, {group}",
            [_row(system, group, tallies) for system in SYSTEMS if (system, group, "test") in tallies],
        )
    return {
        "cards": cards,
        "figures": {" | ".join(key): tally.figures() for key, tally in tallies.items()},
        "recall_by_type": {
            system: tallies[system, "strict", "test"].recall_by_type()
            for system in SYSTEMS
            if (system, "strict", "test") in tallies
        },
    }


def _row(system: str, level: str, tallies: dict[tuple[str, str, str], DetectionCounts]) -> dict[str, Any]:
    f = tallies[system, level, "test"].figures()
    row: dict[str, Any] = {
        "system": system,
        "recall direct": f["char_recall_direct"],
        "recall all": f["char_recall"],
        "precision": f["char_precision"],
        "F2": f["char_f2"],
        "span recall direct": f["span_recall_direct"],
        "span recall all": f["span_recall"],
    }
    if (system, level, "clinc") in tallies:
        row["touched: CLINC"] = tallies[system, level, "clinc"].figures()["over_masking"]
        row["tools"] = tallies[system, level, "tools"].figures()["over_masking"]
        row["posts"] = f["over_masking"]
        row["posts (characters)"] = f["over_masking_chars"]
    return row


def _few(samples: Sequence[Sample], n: int, seed: int) -> list[Sample]:
    order = np.random.default_rng(seed).permutation(len(samples))[:n]
    return [samples[int(i)] for i in order]


def _say(what: str, done: int, total: int | None = None) -> None:
    print(f"\r{what}: {done} of {total}", end="", file=sys.stderr)


def main() -> None:
    parser = table.arguments(__doc__ or "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("build/privacy"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--protocol", nargs="+", default=["wording", "record"], choices=["wording", "record"])
    parser.add_argument(
        "--deadline", type=float, default=480, help="seconds of processor time per training of a tagger"
    )
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument(
        "--log", choices=privacy_scale.VARIANTS, action="append", help="only this simulated log (speed)"
    )
    parser.add_argument("--tagger", type=Path, help="folder of a trained tagger, to be tried too (speed)")
    parser.add_argument(
        "--tasks",
        nargs="+",
        default=list(privacy_tasks.PARTS),
        choices=privacy_tasks.PARTS,
        help="which specialists (accuracy)",
    )
    given = parser.parse_args()
    if set(given.only) - {"speed"} and not (given.data / "pii").is_dir():
        raise SystemExit(
            f"{given.data / 'pii'} is not here: the labelled sets are not part of the repository"
        )
    result: dict[str, Any] = {}
    if "found" in given.only:
        result["found"] = found(given)
    if "speed" in given.only:
        result["speed"], result["missing_in_speed"] = privacy_scale.measure(
            given.calls, given.seed, PEERS_IN_SPEED, given.log or privacy_scale.VARIANTS, given.tagger
        )
        table.show(
            f"{given.calls:,} simulated calls (peers: detection alone on {privacy_scale.N_PEER} of them, extrapolated)",
            [{c: row.get(c) for c in privacy_scale.COLUMNS} for row in result["speed"]],
        )
        for name, why in result["missing_in_speed"].items():
            print(f"{name} could not be measured: {why}")
    if "accuracy" in given.only:
        result["accuracy"] = privacy_tasks.measure(given.data, given.seed, given.tasks)
        table.show("Specialists trained on de-identified and on raw calls", result["accuracy"])
    table.save(given.json, "privacy", result)


PARTS = ("found", "speed", "accuracy")


if __name__ == "__main__":
    main()
