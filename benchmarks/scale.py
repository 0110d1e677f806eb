"""Time and memory of each stage against the length of the log, with exponents: import, S2 to S6 with the linear method.

python -m benchmarks.scale --calls 10000,100000 [--stages import,curate,cluster] [--rules-only] [--methods
linear,encoder] [--json OUT] [--keep FOLDER]

The log is SIMULATED (benchmarks/scale_log.py): calls of about 1 kB, 24 tasks, an open vocabulary. Each stage runs as
users run it, in a process of its own; its processor time and memory are those of the process and of all that it
starts. The exponent is the slope of log(seconds) over log(calls); the one of seconds beyond the smallest log's is
free of what starting costs. What is beyond the largest log is extrapolated and called so. Without `import` among the
stages the examples are written as they were simulated, not de-identified, and the stages that are named read those.
With --rules-only curation is the real one but for its detectors: our rules alone, an hour's work in minutes, for
measuring the stages after it and what curation holds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks.memory import peak_mib, watching
from benchmarks.scale_log import simulated_log
from benchmarks.table import arguments, save, show
from deputize.core.config import Convert
from deputize.home import Home

STAGES = ("import", "curate", "cluster", "select", "finetune", "evaluate")
BEYOND = (1_000_000, 100_000_000)
"""Lengths that are extrapolated to."""
N_NEW, N_PASSES = 10_000, 4
"""New calls whose assignment to a task is timed, one by one, and how often: other processes make single times longer,
never shorter."""
NEW_SEED = 1
"""Of their log: people, companies and words that the first has not."""


def write_log(path: Path, n: int, seed: int) -> None:
    """The simulated log as JSON lines."""
    with path.open("w") as file:
        for one in simulated_log(n, seed):
            file.write(json.dumps(one.row) + "\n")


def config_of(seed: int, methods: Sequence[str] = ("linear",)) -> Convert:
    """A conversion with these methods and no limit of time that matters."""
    return Convert(seed=seed, methods=tuple(methods), minutes=24 * 60)


def fill(home: Path, n: int, seed: int) -> dict[str, Any]:
    """Writes a run's curated examples as they were simulated, so that discovery is measured without hours of curation."""
    from deputize.core.artifacts import Curated
    from deputize.core.progress import silent
    from deputize.core.records import Call, Example, Request, Split
    from deputize.pipeline.conversion import open_run

    splits: tuple[Split, ...] = ("train", "train", "train", "validation", "calibration", "test")

    def examples() -> Iterator[Example]:
        for one in simulated_log(n, seed):
            row, episode = one.row, one.row["run_id"]
            if one.task.endswith("/summarise"):
                continue  # meant for a person: curation would withhold it
            yield Example(
                call_id=row["id"],
                request=Request(messages=row["messages"], tools=row.get("tools"), agent=row["agent"]),
                response=row["response"],
                audience="code",
                site=one.task,
                episode=episode,
                group=episode,
                origin=row["user"],
                split=splits[crc32(episode.encode()) % len(splits)],
                timestamp=float(row["timestamp"]),
                model=row["model"],
            )

    with Home(home) as opened:
        # a home without any call is refused
        opened.store.append([Call(id="1", messages=[], response={"role": "assistant", "content": "yes"})])
        run = open_run(opened, config_of(seed), silent)
        with run.artifact("curate", Curated).writing() as stream:
            for example in examples():
                stream.add(example)
            stream.end(Curated(examples=[], sites=[], n_calls=n, n_episodes=n // 2, n_code_calls=n))
    return {"n": n}


def curate_by_rules(home: Home, config: Convert) -> None:
    """Curation with our rules as the only detector, in this process alone; all else is as in pipeline.curation."""
    from deputize.core.artifacts import Curated
    from deputize.core.progress import silent
    from deputize.pipeline.conversion import open_run
    from deputize.pipeline.curation import CorrectedCalls, episode_links
    from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
    from deputize.privacy.detectors.rules import RuleDetector
    from deputize.privacy.standard_detectors import DetectorSet
    from deputize.stages.collect.audience import infer_sites
    from deputize.stages.curate.run import CurateOptions, run
    from deputize.stages.curate.traffic_sample import traffic_sample

    opened = open_run(home, config, silent)
    calls, traffic = CorrectedCalls(opened), traffic_sample(opened.calls())
    with opened.artifact("curate", Curated).writing() as stream:
        head = run(
            calls,
            infer_sites(calls, config.min_origins, config.audience),
            config,
            key=home.keyring.derive("surrogates"),
            detectors=DetectorSet([DeobfuscatingDetector(RuleDetector())]),
            write=stream.add,
            options=CurateOptions(links=episode_links(opened, traffic), traffic=traffic),
        )
        stream.end(head)


def do_part(home: Path, part: str, config: Convert) -> dict[str, Any]:
    """One stage in this process, which does nothing else."""
    began, facts = time.perf_counter(), dict[str, Any]()
    with watching() as others:
        if part == "import":
            from deputize.stages.collect.import_logs import import_paths

            with Home(home) as opened:
                done = import_paths(opened.store, opened.keyring, [home.parent / "log.jsonl"])
            facts = {"n": done.n_calls}
        elif part == "rules":
            with Home(home) as opened:
                curate_by_rules(opened, config)
        else:
            from deputize.pipeline.conversion import run_stage

            with Home(home) as opened:
                run_stage(opened, part, config)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "wall_s": time.perf_counter() - began,
        "cpu_s": sum(u.ru_utime + u.ru_stime for u in used),
        "peak_mib": peak_mib() + sum(others.values()),
        "own_mib": peak_mib(),
        "processes": 1 + len(others),
        **facts,
    }


def assignment(home: Path, n: int, seed: int) -> dict[str, Any]:
    """How well the tasks match the true ones, and how long the assignment of a new call takes, without an embedding."""
    from sklearn.metrics import adjusted_rand_score, homogeneity_score

    from deputize.core.artifacts import Discovered
    from deputize.core.records import Request
    from deputize.core.template_key import TemplateKeys
    from deputize.pipeline.run import artifact_of, latest_run

    with Home(home) as opened:
        run_id = latest_run(opened) or ""
        found = artifact_of(opened, run_id, "cluster", Discovered).read()
    known = [
        (one.task, found.assignment[one.row["id"]])
        for one in simulated_log(n, seed)
        if one.row["id"] in found.assignment
    ]
    true, ours = zip(*known, strict=True)
    task_of = {key: task.id for task in found.tasks for key in task.keys}
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for a, b in known:
        names[b][a] += 1
    new = list(simulated_log(N_NEW, NEW_SEED + seed))
    requests = [Request(messages=one.row["messages"], tools=one.row.get("tools")) for one in new]
    took_us, tasks = np.full((N_PASSES, N_NEW), np.inf), list[str]()
    for passed in took_us:
        keys, tasks = TemplateKeys(found.keyspaces), []
        for at, request in enumerate(requests):
            began = time.thread_time_ns()
            tasks.append(task_of.get(keys.key(request), ""))
            passed[at] = (time.thread_time_ns() - began) / 1000
    n_assigned = sum(task != "" for task in tasks)
    n_right = sum(
        task != "" and names[task].most_common(1)[0][0] == one.task
        for task, one in zip(tasks, new, strict=True)
    )
    p50, p99 = np.percentile(took_us.min(axis=0), (50, 99))
    return {
        "tasks": len(found.tasks),
        "true tasks": len(set(true)),
        "ARI": float(adjusted_rand_score(true, ours)),
        "homogeneity": float(homogeneity_score(true, ours)),
        "without task": 1 - len(known) / n,
        "new: assigned": n_assigned / N_NEW,
        "new: right": n_right / max(1, n_assigned),
        "new: p50 us": float(p50),
        "new: p99 us": float(p99),
        "one pass": float(np.median(np.percentile(took_us, 99, axis=1))),
    }


def _child(*given: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", *map(str, given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(
    folder: Path, n: int, seed: int, stages: Sequence[str], methods: str, rules_only: bool
) -> list[dict[str, Any]]:
    """One row a stage."""
    folder.mkdir(parents=True, exist_ok=True)
    if "import" not in stages and not (folder / "home").exists():
        _child("--part", "fill", "--home", folder / "home", "--calls", n, "--seed", seed)
    elif not (folder / "log.jsonl").exists():
        write_log(folder / "log.jsonl", n, seed)
    rows = []
    for stage in stages:
        part = "rules" if stage == "curate" and rules_only else stage
        row = {
            "calls": n,
            "stage": stage,
            **_child("--part", part, "--home", folder / "home", "--seed", seed, "--methods", methods),
        }
        row.pop("n", None)
        row["bytes/call"] = row["peak_mib"] * 2**20 / n
        row["us/call"] = row["cpu_s"] * 1e6 / n
        show(f"{stage}, {n:,} calls", [row])
        rows.append(row)
    return rows


def exponents(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By stage: exponents of processor time and of memory, and what they give for longer logs. Needs two lengths."""
    out = []
    for stage in STAGES:
        mine = sorted((r for r in rows if r["stage"] == stage), key=lambda r: r["calls"])
        if len(mine) < 2:
            continue
        n, cpu, mem = (np.array([float(r[k]) for r in mine]) for k in ("calls", "cpu_s", "peak_mib"))
        whole = float(np.polyfit(np.log(n), np.log(cpu), 1)[0])
        last = math.log(cpu[-1] / cpu[-2]) / math.log(n[-1] / n[-2])
        slope_s, slope_mib = ((x[-1] - x[-2]) / (n[-1] - n[-2]) for x in (cpu, mem))
        row = {
            "stage": stage,
            "exponent of time": whole,
            "between the last two": last,
            "us a further call": slope_s * 1e6,
            "bytes a further call": slope_mib * 2**20,
        }
        if len(mine) > 2:  # free of what starting costs
            more_n, more_s = n[1:] - n[0], cpu[1:] - cpu[0]
            row["beyond the smallest"] = float(np.polyfit(np.log(more_n), np.log(more_s), 1)[0])
        for calls in (b for b in BEYOND if b > n[-1]):
            row[f"extrapolated: hours at {calls:,}"] = (cpu[-1] + slope_s * (calls - n[-1])) / 3600
            row[f"extrapolated: GiB at {calls:,}"] = (mem[-1] + slope_mib * (calls - n[-1])) / 1024
        out.append(row)
    return out


def main() -> None:
    """Every length in turn, each stage in a process of its own."""
    parser = arguments((__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", default="10000,100000")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument(
        "--keep", type=Path, help="folder for logs and homes, one a length; default: a temporary one"
    )
    parser.add_argument("--methods", default="linear")
    parser.add_argument(
        "--rules-only", action="store_true", help="curation looks for personal data by our rules alone"
    )
    parser.add_argument("--part", choices=(*STAGES, "rules", "assignment", "fill"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part == "assignment":
        print(json.dumps(assignment(given.home, int(given.calls), given.seed)))
        return
    if given.part == "fill":
        print(json.dumps(fill(given.home, int(given.calls), given.seed)))
        return
    if given.part:
        print(json.dumps(do_part(given.home, given.part, config_of(given.seed, given.methods.split(",")))))
        return
    rows, found = list[dict[str, Any]](), list[dict[str, Any]]()
    stages = given.stages.split(",")
    with contextlib.ExitStack() as stack:
        root = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        for n in map(int, given.calls.split(",")):
            rows += measure(root / str(n), n, given.seed, stages, given.methods, given.rules_only)
            if "cluster" in stages:
                part = (
                    "--part",
                    "assignment",
                    "--home",
                    root / str(n) / "home",
                    "--calls",
                    n,
                    "--seed",
                    given.seed,
                )
                found.append({"calls": n, **_child(*part)})
                show("Tasks found, and new calls assigned one by one", found[-1:])
    lines = exponents(rows)
    show("Each stage in a process of its own", rows)
    show("Tasks found, and new calls assigned one by one", found)
    show("Growth", lines)
    save(given.json, "scale", {"rows": rows, "tasks": found, "growth": lines})


if __name__ == "__main__":
    main()
