"""The requests that a certificate speaks of: models, agents, sites and parameters seen in calibration.

A request outside these limits goes to the LLM. The same function leaves such calls out of what counts as served in
calibration, so that the share reported is the share served. Pure: no I/O.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from sys import intern
from typing import Final, get_args

import msgspec

from deputize.core.answer_params import answer_params
from deputize.core.contracts import text_of
from deputize.core.decision_reason import DecisionReason
from deputize.core.records import Audience, Call, Message, RequestLimits
from deputize.core.subjects import Subjects

MAX_VALUES = 16
"""Different values of one parameter that are listed. More, most of them used once, are taken to differ from call to
call."""
MIN_REPEATED_SHARE = 0.2
"""Share of calls that repeat a request of their own episode from which they are taken for votes to be counted."""
NO_MODEL: Final = ""
"""The only model of limits that no request is within."""
UNRECORDED_TEMPERATURE: Final = (0.0, 1.0)
"""Range of temperature and top_p where a log did not record them."""

_DEFAULT_RANGE: Final = (1.0, 1.0)
_RANGES: Final = ("temperature", "top_p")
_ONLY_LLM: Final = frozenset({"n", "logprobs", "modalities", "background"})
"""Parameters that ask for what only an LLM gives: several answers, token probabilities, audio, an answer for later."""
_REASONS: Final[dict[str, DecisionReason]] = {
    reason.removeprefix("params:"): reason
    for reason in get_args(DecisionReason)
    if reason.startswith("params:")
}
_NOT_THE_USERS: Final = frozenset({"system", "developer", "assistant"})
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
"""The date at the end of a model's name, which is in replies where requests name the model without it."""

_NO_PARAMS: Final[dict[str, str]] = {}

_encode = msgspec.json.Encoder(order="sorted").encode


class RequestFacts(msgspec.Struct, frozen=True, gc=False):
    """The facts of a recorded call that limits are made of: none of its text."""

    model: str
    agent: str
    site: str
    audience: Audience
    """As the caller declared it."""
    params: dict[str, str]
    """`core.answer_params.answer_params` of the request."""
    has_params: bool
    """False where an imported log recorded none."""
    is_imported: bool
    """Model, agent and site are named as the log names them, which need not be how callers of the gateway do."""
    n_answer_tokens: int
    is_counted: bool
    """The provider counted the tokens of the answer; False: two bytes a token, rather too many."""
    asked: bytes
    """Digest: equal for equal requests of one episode; b"" where the episode is not known."""
    has_text: bool = True
    """`has_text` of its messages."""
    subject: str = ""
    """Whose data it is (`Example.subject`)."""
    listed: tuple[str, ...] = ()
    """Digests of the tools or the reply schema that it lists, where these differ from call to call
    (core.listed_tools)."""


def facts_of(call: Call, subject: str = "", listed: tuple[str, ...] = ()) -> RequestFacts:
    """The facts of a recorded call.

    Args:
        call: the call.
        subject: whose data it is, where this matters.
        listed: digests of what it lists, where lists differ from call to call.
    """
    is_imported = call.source != "gateway"
    n_tokens, is_counted = _answer_tokens(call)
    asked = b""
    if call.episode:
        shown = _encode((call.episode, call.messages, call.tools, call.response_format))
        asked = blake2b(shown, digest_size=12).digest()
    return RequestFacts(
        # names that many calls have are kept once
        model=intern(call.model),
        agent=intern(call.agent),
        site=intern(call.site),
        audience=call.audience,
        params=answer_params(call.params) or _NO_PARAMS,
        has_params=bool(call.params) or not is_imported,
        is_imported=is_imported,
        n_answer_tokens=n_tokens,
        is_counted=is_counted,
        asked=asked,
        has_text=has_text(call.messages),
        subject=intern(subject),
        listed=listed,
    )


def lists_unseen(limits: RequestLimits, listed: Iterable[str]) -> bool:
    """True where a request lists a tool or a reply schema that the limits, if they name any, do not.

    Args:
        limits: of the certificate.
        listed: `core.listed_tools.digests` of the request.
    """
    known = limits.listed
    if known is None:
        return False
    places = ((bisect_left(known, one), one) for one in listed)
    return not all(at < len(known) and known[at] == one for at, one in places)


def has_text(messages: Sequence[Message]) -> bool:
    """False where the last message of the user has no text, as with an image alone, or the user has sent none.

    The result of a tool counts as text, even where it is empty.
    """
    for message in reversed(messages):
        role = message.get("role")
        if role in ("tool", "function"):
            return True
        if role not in _NOT_THE_USERS:
            text = text_of(message)
            return bool(text) and not text.isspace()
    return False


