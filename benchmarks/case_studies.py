"""MetaGPT by role: its recorded calls go through the gateway, are converted, and go through the gateway again.

`python -m benchmarks.case_studies --minutes 20`. The LLM behind the gateway is the recorded cache: it gives each
prompt the reply that was cached for it. Every prompt counts as an episode of its own, which flatters: many are steps
of one project.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai

from benchmarks import table
from deputize import Home, Report, convert, run_settings, running_gateway
from deputize.core.artifacts import Curated, Discovered
from deputize.pipeline.run import artifact_of
from deputize.testing import ScriptedUpstream, running

DATA = Path(__file__).parents[1] / "../shared/data/metagpt_rsp_cache.jsonl.gz"
MODEL = "gpt-4"
"""The cache does not name its model; prices are counted by this one."""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The recorded calls."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def prompt_of(messages: Any) -> str:
    return json.dumps([[m["role"], m["content"]] for m in messages], ensure_ascii=False)


async def replayed(home: Path, llm: str, rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(id of the call, who answered) of each row, sent through the gateway in order."""
    answered = []
    async with (
        running_gateway(home, upstream=llm) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", timeout=120, max_retries=0) as client,
    ):
        for row in rows:
            reply = await client.chat.completions.with_raw_response.create(
                model=MODEL,
                messages=row["messages"],
                tools=row["tools"] or openai.omit,
                extra_headers={"x-deputize-agent": row["agent"], "x-deputize-episode": row["id"]},
            )
            headers = reply.headers
            answered.append((headers["x-deputize-request-id"], headers["x-deputize-served-by"]))
    return answered


async def measured(folder: Path, rows: list[dict[str, Any]], given: dict[str, Any]) -> None:
    """Runs it and prints the tables."""
    cache = {prompt_of(row["messages"]): row["response"] for row in rows}
    home_path = folder / "home"
    home_path.mkdir()
    (home_path / "config.toml").write_text('[routes]\nstart = "live"\n')
    upstream = ScriptedUpstream(lambda body: dict(cache[prompt_of(body["messages"])]), model=MODEL)
    async with running(upstream) as llm:
        first = await replayed(home_path, llm.url, rows)
        with Home(home_path) as home:
            report = await asyncio.to_thread(convert, home, run_settings(home, **given))
            curated = artifact_of(home, report.run_id, "curate", Curated).read()
            discovered = artifact_of(home, report.run_id, "cluster", Discovered).read()
        second = await replayed(home_path, llm.url, rows)
    ids = {id: row for (id, _), row in zip(first, rows, strict=True)}
    code = {e.call_id for e in curated.examples if e.audience == "code"}
    code |= {w.call_id for w in curated.withheld if w.audience == "code"}
    by_role(ids, code, discovered.assignment, report, [by for _, by in second])
    by_task(report, ids, discovered.assignment)


def by_role(
    ids: dict[str, dict[str, Any]],
    code: set[str],
    assignment: dict[str, str],
    report: Report,
    served_by: Sequence[str],
) -> None:
    """Prints what becomes of the calls of each role."""
    name_of = {row["id"]: row["agent"].removeprefix("metagpt/") for row in ids.values()}
    possible = {t.id for t in report.tasks if t.feasibility is not None and t.feasibility.possible}
    certified = {t.id for t in report.tasks if t.certificate is not None}
    count: dict[str, Counter[str]] = defaultdict(Counter)
    for (id, row), by in zip(ids.items(), served_by, strict=True):
        role, task = name_of[row["id"]], assignment.get(id, "")
        for column, holds in (
            ("calls", True),
            ("for code", id in code),
            ("in a task", bool(task)),
            ("enough episodes", task in possible),
            ("certified", task in certified),
            ("served in the replay", by == "slm"),
        ):
            count[role][column] += holds
            count["all"][column] += holds
    rows = sorted(count.items(), key=lambda item: -item[1]["calls"])
    table.show("by role", [{"role": role, **n} for role, n in rows])


def by_task(report: Report, ids: dict[str, dict[str, Any]], assignment: dict[str, str]) -> None:
    """Prints the tasks that were found, whose calls they are, and how well specialists did on held-out calls."""
    roles: dict[str, Counter[str]] = defaultdict(Counter)
    for id, row in ids.items():
        if task_id := assignment.get(id):
            roles[task_id][row["agent"].removeprefix("metagpt/") + " " + (row.get("task_label") or "")] += 1
    out = []
    for task in report.tasks:
        best = max((m for m in task.methods if m.trained), key=lambda m: m.test_accuracy or 0.0, default=None)
        feasible = task.feasibility
        out.append(
            {
                "roles": ", ".join(name for name, _ in roles[task.id].most_common(2)),
                "calls": task.n_calls,
                "kind": task.kind,
                "least epsilon": feasible.smallest_epsilon if feasible else None,
                "episodes missing": feasible.n_more_groups if feasible else None,
                "method": best.method if best else None,
                "held out": best.n_test if best else None,
                "accuracy": best.test_accuracy if best else None,
                "servable at .10": (best.test_coverage or {}).get("0.1") if best else None,
                "verdict": (task.refusal_reason or "certified")[:100],
            }
        )
    table.show("by task", out)
    print(dict(report.unassigned))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=DATA)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--epsilon", type=float, default=0.10)
    parser.add_argument("--methods", nargs="+", default=["linear", "frozen"])
    parser.add_argument("--explore", action="store_true", help="also train tasks with too few episodes")
    parser.add_argument(
        "--all-for-code", action="store_true", help="take every reply for one that a program reads"
    )
    chosen = parser.parse_args()
    given = {
        "minutes": chosen.minutes,
        "epsilon": chosen.epsilon,
        "methods": tuple(chosen.methods),
        "explore": chosen.explore,
        "min_calls": 20,
        "audience": {"*": "code"} if chosen.all_for_code else {},
    }
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measured(Path(folder), rows_of(chosen.log), given))


if __name__ == "__main__":
    main()
