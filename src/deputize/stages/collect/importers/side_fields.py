"""What logs say about a call besides its prompt and answer, under all the names in use: ids, times, tokens, cost,
outcome.

Headers and network addresses are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from deputize.core.records import Outcome, Usage
from deputize.stages.collect.importers import field_names as names
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.time_text import milliseconds_of_text, time_of_text
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
        "up",
        "good",
        "like",
        "liked",
        "upvote",
        "\U0001f44d",
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
        "down",
        "bad",
        "dislike",
        "disliked",
        "downvote",
        "\U0001f44e",
    }
)
_HTTP_CODE = re.compile(r"(?<!\d)([45]\d\d)(?!\d)")
_MAX_YEAR = 4102444800  # 2100-01-01


_known_keys: dict[int, tuple[Sequence[str], frozenset[str], dict[str, int]]] = {}
"""By the identity of a row of the table: hashing sixty names for each look-up took a third of an import's time."""
_MAX_KNOWN = 1000


def _looked_up(keys: Sequence[str]) -> tuple[Sequence[str], frozenset[str], dict[str, int]]:
    held = _known_keys.get(id(keys))
    if held is not None and held[0] is keys:
        return held
    held = keys, frozenset(keys), {key: rank for rank, key in reversed(list(enumerate(keys)))}
    if len(_known_keys) < _MAX_KNOWN:
        _known_keys[id(keys)] = held  # which keeps the row, so that no other gets its identity
    return held


def _present(place: dict[str, Any], keys: Sequence[str]) -> Sequence[str]:
    """The keys that an object has, in their order."""
    _, known, ranks = _looked_up(keys)
    if known.isdisjoint(place):
        return ()
    found = [key for key in place if key in known]
    if len(found) > 1:
        found.sort(key=ranks.__getitem__)
    return found


def text(places: Iterable[dict[str, Any]], keys: Sequence[str]) -> str:
    """The first non-empty text or number under any of the keys, as text."""
    for place in places:
        for key in _present(place, keys):
            value = place[key]
            if isinstance(value, str) and value:
                return value
            if isinstance(value, int | float) and not isinstance(value, bool):
                return str(value)
            if isinstance(value, dict) and isinstance(value.get("id"), str) and value["id"]:
                return str(value["id"])
    return ""


def episode(places: Places) -> str:
    """The run that a call belongs to; "" where nobody says."""
    found = text(places, names.EPISODE)
    if found:
        return found
    for place in places:
        for key in _present(place, names.EPISODE_OBJECTS):
            held = place[key]
            if isinstance(held, dict) and isinstance(held.get("id"), str) and held["id"]:
                return str(held["id"])
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
    for place in places:
        for key in _present(place, keys):
            if (found := number(place[key])) is not None:
                return found
    return None


def seconds(value: Any) -> float | None:
    """A time as Unix seconds, from a text or a number in s, ms, us or ns, the unit detected from its size; None where
    it is no time."""
    if isinstance(value, dict):  # MongoDB's way to write dates and long numbers
        inner = next((value[k] for k in ("$date", "$numberLong", "$numberDouble") if k in value), None)
        return seconds(inner) if inner is not None else None
    if isinstance(value, str):
        moment = time_of_text(value)
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


def timestamp(places: Iterable[dict[str, Any]], keys: Sequence[str] = names.START) -> float | None:
    """The first time under any of the keys, as Unix seconds."""
    for place in places:
        for key in _present(place, keys):
            if (found := seconds(place[key])) is not None:
                return found
    return None


_SCALED = ((names.LATENCY_MS, 1.0), (names.LATENCY_US, 1e-3), (names.LATENCY_NS, 1e-6))


def latency_ms(places: Places) -> float | None:
    """How long a call took: as it is given, else from start to end.

    `response_time`, `latency` and `duration` are in seconds on most platforms and in milliseconds on some: a whole
    number of 20 or more is taken for milliseconds.
    """
    for keys, scale in _SCALED:
        if (found := first_number(places, keys)) is not None:
            return round(found * scale, 3)
    for place in places:
        for key in _present(place, names.LATENCY_S):
            value = place[key]
            if isinstance(value, str) and (written := milliseconds_of_text(value)) is not None:
                return round(written, 3)
            given = number(value)
            if given is not None and given >= 0:
                is_whole = given >= 20 and given == int(given) and key in _UNIT_UNNAMED
                return round(given if is_whole else given * 1000, 3)
    for place in places:
        end = timestamp((place,), names.END)
        start = timestamp((place,)) if end is not None else None
        if start is not None and end is not None and end >= start:
            return round((end - start) * 1000, 3)
    return None


_UNIT_UNNAMED = frozenset({"latency", "duration", "elapsed", "response_time", "responseTime", "wall_time"})


def ttft_ms(places: Places) -> float | None:
    """Time to the first token; None where the log gives the end of the answer in its place, as it does for whole
    answers."""
    if (found := first_number(places, names.TTFT_MS)) is not None:
        return round(found, 3)
    if (found := first_number(places, names.TTFT_S)) is not None:
        return round(found if found >= 20 and found == int(found) else found * 1000, 3)
    first = timestamp(places, names.FIRST_TOKEN)
    start = timestamp(places) if first is not None else None
    end = timestamp(places, names.END) if first is not None else None
    if first is not None and start is not None and first >= start and (end is None or first < end):
        return round((first - start) * 1000, 3)
    return None


