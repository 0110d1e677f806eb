"""The claim about a tool task's decisions alone: which tool, or leave it to the LLM, apart from the arguments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deputize.core.records import Contract
from deputize.core.task_results import DecisionAlone
from deputize.scoring import certificates as cert
from deputize.scoring.call_costs import CallCosts
from deputize.stages.evaluate.certify import CalibrationResult, attempt
from deputize.stages.evaluate.evaluation import Evaluation


def decision_alone(
    contract: Contract,
    result: CalibrationResult,
    shown: Evaluation,
    epsilon: float,
    delta: float,
    costs: CallCosts,
    served_limit: float | None,
) -> DecisionAlone | None:
    """The test of the decisions on the same units, at the same level; None for tasks that call no tools.

    Args:
        contract: of the task.
        result: answers to calibration calls.
        shown: answers to held-out calls.
        epsilon: the loss to be claimed, over all calls.
        delta: the level of the test.
        costs: of one call.
        served_limit: the loss to be claimed among the served calls; None: nothing is claimed of them.
    """
    if contract.kind != "tool_call":
        return None
    made = attempt(
        replace(result, evaluation=_by_decision(result.evaluation)),
        cert.threshold_grid(result.evaluation.confidence_N),
        epsilon,
        delta,
        costs,
        served_limit=served_limit,
    )
    if made.index is None or made.threshold is None:
        return DecisionAlone(certified=False, n_units=made.sequence.n_units, reason=made.reason)
    served_N = shown.confidence_N >= made.threshold
    return DecisionAlone(
        certified=True,
        threshold=made.threshold,
        share_served=made.share_served,
        n_units=made.sequence.n_units,
        n_served=int(made.sequence.n_served_L[made.index]),
        n_errors=int(made.sequence.n_errors_L[made.index]),
        p_value=made.p_value,
        share_held_out=shown.share_served(made.threshold),
        loss_held_out=float((served_N & ~shown.right_action_N).mean()) if len(shown) else None,
    )


def _by_decision(evaluation: Evaluation) -> Evaluation:
    """The same calls, an answer right where its decision is; the LLM's second answers were compared as a whole, so they
    are left out."""
    return replace(
        evaluation,
        right_N=evaluation.right_action_N,
        repeat_loss_N=np.full(len(evaluation), np.nan),
        label_difference_N=np.full(len(evaluation), np.nan),
    )