def only_llm_reason(params: Mapping[str, str], audience: Audience) -> DecisionReason | None:
    """The reason why no specialist may ever answer a request; None where one may.

    Args:
        params: `core.answer_params.answer_params` of the request.
        audience: as the caller declared it.
    """
    if audience == "human":
        return "audience"
    if not _ONLY_LLM.isdisjoint(params):
        return _reason(next(name for name in params if name in _ONLY_LLM))
    return None


def outside(
    limits: RequestLimits,
    params: Mapping[str, str],
    *,
    model: str,
    agent: str,
    site: str,
    audience: Audience,
    with_text: bool,
) -> DecisionReason | None:
    """The reason why a request is outside the limits; None where it is within.

    Args:
        limits: of the certificate.
        params: `core.answer_params.answer_params` of the request.
        model: as the caller names it.
        agent: as the caller names it; "" where it does not.
        site: the same.
        audience: as the caller declared it.
        with_text: `has_text` of its messages.
    """
    reason = only_llm_reason(params, audience)
    if reason is not None:
        return reason
    if not with_text and not limits.may_lack_text:
        return "no_text"
    if limits.models and model not in limits.models:
        return "model"
    if (agent, site) not in limits.sites and (agent or site or limits.sites):
        return "site" if any(agent == known for known, _ in limits.sites) else "agent"
    ranges, values = limits.ranges, limits.values
    for name in _RANGES:
        if name in params or name in ranges:
            lowest, highest = ranges.get(name, _DEFAULT_RANGE)
            if not lowest <= _number(params.get(name, "1")) <= highest:
                return _reason(name)
    if limits.votes and params.get("temperature") != "0":
        return "votes"
    if not _enough_tokens(limits, params.get("max_tokens", "")):
        return "params:max_tokens"
    for name, seen in values.items():
        if params.get(name, "") not in seen:
            return _reason(name)
    for name in params:
        if name not in values and name not in _WITH_OWN_RULE and name not in limits.varying:
            return _reason(name)
    return None


_WITH_OWN_RULE: Final = frozenset({*_RANGES, "max_tokens"})


def outside_of_call(limits: RequestLimits, facts: RequestFacts) -> DecisionReason | None:
    """The reason why a recorded call is outside the limits, as the gateway would find it; None where it is within."""
    if lists_unseen(limits, facts.listed):
        return "listed"
    if not facts.has_params:
        if (reason := only_llm_reason({}, facts.audience)) is not None:
            return reason
        return None if facts.has_text or limits.may_lack_text else "no_text"
    return outside(
        limits,
        facts.params,
        model=facts.model,
        agent=facts.agent,
        site=facts.site,
        audience=facts.audience,
        with_text=facts.has_text,
    )


def limits_of(calls: Iterable[RequestFacts], min_origins: int = 1) -> RequestLimits:
    """The limits that cover the given calls, but for those that no specialist may ever answer.

    Limits are stored and shown in clear, so a model, caller, parameter or value that the calls of too few data subjects
    have is not in them: such calls are outside the limits.

    Args:
        calls: of one task.
        min_origins: data subjects that must share what is in the limits.
    """
    servable = [one for one in calls if only_llm_reason(one.params, one.audience) is None]
    varying = _varying([one.params for one in servable if one.has_params])
    shared = _with_shared_values(servable, varying, min_origins)
    if servable and not shared:
        return RequestLimits(models=[NO_MODEL])
    servable = shared
    models = {name for one in servable for name in _model_names(one)}
    sites = {pair for one in servable for pair in _callers(one)}
    recorded = [one.params for one in servable if one.has_params]
    return RequestLimits(
        # a log without the names of models says nothing of them
        models=[] if "" in models else sorted(models),
        sites=sorted(sites),
        ranges={
            name: span
            for name in _RANGES
            if (span := _range(name, recorded, len(recorded) < len(servable))) != _DEFAULT_RANGE
        },
        values=_values(recorded, varying),
        varying=varying,
        max_tokens=sorted(_max_tokens(servable, min_origins)),
        enough_tokens=_tokens_needed(servable),
        may_lack_text=not all(one.has_text for one in servable),
        votes=_has_votes(servable),
    )


def _with_shared_values(
    calls: Sequence[RequestFacts], varying: Sequence[str], min_origins: int
) -> list[RequestFacts]:
    """The calls whose model, caller, parameters and values the calls of enough data subjects have."""
    in_clear = [_in_clear(one, varying) for one in calls]
    shared = Subjects([one.subject for one in calls], min_origins).shared(in_clear)
    return [one for one, shown in zip(calls, in_clear, strict=True) if shared.issuperset(shown)]


