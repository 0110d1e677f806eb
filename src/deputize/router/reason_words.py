"""Why a call was answered as it was, as sentences for a reader: numbers and names of parameters, no text of the call.
Pure."""

from __future__ import annotations

from typing import Final

from deputize.core.percentages import whole_percent
from deputize.core.records import Call, Decision, Route

SENTENCES: Final[dict[str, str]] = {
    "live": "The route serves all of its calls, and the specialist was confident enough.",
    "canary": "The call's episode is in the canary's share, and the specialist was confident enough.",
    "override": "The caller asked for this model (x-deputize-route); no certificate speaks of it.",
    "no_route": "No route has such requests: their tools, reply format and recurring lines belong to no certified task.",
    "prompt_changed": "The request has lines of a known prompt, but is not as in the calls that the task was found on.",
    "closed": "The route was closed.",
    "rolled_back": "The route was rolled back: its calls had differed from the LLM's answers more often than allowed.",
    "certificate_expired": "The route's certificate was older than it may become; a new run renews it.",
    "shadow": "The route was in shadow: the LLM answers every call, and the specialist is only compared.",
    "outside_canary": "The call's episode is outside the share that the canary serves.",
    "below_threshold": "The specialist was not confident enough.",
    "out_of_distribution": "The specialist found the request unlike those that it was trained on.",
    "defer": "The specialist left the call to the LLM.",
    "contract": "The specialist's answer broke the task's output contract.",
    "no_specialists": "No specialist could be asked: the worker pool was not running.",
    "timeout": "The specialist did not answer in time.",
    "worker_error": "The specialist's worker failed.",
    "loading": "The specialist, or another one of its worker's thread, was being loaded.",
    "other_engine": "The route was certified on another engine, precision or version of the specialist than answers here.",
    "pinned": "The request refers to an earlier response, which only the LLM's side knows.",
    "audience": "The call is declared for a person.",
    "model": "The caller asked for another model than the calibration calls did.",
    "agent": "The call is of another agent than the calibration calls.",
    "site": "The call is of another site than the calibration calls.",
    "no_text": "The last message of the user has no text, as in no calibration call.",
    "listed": "The request lists a tool, or a reply schema, that was not in training as it stands.",
    "votes": "Calibration calls asked the same several times to count the answers, and one answer is not as good.",
    "audit": "The LLM was asked to audit an answer of the specialist.",
    "audit_repeat": "The LLM was asked once more, to see how often it differs from itself.",
}
"""Reason -> sentence; parameters have one of their own."""


def sentence_of(reason: str) -> str:
    """The sentence for a reason of a decision."""
    if reason.startswith("params:"):
        name = reason.removeprefix("params:")
        which = "A parameter that the gateway does not know" if name == "other" else f"The parameter {name}"
        return f"{which} has a value, or is there, as in no calibration call."
    return SENTENCES.get(
        reason, "Nobody decided: the call was imported from a log, or came before there were routes."
    )


def explained(call: Call, route: Route | None) -> list[str]:
    """The decision about a call, sentence by sentence.

    Args:
        call: as recorded.
        route: the one that its decision names, as it is now; None where there is none any more.
    """
    decision = call.decision or Decision()
    who = "a specialist" if decision.served_by == "slm" else "the LLM"
    lines = [f"Answered by {who}. {sentence_of(decision.reason)}"]
    if decision.route_id:
        lines.append(f"Route {decision.route_id}, specialist {decision.specialist or 'not asked'}.")
    if decision.confidence is not None:
        lines.append(_about_confidence(decision, route))
    if decision.certificate_id:
        lines.append(f"Served under certificate {decision.certificate_id}.")
    if decision.shadow_agrees is not None:
        said = "agreed" if decision.shadow_agrees else "differed"
        lines.append(f"Compared with the LLM's answer, the specialist's {said}.")
    if decision.repeat_agrees is not None:
        said = "agreed" if decision.repeat_agrees else "differed"
        lines.append(f"The LLM, asked twice, {said} with itself.".replace("differed with", "differed from"))
    if decision.challenger is not None:
        said = "agreed with the LLM" if decision.challenger.agrees else "differed from the LLM"
        lines.append(
            f"The challenger {decision.challenger.specialist} {said}, at confidence {decision.challenger.confidence:.4f}."
        )
    if decision.audit_share is not None:
        lines.append(f"Served calls like it were audited with probability {decision.audit_share:g}.")
    return [*lines, *_about_now(decision, route)]


def _about_confidence(decision: Decision, route: Route | None) -> str:
    confidence = f"The specialist's confidence was {decision.confidence:.4f}"
    if route is None or route.specialist != decision.specialist:
        return f"{confidence}."
    return f"{confidence}; the route serves from {route.threshold:.4f}."


def _about_now(decision: Decision, route: Route | None) -> list[str]:
    if not decision.route_id:
        return []
    if route is None:
        return ["There is no such route any more."]
    share = f", {whole_percent(route.share)} of its calls" if route.state == "canary" else ""
    other = (
        ""
        if route.specialist == decision.specialist or not decision.specialist
        else " with another specialist"
    )
    return [f"Now the route is {route.state}{share}{other}."]
