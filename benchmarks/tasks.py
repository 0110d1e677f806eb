"""Task discovery compared with its peers, in one run: `python -m benchmarks.tasks --json OUT`.

Logs: two simulated ones with known tasks, simulated ones without answers in two halves (`--only silent`; nothing is set
on the half "check"), the MetaGPT cache with its regex labels, all recorded logs mixed, and CLINC150's utterances for
the semantic step alone (k is known to no method but KMeans). Every method sees the same calls.
"""

from __future__ import annotations

import gzip
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import labelled_logs, silent_logs, table
from deputize.core.contracts import text_of
from deputize.core.records import Call
from deputize.core.signature import signature
from deputize.core.template_key import opening
from deputize.locations import models_path
from deputize.stages.cluster.run import discover
from deputize.stages.cluster.text_communities import communities, embed, graph

DATA = Path(__file__).parents[1] / "../shared/data"
Labels = Sequence[Any]


def scores(truth: Labels, found: Labels) -> dict[str, float]:
    """Agreement of two partitions."""
    from sklearn.metrics import adjusted_rand_score, homogeneity_score, normalized_mutual_info_score

    return {
        "ARI": round(float(adjusted_rand_score(truth, found)), 3),
        "homogeneity": round(float(homogeneity_score(truth, found)), 3),
        "NMI": round(float(normalized_mutual_info_score(truth, found)), 3),
        "tasks": len(set(found)),
    }


def ours(calls: Sequence[Call], seed: int) -> Labels:
    return [row["task"] for row in discover(calls, seed=seed, models_dir=models_path())]


def structure(calls: Sequence[Call], seed: int) -> Labels:
    """System prompt, tools, reply schema."""
    return [f"{signature(c.request())}|{opening(c.request())[0]}" for c in calls]


def drain(calls: Sequence[Call], seed: int) -> Labels:
    from drain3 import TemplateMiner
    from drain3.template_miner_config import TemplateMinerConfig

    miner = TemplateMiner(config=TemplateMinerConfig())
    return [miner.add_log_message(_user(c).replace("\n", " "))["cluster_id"] for c in calls]


def kmeans(calls: Sequence[Call], seed: int) -> Labels:
    """TF-IDF of the user message; k by the best silhouette of 5, 10, ... 60."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics import silhouette_score

    vectors = TfidfVectorizer(sublinear_tf=True, max_features=20_000).fit_transform(
        [_user(c)[:4000] for c in calls]
    )
    best: tuple[float, Labels] = (-2.0, [])
    for k in range(5, min(61, len(calls) // 4), 5):
        found = MiniBatchKMeans(k, random_state=seed, n_init=3).fit_predict(vectors)
        if len(set(found)) > 1:
            score = silhouette_score(vectors, found, sample_size=1500, random_state=seed)
            best = max(best, (float(score), found.tolist()), key=lambda pair: pair[0])
    return best[1]


def hdbscan(calls: Sequence[Call], seed: int) -> Labels:
    """MiniLM of the user message, PCA to 15, HDBSCAN; noise is one cluster."""
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    texts = [_user(c)[:1500] for c in calls]
    vectors = embed(texts, models_path())
    reduced = PCA(min(15, *vectors.shape), random_state=seed).fit_transform(vectors)
    labels: Labels = (
        HDBSCAN(min_cluster_size=max(8, len(calls) // 100), copy=True).fit_predict(reduced).tolist()
    )
    return labels


def group_texts(texts: Sequence[str], seed: int) -> list[int]:
    """The community of each text; equal texts are one node."""
    distinct = list(dict.fromkeys(texts))
    place = {text: i for i, text in enumerate(distinct)}
    found = communities(graph(embed(distinct, models_path())), seed=seed).tolist()
    return [found[place[text]] for text in texts]


def semantic(calls: Sequence[Call], seed: int) -> Labels:
    """Our semantic step on the user message alone: MiniLM, shared neighbours, Leiden; no structure, no answers."""
    return group_texts([_user(c)[:1500] for c in calls], seed)


METHODS: dict[str, Callable[[Sequence[Call], int], Labels]] = {
    "deputize": ours,
    "signature alone": structure,
    "drain3": drain,
    "TF-IDF + KMeans (silhouette)": kmeans,
    "MiniLM + HDBSCAN": hdbscan,
    "MiniLM + SNN + Leiden": semantic,
}


def _user(call: Call) -> str:
    return opening(call.request())[1] or "\n".join(text_of(m) for m in call.messages)


def recorded(name: str) -> tuple[list[Call], list[str]] | None:
    """A recorded log with the label of each call, None where the data are not here."""
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        return None
    calls: list[Call] = []
    labels: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            calls.append(
                Call(
                    id=row["id"],
                    messages=row["messages"],
                    response=row["response"] or {},
                    episode=str(row["run_id"]),
                    agent=row["agent"],
                    tools=row.get("tools"),
                    response_format=row.get("response_format"),
                )
            )
            labels.append(str(row.get("task_label")))
    return calls, labels


def mix(most: int, seed: int) -> tuple[list[Call], list[str]] | None:
    """Whole episodes of every recorded log, up to so many calls each; the truth is the agent, in MetaGPT's log its job.

    The four logs of the Berkeley function calling benchmark are one job: a call of a tool from the list given. So are
    the two sets of restaurant reviews, whose prompts are the same letter for letter. MetaGPT's calls that its
    patterns gave no label ("other") are left out: nobody said what they are.
    """
    calls: list[Call] = []
    labels: list[str] = []
    for path in sorted(DATA.glob("*.jsonl.gz")):
        found, jobs = recorded(path.name.removesuffix(".jsonl.gz")) or ([], [])
        names = sorted({call.episode for call in found})
        order = {names[n]: at for at, n in enumerate(np.random.default_rng(seed).permutation(len(names)))}
        known = [
            n for n in range(len(found)) if not jobs[n].startswith("other") or "metagpt" not in path.name
        ]
        kept = sorted(known, key=lambda n: (order[found[n].episode], n))[:most]
        for n in sorted(kept):
            suite = found[n].agent.split("/")[0]
            calls.append(msgspec.structs.replace(found[n], id=f"{path.name}/{found[n].id}"))
            job = jobs[n] if suite == "metagpt" else ""
            labels.append(f"{suite} {job}" if suite in ("bfcl", "metagpt", "la-absa") else found[n].agent)
    return (calls, labels) if calls else None


def silent(log: tuple[list[Call], list[str]]) -> tuple[list[Call], list[str]]:
    """A log without any answer."""
    return [msgspec.structs.replace(call, response={}) for call in log[0]], log[1]


def utterances(n: int, seed: int) -> tuple[list[Call], list[str]] | None:
    """CLINC150's utterances as texts without a template; the truth is the intent."""
    found = recorded("intent_clinc150")
    if found is None:
        return None
    rows = np.random.default_rng(seed).choice(len(found[0]), min(n, len(found[0])), replace=False)
    calls = [found[0][i] for i in rows]
    return calls, [text_of(c.response) for c in calls]