def _in_clear(facts: RequestFacts, varying: Sequence[str]) -> list[tuple[str, ...]]:
    """The parts of a call that limits would show, but for numbers within a range."""
    params: list[tuple[str, ...]] = [
        ("param", name, "" if name in varying else value)
        for name, value in facts.params.items()
        if name not in _WITH_OWN_RULE
    ]
    if not facts.has_text:
        params.append(("no text",))
    return [("model", facts.model), ("caller", facts.agent, facts.site), *params]


def _max_tokens(calls: Sequence[RequestFacts], min_origins: int) -> set[str]:
    recorded = [one for one in calls if one.has_params]
    subjects = Subjects([one.subject for one in recorded], min_origins)
    return subjects.shared([one.params.get("max_tokens", "")] for one in recorded)


def _model_names(facts: RequestFacts) -> tuple[str, ...]:
    return (facts.model, _SNAPSHOT.sub("", facts.model)) if facts.is_imported else (facts.model,)


def _callers(facts: RequestFacts) -> tuple[tuple[str, str], ...]:
    """(agent, site) of a call as a caller of the gateway would name them; imported names need not be header values."""
    named = (facts.agent, facts.site)
    return (named, ("", "")) if facts.is_imported else (named,)


def _range(name: str, recorded: Sequence[Mapping[str, str]], some_unrecorded: bool) -> tuple[float, float]:
    seen = [_number(params.get(name, "1")) for params in recorded]
    if some_unrecorded:
        seen.extend(UNRECORDED_TEMPERATURE)
    return (min(seen), max(seen)) if seen else _DEFAULT_RANGE


def _counts(recorded: Iterable[Mapping[str, str]]) -> dict[str, Counter[str]]:
    """Parameter without a rule of its own -> how often it has each value."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for params in recorded:
        for name, value in params.items():
            if name not in _WITH_OWN_RULE:
                counts[name][value] += 1
    return counts


def _varying(recorded: Iterable[Mapping[str, str]]) -> list[str]:
    """The parameters that differ from call to call."""
    return [
        name
        for name, seen in sorted(_counts(recorded).items())
        if len(seen) > MAX_VALUES and sum(n == 1 for n in seen.values()) > len(seen) / 2
    ]


def _values(recorded: Sequence[Mapping[str, str]], varying: Sequence[str]) -> dict[str, list[str]]:
    """The values seen of each other parameter without a rule of its own; "": left out."""
    return {
        name: sorted({*seen, *([""] if seen.total() < len(recorded) else [])})
        for name, seen in sorted(_counts(recorded).items())
        if name not in varying
    }


def _tokens_needed(calls: Sequence[RequestFacts]) -> int | None:
    """Tokens of the longest answer; None where answers were cut at the `max_tokens` of their requests."""
    for one in calls:
        limit = one.params.get("max_tokens", "")
        if one.is_counted and limit and one.n_answer_tokens >= _number(limit):
            return None
    return max((one.n_answer_tokens for one in calls), default=0)


def _answer_tokens(call: Call) -> tuple[int, bool]:
    """Tokens of a recorded answer, and True where the provider counted them."""
    usage = call.usage
    if usage is not None and usage.completion_tokens and not usage.estimated:
        return usage.completion_tokens, True
    called = call.response.get("tool_calls")
    written = text_of(call.response).encode("utf-8", "surrogatepass") + (_encode(called) if called else b"")
    return len(written) // 2 + 1, False


def _has_votes(calls: Sequence[RequestFacts]) -> bool:
    """Check whether many calls ask again what their episode has asked already, at a temperature: votes to be
    counted."""
    counts = Counter(one.asked for one in calls if one.asked and one.params.get("temperature") != "0")
    n_repeated = sum(n for n in counts.values() if n > 1)
    return bool(n_repeated) and n_repeated >= MIN_REPEATED_SHARE * len(calls)


def _enough_tokens(limits: RequestLimits, value: str) -> bool:
    """Check whether an answer that may be so long ("": as long as it gets) is the one that was calibrated."""
    if value in limits.max_tokens:
        return True
    if limits.enough_tokens is None:
        return False
    return not value or _number(value) >= limits.enough_tokens


def _number(written: str) -> float:
    """The number that is written; NaN, which is within no range, where none is."""
    try:
        return float(written)
    except ValueError:
        return float("nan")


def _reason(name: str) -> DecisionReason:
    # callers make up names, and each reason is a label of a counter
    return _REASONS.get(name, "params:other")
