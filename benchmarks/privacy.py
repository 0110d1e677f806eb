"""De-identification beside its peers: `python -m benchmarks.privacy --json OUT`.

1. found     What is found in three public labelled sets, and what is touched for nothing: utterances of CLINC150,
             descriptions of tools, and the sets' own posts without personal data. The tagger is trained here, on a side
             that its test shares no record with, once without common wordings and once with them (benchmarks.pii);
             its threshold comes from the dev part of that side. Not independent evidence for the rules: their forms were
             written while looking at records of all three sets, and the gazetteer of names is Faker's.
2. speed     Calls of about 1 kB that share templates, all of S2 at once, beside Presidio + spaCy call by call.
3. accuracy  Specialists that learnt from de-identified calls beside ones that learnt from raw calls, on unseen calls
             (benchmarks.privacy_tasks).

Peers run in the same process on the same texts, or, where their dependencies clash with ours, in an environment of
their own that is made on first use; the table says which could not. What a detector found, and the taggers, are kept
in the work folder, so that a stopped run goes on where it was and --only can be used piece by piece.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import privacy_tasks, table
from benchmarks.pii import ByLine, Foreign, Memory, PresidioPeer, clean_texts, rounds, sets
from deputize.core.config import Convert, models_path
from deputize.core.records import Call
from deputize.engines import models
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.detect import Detector, Span, is_replaced, union
from deputize.stages.curate.disguise import Undisguised
from deputize.stages.curate.rules import RuleDetector
from deputize.stages.curate.run import run
from deputize.stages.curate.scan import standard_detectors
from deputize.stages.curate.tagger import Sample, Tally, load_tagger, train_tagger

N_PLAIN = 400
"""Calls on which the plain pipeline's speed is measured."""