def cost_usd(places: Places) -> float | None:
    """Cost of the call in US dollars."""
    for place in places:
        for key in _present(place, names.COST):
            value = place[key]
            if isinstance(value, dict):
                value = next((value[k] for k in ("total", "total_cost", "usd", "amount") if k in value), None)
            found = number(value.strip().lstrip("$") if isinstance(value, str) else value)
            if found is not None:
                return found
    return None


_SHORT_NAMES = frozenset(k for keys in names.SHORT_TOKEN_NAMES.values() for k in keys)


def usage_of(raw: Any) -> Usage | None:
    """The tokens of a usage object; None where it holds none."""
    if not isinstance(raw, dict):
        return None
    inner = mapping(raw.get("tokens"))
    if inner is not None and raw.keys().isdisjoint(names.PROMPT_TOKENS):
        raw = inner  # Cohere
    if _SHORT_NAMES.isdisjoint(raw):
        return row_usage(raw)
    short = {
        name: raw[k]
        for name, keys in names.SHORT_TOKEN_NAMES.items()
        for k in keys
        if number(raw.get(k)) is not None
    }
    return row_usage({**short, **raw})


def row_usage(raw: dict[str, Any]) -> Usage | None:
    """The tokens of an object that has the counts among other fields; None where there are none.

    Some providers count what the cache gave, or what was thought, apart from the prompt and the answer. A total tells,
    else Anthropic's and Converse's names do.
    """
    prompt, written = first_number((raw,), names.PROMPT_TOKENS), first_number((raw,), names.COMPLETION_TOKENS)
    if prompt is None and written is None:
        return None
    details = _first_object(raw, names.TOKEN_DETAILS)
    more = _first_object(raw, names.WRITTEN_DETAILS)
    cached = int(first_number((raw, details), names.CACHED_TOKENS) or 0)
    wrote = int(first_number((raw, details), names.CACHE_WRITE_TOKENS) or 0)
    reasoning = int(first_number((raw, more), names.REASONING_TOKENS) or 0)
    asked, said = int(prompt or 0), int(written or 0)
    cache = cached + wrote
    total = first_number((raw,), names.TOTAL_TOKENS)
    if (cache or reasoning) and total is not None and total > asked + said:
        is_cache_apart = total in (asked + said + cache, asked + said + cache + reasoning)
        is_thought_apart = total in (asked + said + reasoning, asked + said + cache + reasoning)
    else:
        is_anthropic = "cache_read_input_tokens" in raw and "prompt_tokens" not in raw and total is None
        is_cache_apart = is_anthropic or "cacheReadInputTokens" in raw
        is_thought_apart = False
    if (is_cache_apart and cache) or cache > asked:
        asked += cache
    if is_thought_apart:
        said += reasoning
    if not asked and not said:
        return None
    return Usage(
        prompt_tokens=asked,
        completion_tokens=said,
        cached_tokens=cached,
        cache_write_tokens=wrote,
        reasoning_tokens=reasoning,
    )


def _first_object(raw: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return next((held for key in _present(raw, keys) if (held := mapping(raw[key])) is not None), {})


def fullest(counts: Sequence[Usage | None]) -> Usage | None:
    """The first of several counts of one call, with the details that only a later one of the same size has."""
    held = [count for count in counts if count is not None]
    if not held:
        return None
    first = held[0]
    for other in held[1:]:
        is_same = (first.prompt_tokens, first.completion_tokens) == (
            other.prompt_tokens,
            other.completion_tokens,
        )
        if is_same and not (first.cached_tokens or first.cache_write_tokens or first.reasoning_tokens):
            return other
    return first


def usage_in(places: Places) -> Usage | None:
    """The tokens in an object that a log keeps beside the answer."""
    for place in places:
        for key in _present(place, names.USAGE):
            if (found := usage_of(structured(place[key]))) is not None:
                return found
    return None


def outcome_of(raw: Any) -> Outcome | None:
    """An outcome in any form: true, 1, "success", a reward, a score, feedback, or an object with one of them."""
    if isinstance(raw, bool):
        return Outcome(success=raw)
    if isinstance(raw, str):
        word = raw.strip().lower().replace("-", "_").replace(" ", "_")
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
        for key in _present(place, names.OUTCOMES):
            if place[key] is not None and (found := outcome_of(place[key])) is not None:
                return found
    return None


def http_status(places: Places, response: Any = None) -> int:
    """The HTTP status that a log gives, 500 where it only says that the call failed, 200 where it says nothing."""
    for place in places:
        if _STATUS_FIELDS.isdisjoint(place):
            continue
        for key in _present(place, names.STATUS):
            value = place[key]
            given = number(value)
            if given is not None and 100 <= given < 600 and given == int(given):
                if given >= 400:
                    return int(given)
                break
            if isinstance(value, str) and value.lower() in _FAILED_WORDS:
                return _code_in(places)
        if any(place.get(key) is False for key in ("is_success", "isSuccess")):
            return _code_in(places)
        is_failed = place.get("success") is False or place.get("ok") is False
        if is_failed and not isinstance(response, dict):
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
