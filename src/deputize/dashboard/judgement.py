"""What a person says of an audit whose answers differ, kept as feedback that the next conversion learns from."""

from __future__ import annotations

from typing import cast

from deputize.core.errors import BadInput
from deputize.core.records import Call, Message
from deputize.dashboard.call_index import BOTH_FINE, SAID, Verdict
from deputize.store.base import Store


def judge(store: Store, served: Call, audit: Call, given: str) -> Verdict:
    """Keeps a verdict: the right answer becomes the correction of both calls, so that a later verdict replaces an
    earlier one.

    The next conversion trains on the audit's correction. Certificates still compare with what the LLM said.

    Args:
        store: of the home.
        served: the call with the specialist's answer.
        audit: the LLM's answer to it; one id with `served`: the specialist was in shadow.
        given: llm_wrong, specialist_wrong or both_fine.

    Raises:
        BadInput: another verdict, or calls without texts.
    """
    if given not in SAID:
        raise BadInput("A verdict is llm_wrong, specialist_wrong or both_fine.")
    if not served.response or not audit.response:
        raise BadInput("The texts of these calls were not kept, so nothing can be learned from them.")
    right: dict[str, tuple[Message, Message]] = {
        "llm_wrong": (served.response, served.response),
        "specialist_wrong": (audit.response, audit.response),
        "both_fine": (served.response, audit.response),
    }
    for call, message in zip((served, audit), right[given], strict=True):
        store.add_feedback(
            call_id=call.id, metric="correction", value=1.0, tenant=call.tenant, correction=message
        )
    if given == BOTH_FINE or served.id == audit.id:  # the correction of one call does not tell the two apart
        store.add_feedback(call_id=audit.id, metric=given, value=1.0, tenant=audit.tenant)
    return cast(Verdict, given)