ALONE: dict[str, Callable[[], Detector]] = {
    "presidio patterns": lambda: PresidioPeer(spacy_model=False),
    "presidio + spacy": lambda: PresidioPeer(spacy_model=True),
    "datafog": lambda: Foreign("datafog"),
    "scrubadub": lambda: Foreign("scrubadub"),
    "rules": lambda: Undisguised(RuleDetector()),
    "standard": lambda: ByLine("standard", standard_detectors().all),
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
    "deputize with a tagger, line by line as S2 runs it": ("tagger by line", "standard"),
}
"""What is measured: a name, and the detectors whose findings are joined."""

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
    tallies: dict[tuple[str, str, str], Tally] = {}
    cards = []
    for number, (train, dev, test) in enumerate(rounds(samples, protocol, args.seed)):
        path = args.work / f"tagger-{protocol}-{number}"
        if not (path / "tagger.json").exists():
            train_tagger(
                [*train, *clean["train"]], path, base_dir=models.fetch("all-MiniLM-L6-v2", models_path()), seed=args.seed,
                deadline_s=args.deadline, dev=_few(dev, 500, args.seed) + _few(clean["dev"], 1000, args.seed),
                beside=[Undisguised(RuleDetector())], clock=time.process_time, progress=_say,
            )  # fmt: skip
        tagger = Undisguised(load_tagger(path))
        cards.append(json.loads((path / "tagger.json").read_text()))
        sides = {"test": test, "clinc": clean["clinc test"], "tools": clean["tools test"]}
        every = [s for side in sides.values() for s in side]
        here = {
            **fixed,
            "tagger": memory.find(path.name, lambda t=tagger: t, every),
            "tagger by line": memory.find(
                f"{path.name} by line", lambda t=tagger: ByLine("tagger by line", [t]), every
            ),
        }
        for system, parts in SYSTEMS.items():
            if not all(part in here for part in parts):
                continue
            for side, members in sides.items():
                for sample in members:
                    spans = union([here[part][sample.text] for part in parts])
                    for level in ("strict", "standard"):
                        kept = [s for s in spans if s.type == "ANY" or is_replaced(s.type, level)]
                        tallies.setdefault((system, level, side), Tally()).add(sample, kept)
                    if side == "test":
                        tallies.setdefault((system, sample.source, side), Tally()).add(sample, spans)
    for level in ("strict", "standard", *dict.fromkeys(s.source for s in samples)):
        table.show(
            f"{protocol}, {level}",
            [_row(system, level, tallies) for system in SYSTEMS if (system, level, "test") in tallies],
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


def _row(system: str, level: str, tallies: dict[tuple[str, str, str], Tally]) -> dict[str, Any]:
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


TEMPLATE = """You are the claims assistant of Northwind Mutual.
Read the case below and answer with one JSON object with the keys intent, urgency and summary.
intent is one of: new_claim, status, cancel, complaint, payment. urgency is low, normal or high.
Never invent facts. Quote amounts as they are written. If something is missing, say so in the summary.
Policies of the house: claims above 5,000 are passed on; water damage needs photographs; theft needs a police report.
"""
SAID = (
    "my washing machine leaked and the floor of the kitchen is ruined", "I would like to know how far my claim is",
    "please cancel the contract at the end of the month", "nobody has called me back and I am angry about it",
    "the payment of last week has not arrived on my account", "somebody took my bicycle out of the cellar last night",
    "hail has damaged the roof of my car", "I moved and need the new address in my papers",
)  # fmt: skip


def calls(n: int, seed: int) -> list[Call]:
    """Simulated calls of about 1 kB: one template, slots with personal data, some of them seen before."""
    from deputize.stages.curate.surrogates import _pools

    rng = random.Random(seed)
    first, last = _pools()["first"], _pools()["last"]
    made: list[Call] = []
    for i in range(n):
        name = f"{rng.choice(first)} {rng.choice(last)}"
        mail = f"{name.lower().replace(' ', '.')}{rng.randint(1, 99)}@mail.com"
        phone = f"({rng.randint(201, 989)}) {rng.randint(200, 999)}-{rng.randint(0, 9999):04d}"
        user = (
            f"Customer: {name}\nE-mail: {mail}\nPhone: {phone}\nPolicy number: P-{rng.randint(10**6, 10**7)}\n"
            f"Message: Hello, {rng.choice(SAID)}. {rng.choice(SAID).capitalize()}.\nAmount: {rng.randint(20, 9000)} EUR"
        )
        reply = json.dumps(
            {"intent": rng.choice(("status", "cancel")), "urgency": "low", "summary": f"{name} asks."}
        )
        made.append(
            Call(id=f"c{i}", messages=[{"role": "system", "content": TEMPLATE}, {"role": "user", "content": user}],
                 response={"role": "assistant", "content": reply}, agent="claims", episode=f"e{i // 2}")
        )  # fmt: skip
    return made


def speed(n: int, seed: int) -> list[dict[str, Any]]:
    """All of S2 over n calls beside the plain pipeline, text by text, over N_PLAIN of them."""
    log = calls(n, seed)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    inference = infer_sites(log)
    began = time.perf_counter()
    curated = run(log, inference, Convert(seed=seed), key=b"benchmark key of 32 bytes length")
    ours_s = time.perf_counter() - began
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    plain = PresidioPeer(spacy_model=True)
    texts = ["\n".join([*(m["content"] for m in c.messages), c.response["content"]]) for c in log[:N_PLAIN]]
    plain.detect(texts[:5])
    began = time.perf_counter()
    plain.detect(texts)
    plain_s = (time.perf_counter() - began) * n / N_PLAIN
    return [
        {"pipeline": "deputize, all of S2", "calls": n, "minutes": ours_s / 60, "calls_per_s": n / ours_s,
         "times_plain": plain_s / ours_s, "peak_rss_mib": peak_mib, "rss_of_the_log_mib": before_mib,
         "replaced": sum(curated.entities.values())},
        {"pipeline": "presidio + spacy, detection alone", "calls": N_PLAIN, "minutes": plain_s / 60,
         "calls_per_s": n / plain_s, "times_plain": 1.0},
    ]  # fmt: skip


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
    given = parser.parse_args()
    if set(given.only) - {"speed"} and not (given.data / "pii").is_dir():
        raise SystemExit(
            f"{given.data / 'pii'} is not here: the labelled sets are not part of the repository"
        )
    result: dict[str, Any] = {}
    if "found" in given.only:
        result["found"] = found(given)
    if "speed" in given.only:
        result["speed"] = speed(given.calls, given.seed)
        table.show(
            "Speed on templated calls (minutes of the plain pipeline are extrapolated)", result["speed"]
        )
    if "accuracy" in given.only:
        result["accuracy"] = privacy_tasks.measure(given.data, given.seed)
        table.show("Specialists that learnt from de-identified and from raw calls", result["accuracy"])
    table.save(given.json, "privacy", result)


PARTS = ("found", "speed", "accuracy")


if __name__ == "__main__":
    main()
