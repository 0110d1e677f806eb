"""De-identification beside its peers: `python -m benchmarks.privacy --data DIR --json OUT`.

1. What is found: three public labelled sets of synthetic texts. Not independent evidence: the forms of our rules were
   written while looking at records of all three sets, and the gazetteer of names is Faker's, which may be the sets'
   source too. One third, looked at most, is left out. The wording split of benchmarks.privacy_tagger says more.
2. What is touched for nothing: utterances of CLINC150, which hold no personal data.
3. How fast: calls of about 1 kB that share templates, all of S2 at once, beside Presidio + spaCy call by call.

Peers run in the same process on the same texts, or, where their dependencies clash with ours, in an environment of
their own that is made on first use; the table says which could not.
"""

from __future__ import annotations

import gzip
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.peers import ENVIRONMENTS
from benchmarks.privacy_tagger import SETS, PresidioPeer
from deputize.core.config import Convert
from deputize.core.records import Call
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.detect import Detector, Span, detect_all
from deputize.stages.curate.rules import RuleDetector
from deputize.stages.curate.run import run
from deputize.stages.curate.scan import standard_detectors
from deputize.stages.curate.tagger import Sample, Tally, read_samples
from deputize.stages.curate.tagger.samples import SET_TYPES, only

N_PLAIN = 400
"""Calls on which the plain pipeline's speed is measured."""

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
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
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


class Joined:
    """Several detectors as one."""

    def __init__(self, name: str, detectors: Sequence[Detector]) -> None:
        self.name = name
        self._detectors = detectors

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return detect_all(self._detectors, texts)


CONTENDERS: dict[str, Callable[[], Any]] = {
    "deputize, strict": lambda: Joined("deputize, strict", standard_detectors(strict=True).all),
    "deputize, standard": lambda: Joined("deputize, standard", standard_detectors().all),
    "deputize, rules only (regex)": RuleDetector,
    "presidio + spacy": lambda: PresidioPeer(spacy_model=True),
    "presidio patterns": lambda: PresidioPeer(spacy_model=False),
    "datafog": lambda: Foreign("datafog"),
    "scrubadub": lambda: Foreign("scrubadub"),
}


def unseen(data: Path, name: str) -> list[Sample]:
    """The records of a set that the rules were not written against."""
    rows = list(only(read_samples(data / "pii" / f"pii_anon_{name}.jsonl.gz", rename=SET_TYPES, source=name)))
    return [row for i, row in enumerate(rows) if i % 3]


def utterances(data: Path, n: int, seed: int) -> list[str]:
    with gzip.open(data / "intent_clinc150.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["messages"][-1]["content"] for line in lines]
    return random.Random(seed).sample(texts, n)


def found(data: Path, seed: int, n_plain: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One row per contender and set, and why a contender is missing."""
    samples = {name: unseen(data, name) for name in SETS}
    plain = utterances(data, n_plain, seed)
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for title, make in CONTENDERS.items():
        try:
            detector = make()
            for name, texts in samples.items():
                began = time.perf_counter()
                spans = detector.detect([s.text for s in texts])
                seconds = time.perf_counter() - began
                tally = Tally()
                for sample, row in zip(texts, spans, strict=True):
                    tally.add(sample, row)
                rows.append(
                    {"detector": title, "set": name, **_figures(tally), "texts_per_s": len(texts) / seconds}
                )
            touched = sum(bool(row) for row in detector.detect(plain)) / len(plain)
            for row in rows[-len(samples) :]:
                row["clinc_touched"] = touched
        except (RuntimeError, ImportError, OSError) as error:
            missing[title] = str(error)
    return rows, missing


def _figures(t: Tally) -> dict[str, float | None]:
    return {
        "recall_direct": t.spans_direct_hit / t.spans_direct if t.spans_direct else None,
        "recall_all": t.spans_hit / t.spans if t.spans else None,
        "precision_chars": t.right / t.found if t.found else None,
    }


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
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--utterances", type=int, default=5_000)
    parser.add_argument("--only", choices=("found", "speed"), default=None)
    given = parser.parse_args()
    result: dict[str, Any] = {"machine": table.machine()}
    if given.only != "speed":
        if not (given.data / "pii").is_dir():
            raise SystemExit(
                f"{given.data / 'pii'} is not here: the labelled sets are not part of the repository"
            )
        result["found"], result["missing"] = found(given.data, given.seed, given.utterances)
        table.show("Found, and touched for nothing", result["found"])
        for name, why in result["missing"].items():
            print(f"{name} could not be measured: {why}")
    if given.only != "found":
        result["speed"] = speed(given.calls, given.seed)
        table.show(
            "Speed on templated calls (minutes of the plain pipeline are extrapolated)", result["speed"]
        )
    print(json.dumps(result["machine"]))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
