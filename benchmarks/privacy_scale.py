"""Curation over a log that is larger than one wants to hold: time, memory and what is left in clear, compared with
peers.

The log is SIMULATED: calls of about 1 kB that share a template, in three variants. "listed names": first and last
names come from the very lists that our gazetteer is made of, which flatters us, for the language model is not asked
about them. "composed names": people and towns are put together from syllables, none is in the gazetteer, and they are
in running text too, next to a line `Customer: NAME` that gives them away. "composed names, no label": they are in
running text alone. In all, every planted value is known, so what was missed can be counted.

Ours runs as users run it, `convert(..., stop_after="curate")` from the encrypted store, in a process that does
nothing else; its memory is that process's peak (VmHWM) and those of the processes it starts, added up. Peers get the
texts of some of the calls one by one and only detect.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.memory import peak_mib, watching
from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.records import Call, Example, encode
from deputize.home import Home
from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.gazetteer import is_name

VARIANTS = ("listed names", "composed names", "composed names, no label")
N_PEER = 400
"""Calls on which each peer's speed is measured; its minutes for the whole log are extrapolated."""
BATCH = 1000

TEMPLATE = """You are the claims assistant of Northwind Mutual.
Read the case below and answer with one JSON object with the keys intent, urgency and summary.
intent is one of: new_claim, status, cancel, complaint, payment. urgency is low, normal or high.
Never invent facts. Quote amounts as they are written. If something is missing, say so in the summary.
Policies of the house: claims above 5,000 are passed on; water damage needs photographs; theft needs a police report.
"""
SAID = (
    "my washing machine leaked and the floor of the kitchen is ruined",
    "I would like to know how far my claim is",
    "please cancel the contract at the end of the month",
    "nobody has called me back and I am angry about it",
    "the payment of last week has not arrived on my account",
    "somebody took my bicycle out of the cellar last night",
    "hail has damaged the roof of my car",
    "I moved and need the new address in my papers",
)
_STARTS = [
    "b",
    "br",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "qu",
    "r",
    "s",
    "sk",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "z",
]
_MIDDLES = ["a", "e", "i", "o", "u", "ae", "ei", "io", "ou", "ia"]
_ENDS = [
    "b",
    "ck",
    "d",
    "ff",
    "gh",
    "l",
    "lm",
    "n",
    "nd",
    "nt",
    "r",
    "rk",
    "rn",
    "s",
    "sh",
    "st",
    "th",
    "x",
    "z",
]


class Simulated(NamedTuple):
    """A call, and what of it is personal."""

    call: Call
    planted: dict[str, str]
    """kind -> value."""


def composed(rng: random.Random, n_syllables: int) -> str:
    """A word that sounds like a name and is none that the gazetteer knows."""
    while True:
        word = "".join(rng.choice(_STARTS) + rng.choice(_MIDDLES) for _ in range(n_syllables))
        word = (word + rng.choice(_ENDS)).capitalize()
        if not is_name(word):
            return word


def simulated(n: int, seed: int, variant: str) -> Iterator[Simulated]:
    """n calls, two an episode; the same for the same arguments."""
    from deputize.privacy.replace.surrogates import word_pools

    rng = random.Random(f"{seed} {variant}")
    first, last = word_pools()["first"], word_pools()["last"]
    for i in range(n):
        if variant == "listed names":
            name = f"{rng.choice(first)} {rng.choice(last)}"
            hello = "Hello"
        else:
            name = f"{composed(rng, rng.randint(1, 2))} {composed(rng, rng.randint(1, 3))}"
            hello = f"Hello, this is {name} from {composed(rng, 2)}"
        mail = f"{name.lower().replace(' ', '.')}{rng.randint(1, 99)}@mail.com"
        phone = f"({rng.randint(201, 989)}) {rng.randint(200, 999)}-{rng.randint(0, 9999):04d}"
        policy = f"P-{rng.randint(10**6, 10**7)}"
        label = "" if variant.endswith("no label") else f"Customer: {name}\n"
        user = (
            f"{label}E-mail: {mail}\nPhone: {phone}\nPolicy number: {policy}\n"
            f"Message: {hello}, {rng.choice(SAID)}. {rng.choice(SAID).capitalize()}.\nAmount: {rng.randint(20, 9000)} EUR"
        )
        reply = {"intent": rng.choice(("status", "cancel")), "urgency": "low", "summary": f"{name} asks."}
        call = Call(
            id=f"c{i}",
            messages=[{"role": "system", "content": TEMPLATE}, {"role": "user", "content": user}],
            response={"role": "assistant", "content": json.dumps(reply)},
            agent="claims",
            episode=f"e{i // 2}",
        )
        yield Simulated(call, {"name": name, "mail": mail, "phone": phone, "policy": policy})


# ---------------------------------------------------------------- ours, each part in a process of its own


def fill(home: Path, n: int, seed: int, variant: str) -> dict[str, Any]:
    """Writes the simulated log to the store of a home."""
    from deputize.home import Home

    store = Home(home).open_store()
    rows = (s.call for s in simulated(n, seed, variant))
    while batch := list(islice(rows, BATCH)):
        store.append(batch)
    store.close()
    return {"store_mib": (home / "store.db").stat().st_size / 2**20}


