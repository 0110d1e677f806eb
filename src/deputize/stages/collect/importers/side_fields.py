"""What logs say about a call besides its prompt and answer, under all the names in use: ids, times, tokens, cost, outcome.

Headers and network addresses are never looked at.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from deputize.core.records import Outcome, Usage
from deputize.stages.collect.importers import field_names as names
from deputize.wire.json_fields import mapping

Places: TypeAlias = Sequence[dict[str, Any]]

_FAILED_WORDS = frozenset(
    {"failure", "failed", "error", "errored", "status_code_error", "timeout", "exception"}
)
_GOOD_WORDS = frozenset(
    {
        "success",
        "succeeded",
        "ok",
        "pass",
        "passed",
        "true",
        "yes",
        "positive",
        "thumbs_up",
        "correct",
        "resolved",
    }
)
_BAD_WORDS = frozenset(
    {
        "failure",
        "failed",
        "fail",
        "false",
        "no",
        "negative",
        "thumbs_down",
        "incorrect",
        "error",
        "unresolved",
    }
)
_HTTP_CODE = re.compile(r"(?<!\d)([45]\d\d)(?!\d)")
_MAX_YEAR = 4102444800  # 2100-01-01


@functools.cache
def _set_of(keys: tuple[str, ...]) -> frozenset[str]:
    return frozenset(keys)


def text(places: Iterable[dict[str, Any]], keys: Iterable[str]) -> str:
    """The first non-empty text or number under any of the keys, as text."""
    wanted = tuple(keys)
    known = _set_of(wanted)
    for place in places:
        if known.isdisjoint(place):
            continue
        for key in wanted:
            value = place.get(key)
            if isinstance(value, str) and value:
                return value
            if isinstance(value, int | float) and not isinstance(value, bool):
                return str(value)
            if isinstance(value, dict) and isinstance(value.get("id"), str) and value["id"]:
                return str(value["id"])
    return ""


_STATUS_FIELDS = frozenset({*names.STATUS, *names.SUCCESS, "level"})


def number(value: Any) -> float | None:
    """A finite number, or the text of one, as float; else None."""
    if isinstance(value, str):
        try:
            value = float(value) if value and len(value) < 40 else None
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 1e300:
        return None
    return float(value)


def first_number(places: Iterable[dict[str, Any]], keys: Sequence[str]) -> float | None:
    """The first number under any of the keys."""
    known = _set_of(tuple(keys))
    for place in places:
        if known.isdisjoint(place):
            continue
        for key in keys:
            if key in place and (found := number(place[key])) is not None:
                return found
    return None


def seconds(value: Any) -> float | None:
    """A time as Unix seconds, from ISO 8601 or a number in s, ms, us or ns, the unit detected from its size; None where it is no time."""
    if isinstance(value, str):
        moment = _parsed(value)
        if moment is not None:
            return moment
    given = number(value)
    if given is None or given <= 0:
        return None
    for limit, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)):
        if given < limit:
            given /= unit
            break
    else:
        given = int(given) / 1e9
    return given if given < _MAX_YEAR else None


def _parsed(value: str) -> float | None:
    if not value[:1].isdigit() or not any(sign in value for sign in "-/:"):
        return None
    cleaned = value.removesuffix(" UTC").removesuffix(" GMT").strip()
    if "." in cleaned:  # BigQuery and Go write up to nine digits
        head, _, tail = cleaned.partition(".")
        digits = re.match(r"\d+", tail)
        if digits and len(digits[0]) > 6:
            cleaned = f"{head}.{digits[0][:6]}{tail[len(digits[0]) :]}"
    try:
        moment = datetime.fromisoformat(cleaned)
    except ValueError:
        return _by_hand(cleaned)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _by_hand(value: str) -> float | None:
    # a day that could be a month is not guessed at
    for form in (
        "%Y/%m/%d %H:%M:%S",
        "%Y/%m/%d %H:%M",
        "%m/%d/%Y %H:%M:%S",
        "%m/%d/%Y %H:%M",
        "%d.%m.%Y %H:%M:%S",
    ):
        try:
            moment = datetime.strptime(value, form)
        except ValueError:
            continue
        if form.startswith("%m") and moment.day <= 12 and moment.day != moment.month:
            return None
        return moment.replace(tzinfo=UTC).timestamp()
    return None


def timestamp(places: Iterable[dict[str, Any]], keys: Sequence[str] = names.START) -> float | None:
    """The first time under any of the keys, as Unix seconds."""
    known = _set_of(tuple(keys))
    for place in places:
        if known.isdisjoint(place):
            continue
        for key in keys:
            if key in place and (found := seconds(place[key])) is not None:
                return found
    return None


def latency_ms(places: Places) -> float | None:
    """How long a call took: as it is given, else from start to end.

    `response_time`, `latency` and `duration` are in seconds on most platforms and in milliseconds on some: a whole
    number of 20 or more is taken for milliseconds.
    """
    if (found := first_number(places, names.LATENCY_MS)) is not None:
        return round(found, 3)
    for place in places:
        for key in _set_of(names.LATENCY_S).intersection(place) and names.LATENCY_S:
            value = place.get(key)
            if isinstance(value, str) and value.endswith("s"):
                value = value.removesuffix("ms") if value.endswith("ms") else value.removesuffix("s")
                given = number(value)
                if given is not None:
                    return round(given if str(place[key]).endswith("ms") else given * 1000, 3)
            given = number(value)
            if given is not None and given >= 0:
                is_whole = given >= 20 and given == int(given) and key not in ("latency_s", "duration_s")
                return round(given if is_whole else given * 1000, 3)
    for place in places:
        if _set_of(names.END).isdisjoint(place):
            continue
        start, end = timestamp((place,)), timestamp((place,), names.END)
        if start is not None and end is not None and end >= start:
            return round((end - start) * 1000, 3)
    return None


def ttft_ms(places: Places) -> float | None:
    """Time to the first token."""
    if (found := first_number(places, names.TTFT_MS)) is not None:
        return round(found, 3)
    if (found := first_number(places, names.TTFT_S)) is not None:
        return round(found if found >= 20 and found == int(found) else found * 1000, 3)
    first = timestamp(places, names.FIRST_TOKEN)
    start = timestamp(places) if first is not None else None
    if first is not None and start is not None and first >= start:
        return round((first - start) * 1000, 3)
    return None


def cost_usd(places: Places) -> float | None:
    """Cost of the call in US dollars."""
    return first_number(places, names.COST)


def usage_of(raw: Any) -> Usage | None:
    """The tokens of a usage object; None where it holds none."""
    if not isinstance(raw, dict):
        return None
    short = {
        name: raw[k]
        for name, keys in names.SHORT_TOKEN_NAMES.items()
        for k in keys
        if number(raw.get(k)) is not None
    }
    return row_usage({**short, **raw})


def row_usage(raw: dict[str, Any]) -> Usage | None:
    """The tokens of an object that has the counts among other fields; None where there are none."""
    prompt, written = first_number((raw,), names.PROMPT_TOKENS), first_number((raw,), names.COMPLETION_TOKENS)
    if prompt is None and written is None:
        return None
    details = next((d for name in names.TOKEN_DETAILS if (d := mapping(raw.get(name))) is not None), {})
    written_details = next(
        (d for name in names.WRITTEN_DETAILS if (d := mapping(raw.get(name))) is not None), {}
    )
    cached = first_number((raw, details), names.CACHED_TOKENS)
    wrote = first_number((raw, details), names.CACHE_WRITE_TOKENS)
    reasoning = first_number((raw, written_details), names.REASONING_TOKENS)
    if "input_tokens" in raw and "prompt_tokens" not in raw and "cache_read_input_tokens" in raw:
        # Anthropic counts what the cache gave apart
        prompt = (prompt or 0) + (cached or 0) + (wrote or 0)
    if not prompt and not written:
        return None
    return Usage(
        prompt_tokens=int(prompt or 0),
        completion_tokens=int(written or 0),
        cached_tokens=int(cached or 0),
        cache_write_tokens=int(wrote or 0),
        reasoning_tokens=int(reasoning or 0),
    )


def outcome_of(raw: Any) -> Outcome | None:
    """An outcome in any form: true, 1, "success", a reward, a score, feedback, or an object with one of them."""
    if isinstance(raw, bool):
        return Outcome(success=raw)
    if isinstance(raw, str):
        word = raw.strip().lower()
        if word in _GOOD_WORDS or word in _BAD_WORDS:
            return Outcome(success=word in _GOOD_WORDS)
        raw = number(raw)
    if isinstance(raw, int | float):
        value = number(raw)
        return None if value is None else Outcome(reward=value)
    if not isinstance(raw, dict):
        return None
    metric = raw.get("metric") or raw.get("kind") or raw.get("name") or ""
    metric = metric if isinstance(metric, str) else ""
    success = next(
        (
            found.success
            for k in names.SUCCESS
            if (found := outcome_of(raw.get(k))) and found.success is not None
        ),
        None,
    )
    for key in names.REWARDS:
        reward = number(raw.get(key))
        if reward is not None and not isinstance(raw.get(key), str):
            return Outcome(reward=reward, success=success, metric=metric)
    if success is not None or metric:
        return Outcome(success=success, metric=metric)
    inner = [
        (name, found)
        for name, value in raw.items()
        if (found := outcome_of(value)) is not None and _named(name)
    ]
    if len(inner) != 1:
        return None  # several scores: which one counts, nobody said
    name, found = inner[0]
    return Outcome(reward=found.reward, success=found.success, metric=found.metric or name)


def _named(name: Any) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[\w .:-]{1,64}", name))


def outcome(places: Places) -> Outcome | None:
    """The outcome of the run, from the first field that has one."""
    for place in places:
        for key in _set_of(names.OUTCOMES).intersection(place) and names.OUTCOMES:
            if place.get(key) is not None and (found := outcome_of(place[key])) is not None:
                return found
    return None


def http_status(places: Places, response: Any = None) -> int:
    """The HTTP status that a log gives, 500 where it only says that the call failed, 200 where it says nothing."""
    for place in places:
        if _STATUS_FIELDS.isdisjoint(place):
            continue
        for key in names.STATUS:
            value = place.get(key)
            given = number(value)
            if given is not None and 100 <= given < 600 and given == int(given):
                if given >= 400:
                    return int(given)
                break
            if isinstance(value, str) and value.lower() in _FAILED_WORDS:
                return _code_in(places)
        if any(place.get(key) is False for key in ("is_success", "isSuccess")):
            return _code_in(places)
        if place.get("success") is False and not isinstance(response, dict):
            return _code_in(places)
        if str(place.get("level") or "").upper() == "ERROR" and response in (None, "", {}):
            return _code_in(places)
    return 200


def status_of_error(error: Any, places: Places = ()) -> int:
    """The HTTP status of an error that a log holds, 500 where it names none."""
    if isinstance(error, dict):
        for key in ("status", "status_code", "statusCode", "http_status", "code", "error_code"):
            given = number(error.get(key))
            if given is not None and 400 <= given < 600:
                return int(given)
        inner = mapping(error.get("error"))
        if inner is not None:
            return status_of_error(inner, places)
        kinds = f"{error.get('type')} {error.get('code')} {error.get('message')}".lower()
    else:
        kinds = str(error).lower() if error else ""
    if ("rate" in kinds and "limit" in kinds) or "throttl" in kinds:
        return 429
    if "overloaded" in kinds:
        return 529
    found = _HTTP_CODE.search(kinds)
    return int(found[1]) if found else _code_in(places)


def _code_in(places: Places) -> int:
    """A status among the error fields of a log."""
    for place in places:
        for key in (*names.ERROR, *names.STATUS, "error_information", "errorInformation"):
            value = place.get(key)
            if isinstance(value, dict):
                for name in ("error_code", "code", "status_code", "status"):
                    given = number(value.get(name))
                    if given is not None and 400 <= given < 600:
                        return int(given)
                value = value.get("message")
            if isinstance(value, str):
                if value.lower().startswith(("throttling", "ratelimit", "rate limit", "toomany")):
                    return 429
                if (found := _HTTP_CODE.search(value)) is not None:
                    return int(found[1])
            elif (given := number(value)) is not None and 400 <= given < 600:
                return int(given)
    return 500
