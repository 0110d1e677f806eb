"""Results of evaluation survive JSON, defaults included, and keep group names apart from what is shown."""

from __future__ import annotations

import msgspec

from deputize.core.records import decode, encode
from deputize.core.task_results import (
    CurvePoint,
    EpsilonRow,
    EvaluationFacts,
    HeldOut,
    MethodRow,
    SelfAgreement,
    TaskResult,
    TestScore,
)


def test_a_result_survives_json() -> None:
    result = TaskResult(
        task_id="t",
        chosen="t-lora",
        test=TestScore(n_calls=3, n_episodes=2, tuned_interval=(0.1, 0.9)),
        held_out=HeldOut(
            n_calls=3, share_served=0.5, loss_difference=0.0, loss_difference_interval=(0.0, 0.1)
        ),
        methods=[MethodRow(method="lora", trained=True, test_coverage={"0.02": None, "0.05": 0.5})],
        curve=[CurvePoint(threshold=0.5, share_served=0.1, loss=0.0, loss_low=0.0, loss_high=0.2)],
        by_epsilon=[EpsilonRow(epsilon=0.02)],
        evaluation=EvaluationFacts(llm_self_agreement=SelfAgreement(agreement=0.9, n_calls=4)),
        held_out_groups={"g": (1.0, 0.0)},
    )
    assert decode(encode(result), TaskResult) == result


def test_what_is_not_known_takes_no_room() -> None:
    refused = TaskResult(task_id="t", refusal_reason="too few")
    assert msgspec.json.decode(encode(refused)) == {"task_id": "t", "refusal_reason": "too few"}
    assert decode(encode(refused), TaskResult) == refused
