"""Routing under a certificate: `python -m benchmarks.router --json OUT`.

--only recorded    false certificates of the real evaluation over draws from recorded logs
--only simulated   the same over simulated logs whose truth is known
--only labels      the same where the right answers of some calls are known
--only episodes    the same where episodes have several calls, beside the test of one call of each
--only border      tests of whole episodes and of one call of each where the true loss is just what may not be reached
--only small       small logs, with choices by cross-fitting and by validation: what is served, and false certificates
--only repeated    the same over five tasks at once, and over ten runs of a growing log
--only watching    how soon a jump of the loss is found, and how often a sound route is rolled back
--only decision    time of the gateway's decision without the specialist
--only prompts     how many requests find their task, and how many changed prompts are noticed
--only detector    what the detector of out-of-distribution requests notices on CLINC150
--only signals     signals and rules that could decide who answers, compared on CLINC150
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks import (
    changed_prompts,
    decision,
    detector,
    episode_border,
    repeated_tests,
    signals,
    small_logs,
    table,
    validity,
    watching,
)

PARTS = (
    "recorded",
    "simulated",
    "labels",
    "episodes",
    "border",
    "small",
    "repeated",
    "watching",
    "decision",
    "prompts",
    "detector",
    "signals",
)


def main(argv: list[str] | None = None) -> int:
    parser = table.arguments(__doc__ or "")
    parser.add_argument("--only", action="append", choices=PARTS, help="parts to measure (default: all)")
    parser.add_argument("--draws", type=int, default=500, help="calibration sets per setting (default 500)")
    parser.add_argument(
        "--logs", nargs="*", default=list(validity.LOGS), choices=list(validity.LOGS), help="recorded logs"
    )
    given = parser.parse_args(argv)
    parts = given.only or PARTS
    out: dict[str, Any] = {}
    if "simulated" in parts:
        out["simulated"] = validity.simulated_rows(given.draws, given.seed)
        table.show("False certificates on simulated logs (allowed: delta)", out["simulated"])
    if "labels" in parts:
        out["labels"] = validity.labelled_rows(given.draws, given.seed)
        table.show("False certificates about right answers (allowed: delta)", out["labels"])
    if "episodes" in parts:
        out["episodes"] = validity.episode_rows(given.draws, given.seed)
        table.show(
            "Long episodes: what is certified, and false certificates (allowed: delta)", out["episodes"]
        )
    if "border" in parts:
        out["border"] = episode_border.rows(given.draws, given.seed)
        table.show("A true loss of epsilon: false certificates (allowed: .05)", out["border"])
    if "small" in parts:
        out["small"] = small_logs.rows(max(1, given.draws // 10), given.seed)
        table.show("Small logs: choices by cross-fitting and by validation", out["small"])
    if "repeated" in parts:
        out["scope"] = repeated_tests.scope_rows(validity.CONFIG, given.draws, given.seed)
        out["growing"] = repeated_tests.growing_rows(validity.CONFIG, max(1, given.draws // 2), given.seed)
        table.show("Five tasks in a run: false certificates", out["scope"])
        table.show("Ten runs over a growing log: false certificates", out["growing"])
    if "recorded" in parts:
        out["recorded"] = validity.recorded_rows(given.logs, given.draws, given.seed)
        table.show("False certificates on recorded logs (allowed: delta)", out["recorded"])
    if "watching" in parts:
        out["detection"] = [watching.detection_row(1000, given.seed)]
        out["false_rollbacks"] = watching.false_rollback_rows(1000, given.seed)
        out["episodes"] = watching.episode_rows(200, given.seed)
        table.show("A jump of the loss, found by audits", out["detection"])
        table.show("Sound routes that are rolled back", out["false_rollbacks"])
        table.show("Routes whose calls come in episodes", out["episodes"])
    if "decision" in parts:
        out["decision"] = decision.rows()
        table.show("The gateway's decision, without the specialist", out["decision"])
    if "prompts" in parts:
        out["prompts"] = changed_prompts.rows(validity.DATA, list(changed_prompts.LOGS), given.seed)
        table.show("Requests that find their task, as they are and changed", out["prompts"])
    if "detector" in parts:
        if detector.LOG.exists():
            out["detector"] = detector.rows(given.seed)
            table.show(f"Requests that the detector notices at p < {detector.P_VALUE:g}", out["detector"])
        else:
            print(f"{detector.LOG.name} is not here: the detector was not measured", file=sys.stderr)
    if "signals" in parts:
        if signals.LOG.exists():
            out["signals"] = signals.measured(signals.LOG, given.draws, given.seed)
        else:
            print(f"{signals.LOG.name} is not here: no signals were compared", file=sys.stderr)
    table.save(given.json, "router", out)
    return 0 if out else 3


if __name__ == "__main__":
    raise SystemExit(main())
