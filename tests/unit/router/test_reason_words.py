"""The words for a decision: every reason has its own, and no text of the call is among them."""

from __future__ import annotations

from typing import get_args

from tests.unit.gateway.stubs import live_route

from deputize.core.decision_reason import DecisionReason
from deputize.core.records import ChallengerAnswer, Decision
from deputize.router.reason_words import SENTENCES, explained, sentence_of
from deputize.testing import call


def test_every_reason_has_its_sentence() -> None:
    reasons = get_args(DecisionReason)
    assert {r for r in reasons if not r.startswith("params:")} == set(SENTENCES)
    assert len({sentence_of(r) for r in reasons}) == len(reasons)
    assert "temperature" in sentence_of("params:temperature")
    assert "does not know" in sentence_of("params:other")
    assert "imported" in sentence_of("")


def test_a_decision_is_explained_by_its_numbers() -> None:
    decision = Decision(
        reason="below_threshold", route_id="r", specialist="s", confidence=0.31, audit_share=0.02
    )
    lines = explained(call("1", "secret text", "secret answer", decision=decision), live_route())
    told = "\n".join(lines)
    assert "Answered by the LLM. The specialist was not confident enough." in told
    assert "0.3100; the route serves from 0.5000" in told and "probability 0.02" in told
    assert "Now the route is live." in told and "secret" not in told


def test_what_was_compared_and_what_has_become_of_the_route_is_said() -> None:
    said = ChallengerAnswer(specialist="new", confidence=0.9, agrees=False)
    decision = Decision(
        reason="audit",
        route_id="r",
        specialist="old",
        shadow_agrees=True,
        repeat_agrees=False,
        challenger=said,
    )
    told = "\n".join(explained(call("1", decision=decision), live_route(state="canary", share=0.05)))
    assert "the specialist's agreed" in told and "differed from itself" in told
    assert "challenger new differed from the LLM" in told
    assert "canary, 5 % of its calls with another specialist" in told
    assert "no such route any more" in "\n".join(explained(call("1", decision=decision), None))
    assert explained(call("1"), None) == [
        "Answered by the LLM. Nobody decided: the call was imported from a log, or came before there were routes."
    ]
