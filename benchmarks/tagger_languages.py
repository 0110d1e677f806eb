"""The default tagger on held-out lines in eleven languages: `python -m benchmarks.tagger_languages --data
../shared/data/ner`.

For each language: the share of the characters of people's names that the standard detectors mask at level `standard`,
without the default tagger, by the tagger alone, and together; the share of what they call a person that is one; the
standard errors of both, with documents as what was drawn; and how many names stay wholly in clear. Other types that
`covers` names are counted by the share of their characters that is masked; "numbers without a label" is the share of
the replaced numbers of people's papers, files and cases that touch no label. Lines of licences that weights may not
learn from are measured too. Utterances of CLINC150 tell what is touched for nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.pii import clean_texts
from deputize.core.config import Privacy
from deputize.core.records import decode, encode
from deputize.privacy.detectors.base import Detector, Span
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.standard_detectors import DetectorSet, standard_detectors
from deputize.privacy.tagger.default import default_tagger
from deputize.privacy.tagger.default.corpus import CorpusLine, read_corpus
from deputize.privacy.tagger.default.default_tagger import load_default_tagger

POLICY = policy_of("standard")
TYPES = {"PERSON": "PERSON", "ADDRESS": "STREET_ADDRESS", "ID": "NATIONAL_ID"}
"""Types of direct identifiers of the corpora, by the entity type that names them."""
NUMBERS = frozenset(
    [
        "NATIONAL_ID",
        "TAX_ID",
        "PASSPORT",
        "HEALTH_ID",
        "MEDICAL_RECORD",
        "POLICY_NUMBER",
        "LICENSE_NUMBER",
        "CASE_NUMBER",
    ]
)
"""Entity types that a label ID stands for."""
BATCH = 64


def systems() -> dict[str, Callable[[Sequence[str]], list[list[Span]]]]:
    """Name -> a function that scans texts as curation does: a slow detector is not shown every line."""
    alone: Detector = DeobfuscatingDetector(load_default_tagger())
    return {
        "without": _scan(standard_detectors(POLICY, privacy=Privacy(tagger="none"))),
        "alone": alone.detect,
        "together": _scan(standard_detectors(POLICY)),
    }


def _scan(detectors: DetectorSet) -> Callable[[Sequence[str]], list[list[Span]]]:
    return lambda texts: detectors.ensemble(POLICY).spans(texts, [True] * len(texts))


class LanguageCounts:
    """Counts of one system in one language, in characters."""

    def __init__(self) -> None:
        self.gold: Counter[str] = Counter()
        self.masked: Counter[str] = Counter()
        self.called = self.right = self.names = self.in_clear = self.clean = self.touched = 0
        self.numbers = self.no_numbers = 0
        self._by_document: dict[str, Counter[str]] = {}

    def add(self, line: CorpusLine, found: Sequence[Span]) -> None:
        """Counts one line."""
        hidden = {i for s in found if POLICY.replaces(s.type) for i in range(s.start, s.end)}
        for kind in TYPES:
            if kind in line.covers:
                gold = {i for s in line.sample.spans if s.type == kind for i in range(s.start, s.end)}
                self.gold[kind] += len(gold)
                self.masked[kind] += len(gold & hidden)
                if kind == "PERSON":
                    document = self._by_document.setdefault(line.document, Counter())
                    document["gold"] += len(gold)
                    document["masked"] += len(gold & hidden)
                    called = {i for s in found if s.type == kind for i in range(s.start, s.end)}
                    self.called += len(called)
                    self.right += len(called & gold)
                    document["called"] += len(called)
                    document["right"] += len(called & gold)
        if "ID" in line.covers:
            labelled = {i for s in line.sample.spans for i in range(s.start, s.end)}
            numbers = [s for s in found if s.type in NUMBERS]
            self.numbers += len(numbers)
            self.no_numbers += sum(labelled.isdisjoint(range(s.start, s.end)) for s in numbers)
        names = [s for s in line.sample.spans if s.type == "PERSON"]
        self.names += len(names)
        self.in_clear += sum(hidden.isdisjoint(range(s.start, s.end)) for s in names)
        if not line.sample.spans:
            self.clean += 1
            self.touched += bool(hidden)

    def figures(self) -> dict[str, float]:
        """Shares in [0, 1]; those whose denominator is 0 are left out."""
        shares = {
            "persons": (self.masked["PERSON"], self.gold["PERSON"]),
            "precision": (self.right, self.called),
            "names in clear": (self.in_clear, self.names),
            "clean lines touched": (self.touched, self.clean),
            "addresses": (self.masked["ADDRESS"], self.gold["ADDRESS"]),
            "ids": (self.masked["ID"], self.gold["ID"]),
            "numbers without a label": (self.no_numbers, self.numbers),
        }
        found = {name: round(part / whole, 4) for name, (part, whole) in shares.items() if whole}
        return found | {"names": self.names, "documents": len(self._by_document)} | self._errors()

    def _errors(self) -> dict[str, float]:
        """Standard errors of two shares, with documents as what was drawn.

        References:
            Cochran (1977), "Sampling techniques", section 2.11, on the ratio of two totals.
        """
        out = {}
        for name, part, whole in (("persons", "masked", "gold"), ("precision", "right", "called")):
            totals = [(one[part], one[whole]) for one in self._by_document.values() if one[whole]]
            if len(totals) > 1:
                n, all_parts, all_wholes = len(totals), sum(t[0] for t in totals), sum(t[1] for t in totals)
                squares = sum((t[0] - all_parts / all_wholes * t[1]) ** 2 for t in totals)
                out[f"{name} error"] = round((squares * n / (n - 1)) ** 0.5 / all_wholes, 4)
        return out


def measure(lines: Sequence[CorpusLine], scan: Callable[[Sequence[str]], list[list[Span]]]) -> LanguageCounts:
    """The counts of a system on lines."""
    counts = LanguageCounts()
    for at in range(0, len(lines), BATCH):
        part = lines[at : at + BATCH]
        for line, found in zip(part, scan([one.sample.text for one in part]), strict=True):
            counts.add(line, found)
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints one line for each language and system; --json keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ner"))
    parser.add_argument("--clean", type=Path, help="folder with CLINC150, for what is touched for nothing")
    parser.add_argument("--part", default="held out", choices=["held out", "validation"])
    parser.add_argument("--languages", nargs="*", help="only these")
    parser.add_argument("--lines", type=int, default=600, help="of each language")
    parser.add_argument("--systems", nargs="*", choices=["without", "alone", "together"], help="only these")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--card", action="store_true", help="write the figures into the card of the tagger")
    args = parser.parse_args(arguments)
    by_language: dict[str, list[CorpusLine]] = {}
    for line in read_corpus(args.data):
        if (
            line.part == args.part
            and "PERSON" in line.covers
            and line.language in (args.languages or [line.language])
        ):
            by_language.setdefault(line.language, []).append(line)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name, scan in systems().items():
        if name not in (args.systems or [name]):
            continue
        started = time.process_time()
        for language, lines in by_language.items():
            chosen = random.Random(0).sample(lines, min(args.lines, len(lines)))
            figures = measure(chosen, scan).figures()
            result.setdefault(language, {})[name] = {**figures, "lines": len(chosen)}
            print(language, name, figures, flush=True)
        if args.clean:
            texts = [s.text for s in clean_texts(args.clean, 0)["clinc test"]][:3000]
            touched = sum(any(POLICY.replaces(s.type) for s in found) for found in scan(texts))
            result.setdefault("CLINC150", {})[name] = {"clean lines touched": touched / len(texts)}
            print("CLINC150", name, result["CLINC150"][name], flush=True)
        print(name, f"{time.process_time() - started:.0f} s of processor time", flush=True)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1), "utf-8")
    if args.card:
        _write_card(result)
    return 0


def _write_card(result: dict[str, dict[str, dict[str, float]]]) -> None:
    """Writes the figures for people's names into tagger.json of the working tree."""
    path = Path(default_tagger.__file__).parent / default_tagger.CARD
    languages = {
        language: default_tagger.LanguageFigures(
            recall=by["together"]["persons"],
            precision=by["together"]["precision"],
            recall_without=by["without"]["persons"],
            n_lines=int(by["together"]["lines"]),
        )
        for language, by in result.items()
        if "persons" in by["together"]
    }
    card = decode(path.read_bytes(), default_tagger.DefaultTaggerCard)
    path.write_bytes(encode(msgspec.structs.replace(card, languages=languages)))


if __name__ == "__main__":
    sys.exit(main())
