"""The dataset card: what S2 kept, dropped and replaced, in words a security officer can check; and the export."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.errors import StoreError
from deputize.core.records import Example


def dataset_card(curated: Curated, config: Convert, measured: str = "") -> str:
    """The card as Markdown. It holds counts and names of sites, never text of a call.

    Args:
        curated: the result of S2.
        config: what it was made with.
        measured: a sentence such as "recall .97 on set y", where the detectors were measured.
    """
    by_split = Counter(e.split for e in curated.examples)
    groups = {side: len({e.group for e in curated.examples if e.split == side}) for side in by_split}
    learnable = Counter(e.split for e in curated.examples if e.trainable)
    n_origins = len({e.origin for e in curated.examples if e.origin})
    rows = [
        f"| {s} | {by_split[s]:,} | {groups[s]:,} | {learnable[s]:,} |"
        for s in ("train", "dev", "calibration", "test")
        if by_split[s]
    ]
    lines = [
        "# Dataset card",
        "",
        f"{len(curated.examples):,} examples from {curated.n_calls:,} calls of {curated.n_episodes:,} episodes "
        f"({curated.n_non_hci:,} calls not meant for a person), {n_origins:,} known origins. Seed {config.seed}.",
        "",
        "| side | examples | groups | fit to learn from |", "|---|---|---|---|", *rows,
        "",
        "## Personal data",
        f"De-identified at level \"{config.privacy}\", {measured or curated.measured or 'recall on this log not measured'}, by {', '.join(curated.detectors)}. A list of names, "
        "numbers and forms cannot be complete: treat the data as personal still.",
        "",
        *_table("type", curated.entities), "", "## Not kept, or kept but not learnt from", *_table("reason", curated.dropped),
        "", "## Sites", "| site | calls | for people | for code | audience | evidence |", "|---|---|---|---|---|---|",
        *(f"| {s.name} | {s.n_calls:,} | {s.n_human:,} | {s.n_code:,} | {s.audience} | {s.evidence} |" for s in curated.sites),
    ]  # fmt: skip
    if curated.warnings:
        lines += ["", "## Warnings", *(f"- {w}" for w in curated.warnings)]
    return "\n".join(lines) + "\n"


def _table(head: str, counts: dict[str, int]) -> list[str]:
    if not counts:
        return ["None."]
    ordered = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))
    return [f"| {head} | count |", "|---|---|", *(f"| {name} | {n:,} |" for name, n in ordered)]


def export_jsonl(examples: list[Example], path: Path, *, only_trainable: bool = False) -> int:
    """Writes curated examples in OpenAI's fine-tuning form with their split; returns how many.

    The file is in clear: who may call this is for the caller to decide.

    Raises:
        StoreError: the file cannot be written.
    """
    n_written = 0
    try:
        with path.open("wb") as file:
            for e in examples:
                if only_trainable and not e.trainable:
                    continue
                row = {
                    "id": e.call_id, "split": e.split, "weight": e.weight, "site": e.site,
                    "messages": [*e.request.messages, e.response], "tools": e.request.tools,
                    "response_format": e.request.response_format,
                }  # fmt: skip
                file.write(msgspec.json.encode({k: v for k, v in row.items() if v is not None}) + b"\n")
                n_written += 1
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error
    return n_written