def curate(home: Path, seed: int) -> dict[str, Any]:
    """All of curation from the store to the sealed examples."""
    from deputize.pipeline.conversion import convert

    at_start = time.process_time()
    wall = time.perf_counter()
    with watching() as others, Home(home) as opened:
        convert(opened, Convert(seed=seed), stop_after="curate")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": sum(u.ru_utime + u.ru_stime for u in used) - at_start,
        "peak_mib": peak_mib() + sum(others.values()),
        "others": len(others),
        "artifact_mib": sum(p.stat().st_size for p in home.glob("runs/*/curate.sealed")) / 2**20,
    }


def left_in_clear(home: Path, n: int, seed: int, variant: str) -> dict[str, Any]:
    """How many planted values are in the examples as they were, by kind."""
    from deputize.store.keys.keyring import KeyRing
    from deputize.store.keys.run_keys import run_key
    from deputize.store.sealed import read_stream

    (path,) = home.glob("runs/*/curate.sealed")
    planted = simulated(n, seed, variant)
    left: Counter[str] = Counter()
    n_examples = n_changed_template = 0
    for record in read_stream(path, Example, Curated, run_key(path.parent, KeyRing.open_existing(home))):
        if isinstance(record, Example):
            one = next(s for s in planted if s.call.id == record.call_id)
            text = encode(record).decode()
            left.update(kind for kind, value in one.planted.items() if value in text)
            n_examples += 1
            n_changed_template += record.request.messages[0]["content"] != TEMPLATE
    return {
        "examples": n_examples,
        "template_changed": n_changed_template,
        **{f"{kind}_left": left[kind] / max(1, n_examples) for kind in ("name", "mail", "phone", "policy")},
    }


def _child(*arguments: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.privacy_scale", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def ours(n: int, seed: int, variant: str, tagger: Path | None = None) -> dict[str, Any]:
    """The row of our own pipeline, with a trained tagger in its home if one is given."""
    with tempfile.TemporaryDirectory(prefix="privacy-scale-") as folder:
        home = Path(folder) / "home"
        stored = _child("fill", home, n, seed, variant)
        if tagger is not None:
            shutil.copytree(tagger, home / "taggers" / "0001")
        row = _child("curate", home, seed)
        title = f"deputize, all of curation from the store{', with a tagger' if tagger else ''}"
        return {
            "log": variant,
            "pipeline": title,
            "calls": n,
            **row,
            **stored,
            **_child("left", home, n, seed, variant),
        }


# ---------------------------------------------------------------- peers


def peer(title: str, detector: Any, variant: str, seed: int, n: int) -> dict[str, Any]:
    """A detector over N_PEER calls, text by text: extrapolated time, and the share of planted values it does not cover."""
    rows = list(simulated(N_PEER, seed, variant))
    texts = ["\n".join([*(m["content"] for m in s.call.messages), s.call.response["content"]]) for s in rows]
    detector.detect(texts[:5])
    wall, cpu = time.perf_counter(), time.process_time()
    found: Sequence[Sequence[Span]] = detector.detect(texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    left: Counter[str] = Counter()
    for one, text, spans in zip(rows, texts, found, strict=True):
        covered = {i for s in spans for i in range(s.start, s.end)}
        for kind, value in one.planted.items():
            places = [i for i in range(len(text)) if text.startswith(value, i)]
            left[kind] += any(
                text[i].isalnum() and i not in covered for at in places for i in range(at, at + len(value))
            )
    row = {
        "log": variant,
        "pipeline": f"{title}, detection alone",
        "calls": N_PEER,
        "wall_s": wall * n / N_PEER,
        **{f"{kind}_left": left[kind] / N_PEER for kind in ("name", "mail", "phone", "policy")},
    }
    if not title.startswith(("datafog", "scrubadub")):  # their work is done in another process
        row["cpu_s"] = cpu * n / N_PEER
    return row


def measure(
    n: int,
    seed: int,
    contenders: dict[str, Callable[[], Any]],
    variants: Sequence[str] = VARIANTS,
    tagger: Path | None = None,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One row per pipeline and log, and why a peer is missing. Ratios are of processor time where both are known."""
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for variant in variants:
        mine = ours(n, seed, variant)
        group = [mine]
        if tagger is not None:
            group.append(ours(n, seed, variant, tagger))
        for title, make in contenders.items():
            try:
                group.append(peer(title, make(), variant, seed, n))
            except (RuntimeError, ImportError, OSError) as error:
                missing[title] = str(error)
        for row in group:
            row["minutes"] = row["wall_s"] / 60
            unit = "cpu_s" if "cpu_s" in row else "wall_s"
            row["time_to_ours"] = row[unit] / mine[unit]
        rows += group
    return rows, missing


COLUMNS = (
    "log",
    "pipeline",
    "calls",
    "minutes",
    "cpu_s",
    "time_to_ours",
    "peak_mib",
    "name_left",
    "mail_left",
    "phone_left",
    "policy_left",
)


def main() -> None:
    """One part in this process, for `ours`."""
    parser = argparse.ArgumentParser(description="a part of benchmarks.privacy")
    parser.add_argument("part", choices=("fill", "curate", "left"))
    parser.add_argument("home", type=Path)
    parser.add_argument("numbers", nargs="*")
    given = parser.parse_args()
    if given.part == "curate":
        result = curate(given.home, int(given.numbers[0]))
    else:
        n, seed, variant = given.numbers
        part = fill if given.part == "fill" else left_in_clear
        result = part(given.home, int(n), int(seed), variant)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
