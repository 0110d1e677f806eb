"""Answers to calls of train by cross-fitting, as evaluation reads answers to validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from deputize.core.artifacts import CrossFitted, Finetuned
from deputize.core.records import Example
from deputize.scoring import certificates as cert
from deputize.stages.evaluate.evaluation import Evaluation


def evaluations_of(finetuned: Finetuned, examples: Iterable[Example]) -> dict[str, Evaluation]:
    """Specialist id -> its answers, for the specialists of each task whose part of the reserve no training has read.

    Args:
        finetuned: the specialists and their answers.
        examples: curated ones; of train are read their groups, episodes and audiences.
    """
    unread = {*finetuned.unread_reserve}
    answers = {
        s.id: finetuned.cross_fitted[s.id]
        for s in finetuned.specialists
        if s.task_id in unread and s.id in finetuned.cross_fitted
    }
    wanted = {id for one in answers.values() for id in one.call_ids}
    known = {e.call_id: e for e in examples if e.call_id in wanted} if wanted else {}
    return {id: _evaluation(one, known) for id, one in answers.items()}


def _evaluation(answers: CrossFitted, known: Mapping[str, Example]) -> Evaluation:
    """The answers to calls that are still there."""
    kept = [n for n, id in enumerate(answers.call_ids) if id in known]
    calls = [known[answers.call_ids[n]] for n in kept]
    confidence = [answers.confidence[n] for n in kept]
    return Evaluation(
        groups=[call.group for call in calls],
        episodes=[call.episode for call in calls],
        confidence_N=np.array([c if c > 0 else cert.NEVER for c in confidence], dtype=float),
        right_N=np.array([answers.right[n] for n in kept], dtype=bool),
        right_action_N=np.array([answers.right_action[n] for n in kept], dtype=bool),
        counts_N=np.array([call.audience != "human" for call in calls], dtype=bool),
        llm_usd_N=np.zeros(len(kept)),
        repeat_loss_N=np.full(len(kept), np.nan),
        seconds=0.0,
        unlike_N=np.array([answers.unlike[n] for n in kept], dtype=bool),
        call_ids=[call.call_id for call in calls],
    )
