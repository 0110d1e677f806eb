"""What is certified on each recorded log, beside every method alone, the best pair and the oracle: `python -m
benchmarks.each_log --json OUT`.

Each log is converted by the command that users give, in a home of its own, with every task explored whether or not it
has enough episodes. Shares are of the held-out calls meant for code; "by hindsight" is the most that could have been
served at that loss had the held-out answers been known, an upper bound of what a certificate can serve.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.changed_prompts import READ_BY_CODE

DATA = Path(__file__).parents[1] / "../shared/data"
LEVELS = (0.02, 0.05, 0.10)
"""The losses (epsilon) of the table."""
METHODS = ("linear", "frozen", "listed")
FIRST_ATTEMPTS = frozenset({"absa_rest_gemma3_twins"})
"""Logs that hold a model's later attempts at the same call; only the first is traffic."""


def lines_of(log: Path) -> Iterator[str]:
    """The calls of a log, as lines of JSON; of a log with attempts, the first ones, answered by what was read from
    the reply."""
    with gzip.open(log, "rt", encoding="utf-8") as lines:
        if log.name.split(".")[0] not in FIRST_ATTEMPTS:
            yield from lines
            return
        for line in lines:
            row = json.loads(line)
            if row["attempt"] == 0:
                answer = json.dumps(row["answer"], ensure_ascii=False)
                yield json.dumps(row | {"response": {"role": "assistant", "content": answer}}) + "\n"


def converted(log: Path, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The report of a conversion of `log`, or {"error": ...}."""
    plain, home = folder / f"{log.name.split('.')[0]}.jsonl", folder / "home"
    plain.write_text("".join(lines_of(log)))
    command = [
        sys.executable,
        "-m",
        "deputize.cli.main",
        "convert",
        str(plain),
        "--home",
        str(home),
        "--json",
        "--explore",
    ]
    command += ["--epsilon", str(given.epsilon), "--minutes", str(given.minutes), "--seed", str(given.seed)]
    if log.name.split(".")[0] in READ_BY_CODE:
        command += ["--audience", "code"]
    command += [part for method in given.methods for part in ("--method", method)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        return {"error": f"exit {done.returncode}: {done.stderr.strip()[-300:]}"}


def levels(values: dict[str, float | None] | dict[float, float | None]) -> str:
    """Shares at the losses of the table, "-" where there is none."""
    by_level = {round(float(level), 3): value for level, value in values.items()}
    shown = ("-" if by_level.get(level) is None else f"{by_level[level]:.2f}" for level in LEVELS)
    return " / ".join(shown)


def rows_of_task(log: str, task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The methods of a task, then what is certified."""
    name = f"{log}: {task['name'][:40]} ({task['n_calls']:,} calls)"
    test = task["test"] or {}
    if test.get("majority_accuracy") is not None:
        yield {
            "task": name,
            "method": "majority",
            "held out": test["n_calls"],
            "accuracy": test["majority_accuracy"],
        }
    for row in task["methods"]:
        if row["trained"]:
            yield {
                "task": name,
                "method": row["method"] + (" (chosen)" if row["chosen"] else ""),
                "held out": row["n_test"],
                "accuracy": row["test_accuracy"],
                "hindsight .02/.05/.10": levels(row["test_coverage"]),
            }
    by_epsilon = task["by_epsilon"]
    if by_epsilon:
        yield {
            "task": name,
            "method": "certified" if any(e["certified"] for e in by_epsilon) else "nothing certified",
            "hindsight .02/.05/.10": levels({e["epsilon"]: e["oracle_coverage"] for e in by_epsilon}),
            "certified .02/.05/.10": levels(
                {e["epsilon"]: e["share_certified"] if e["certified"] else None for e in by_epsilon}
            ),
            "loss held out": levels(
                {e["epsilon"]: e["loss_held_out"] if e["certified"] else None for e in by_epsilon}
            ),
            "why": (task["refusal_reason"] or "")[:110],
        }
    else:
        yield {"task": name, "method": "not tested", "why": (task["refusal_reason"] or "")[:110]}


def main() -> None:
    parser = table.arguments("What is certified on each recorded log, beside every method and the oracle.")
    logs = sorted(path.name.split(".")[0] for path in DATA.glob("*.jsonl.gz"))
    parser.add_argument(
        "--logs", nargs="+", default=logs, choices=logs, metavar="LOG", help=f"of {', '.join(logs)}"
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--minutes", type=float, default=8.0, help="time of a conversion (default 8)")
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument(
        "--tasks", type=int, default=3, help="largest tasks of a log that are shown (default 3)"
    )
    given = parser.parse_args()
    result: dict[str, Any] = {
        "machine": table.machine(),
        "settings": {**vars(given), "json": str(given.json)},
        "logs": {},
    }
    for log in given.logs:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            report = converted(DATA / f"{log}.jsonl.gz", Path(folder), given)
        minutes = (time.monotonic() - start) / 60
        tasks = sorted(report.get("tasks", []), key=lambda t: -t["n_calls"])
        result["logs"][log] = {
            "minutes": minutes,
            "error": report.get("error"),
            "n_tasks": len(tasks),
            "tasks": tasks,
        }
        title = f"{log}: {len(tasks)} tasks, {minutes:.1f} min {report.get('error') or ''}"
        table.show(title, [row for task in tasks[: given.tasks] for row in rows_of_task(log, task)])
        if given.json is not None:
            given.json.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