def measure(
    title: str, calls: Sequence[Call], truth: Labels, methods: Sequence[str], seed: int, n_seeds: int
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in methods:
        began = time.perf_counter()
        try:
            found = [METHODS[name](calls, seed)]
        except ImportError as error:
            rows.append({"method": name, "note": f"not measured: {error.name} is not installed"})
            continue
        seconds = time.perf_counter() - began
        row: dict[str, Any] = {"method": name, **scores(truth, found[0]), "calls/s": len(calls) / seconds}
        if n_seeds > 1:
            found += [METHODS[name](calls, seed + k) for k in range(1, n_seeds)]
            row["ARI seed to seed"] = statistics.mean(scores(found[0], f)["ARI"] for f in found[1:])
        rows.append(row)
    table.show(title, rows)
    return rows


def speed(n: int, seed: int) -> dict[str, Any]:
    """The whole semantic step on many short texts (static word vectors above 6,000)."""
    calls, _ = labelled_logs.hostile(n, seed)
    texts = [f"{_user(c)} {i}" for i, c in enumerate(calls)]
    began = time.perf_counter()
    found = group_texts(texts, seed)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    ours(calls, seed)
    return {
        "n_texts": n,
        "semantic_s": seconds,
        "communities": len(set(found)),
        "discover_s": time.perf_counter() - began,
    }


def main() -> None:
    parser = table.arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=1, help="runs with other seeds, for stability")
    parser.add_argument("--utterances", type=int, default=6000)
    parser.add_argument("--speed", type=int, default=0, help="also time this many texts")
    parser.add_argument(
        "--only",
        nargs="*",
        default=[],
        help="designed, hostile, metagpt, clinc, mix, silent, or a part of it such as check/long",
    )
    parser.add_argument("--mixed", type=int, default=600, help="calls of each recorded log in the mix")
    parser.add_argument("--ours", action="store_true", help="without peers")
    args = parser.parse_args()
    logs: dict[str, Callable[[], tuple[list[Call], list[str]] | None]] = {
        "designed": lambda: labelled_logs.designed(seed=args.seed),
        "hostile": lambda: labelled_logs.hostile(seed=args.seed),
        "metagpt": lambda: recorded("metagpt_rsp_cache"),
        "clinc": lambda: utterances(args.utterances, args.seed),
        "silent": lambda: silent(labelled_logs.hostile(seed=args.seed)),
        **{
            f"{half}/{kind}": partial(silent_logs.load, kind, half, seed=args.seed)
            for half in silent_logs.HALVES
            for kind in silent_logs.KINDS
        },
        "mix": lambda: mix(args.mixed, args.seed),
    }
    titles = {
        "designed": "Designed log (SIMULATED), 20 tasks",
        "hostile": "Hostile log (SIMULATED), 20 tasks",
        "metagpt": "MetaGPT cache, regex labels",
        "clinc": "CLINC150 utterances as untemplated text, 151 intents",
        "silent": "Hostile log (SIMULATED) without answers, 20 tasks",
        "mix": "All recorded logs mixed",
    }
    result: dict[str, Any] = {}
    for name, load in logs.items():
        if args.only and name not in args.only and not ("/" in name and "silent" in args.only):
            continue
        log = load()
        if log is None:
            print(f"{titles.get(name, name)}: not measured, the recorded data are not here")
            continue
        # intents are the answers here: a site with a closed label set is one task by design, so only the step alone
        methods = (
            list(METHODS)[: 2 if args.ours else None]
            if name != "clinc"
            else [m for m in METHODS if m not in ("deputize", "signature alone")]
        )
        result[name] = measure(
            titles.get(name, f"Without answers (SIMULATED), {name}"), *log, methods, args.seed, args.seeds
        )
    if args.speed:
        result["speed"] = speed(args.speed, args.seed)
        table.show("Speed", [result["speed"]])
    table.save(args.json, "tasks", result)


if __name__ == "__main__":
    main()
