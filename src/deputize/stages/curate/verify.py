"""The verification pass over a log: quarantines calls in which personal data is left, and prepares the comparison of
calls."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from deputize.core.artifacts import Withheld
from deputize.core.progress import Progress, silent
from deputize.core.records import Call
from deputize.privacy.call_texts import message_strings
from deputize.privacy.deidentify import ANSWER_LOST, Deidentifier
from deputize.stages.curate.dedup import DedupItem, Sketch, sketch
from deputize.stages.curate.first_pass import CallSummary, LogIndex


class VerifiedLog:
    """The result of the verification pass."""

    def __init__(self) -> None:
        self.quarantined: dict[str, Withheld] = {}
        """By call id."""
        self.sketches: dict[str, Sketch] = {}
        """By call id, of calls that may be duplicates of others."""


def verify(
    log: Iterable[Call],
    index: LogIndex,
    deidentifier: Deidentifier,
    candidates: Container[str],
    restored: Container[str],
    seed: int,
    progress: Progress = silent,
) -> VerifiedLog:
    """Reads the log once more and quarantines each call in which something personal is left after replacement.

    Args:
        log: the calls of `index`.
        index: of the first pass.
        deidentifier: of the log.
        candidates: ids of calls that may be used for training; duplicates are looked for among them.
        restored: ids of calls that a person has put back; they are not quarantined.
        seed: of the sketches.
        progress: called during the pass.
    """
    verified = VerifiedLog()
    repeated = _repeated_answers(c for c in index.calls.values() if c.id in candidates)
    minhashes: dict[bytes, Any] = {}
    for n_done, call in enumerate(deidentifier.passing(log), 1):
        summary = index.calls[call.id]
        if call.id not in restored and (left := deidentifier.leftover(call)):
            reason = left if left == ANSWER_LOST else f"quarantined: {left}"
            verified.quarantined[call.id] = Withheld(
                call_id=call.id, reason=reason, site=summary.site, tenant=call.tenant
            )
        elif call.id in candidates and hash((summary.site, summary.answer)) in repeated:
            item = _dedup_item(call, index, deidentifier)
            verified.sketches[call.id] = sketch(item, seed, minhashes)
        if n_done % 1000 == 0:
            progress("verifying that nothing personal is left", n_done, len(index.calls))
    return verified


def _repeated_answers(calls: Iterable[CallSummary]) -> set[int]:
    """Hashes of sites with answers that several calls have; two with one hash cost a comparison, nothing else."""
    seen, repeated = set[int](), set[int]()
    for call in calls:
        one = hash((call.site, call.answer))
        (repeated if one in seen else seen).add(one)
    return repeated


def _dedup_item(call: Call, index: LogIndex, deidentifier: Deidentifier) -> DedupItem:
    """A call for deduplication: the lines of its prompt that are not template, before replacement."""
    summary, line_index = index.calls[call.id], index.scanned.line_index
    template = deidentifier.vocabulary(call).lines
    varying: dict[tuple[int, int], str] = {}
    for i, text in enumerate(text for message in call.messages for text in message_strings(message)):
        if not template.issuperset(line_index.lines(text)):
            for number, line in line_index.numbered_lines(text):
                if number not in template:
                    varying.setdefault((i, number), line)
    return DedupItem(call.id, f"{summary.site}\0{summary.answer.hex()}", "\n".join(varying.values()))
