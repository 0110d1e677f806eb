"""Reads recorded logs into calls: one JSON object a line, plain or gzip, in any of the forms that logs come in.

Knows nothing of how calls are stored; a line that cannot be read is a Skip that names it, never an exception.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from deputize.core.artifacts import Imported, Skip
from deputize.core.errors import BadInput, UsageError
from deputize.core.progress import Progress, silent
from deputize.core.records import Audience, Call, Message, Outcome, Usage

if TYPE_CHECKING:
    from deputize.store.base import Store
    from deputize.store.keys.keyring import KeyRing

Format: TypeAlias = Literal["auto", "calls", "openai"]
FORMATS: tuple[str, ...] = ("auto", "calls", "openai")
"""auto: whatever each line is; calls: {"messages", "response"}; openai: fine-tuning lines and request / response logs."""

MAX_LINE_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 512 * 2**20
BATCH_CALLS = 256
BATCH_BYTES = 8 * 2**20
KEPT_SKIPS = 100

_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz")
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_EPISODE = ("episode", "run_id", "episode_id", "session_id", "conversation_id", "thread_id", "trace_id")
_TASK = ("task_id", "group")
_ORIGIN = ("origin", "user", "user_id", "end_user", "safety_identifier", "customer_id")
_TIME = ("timestamp", "created_at", "created", "time", "start_time")
_REQUEST_FIELDS = frozenset(
    {
        "messages",
        "tools",
        "functions",
        "response_format",
        "tool_choice",
        "function_call",
        "model",
        *_ORIGIN,
        "metadata",
    }
)
_PERSONAL_PARAMS = frozenset({"user", "safety_identifier", "prompt_cache_key", "metadata"})

Pseudonym: TypeAlias = Callable[[str, str], str]
"""(raw id of who asked, tenant) -> pseudonym."""


class _Unreadable(Exception):
    """Why one line is not a call; the text never holds anything of the line."""


def read_calls(
    path: Path, format: str = "auto", agent: str = "", *, pseudonym: Pseudonym | None = None
) -> Iterator[Call | Skip]:
    """The calls of one log in the order of its lines, and a Skip for each line that is none.

    Read as a stream: memory holds one line at a time (a file that is one JSON array is read whole).

    Args:
        path: JSON lines, plain or gzip (told by its first bytes, not by its name).
        format: one of FORMATS.
        agent: the agent's name for calls that carry none.
        pseudonym: turns the raw id of who asked into what may be stored; without it such ids are left out.

    Raises:
        BadInput: the file cannot be opened or read.
        UsageError: `format` is not one of FORMATS.
    """
    if format not in FORMATS:
        raise UsageError(f"{format!r} is not a log format; formats are {', '.join(FORMATS)}")
    seen: dict[bytes, dict[bytes, int]] = {}
    for number, line in _lines(path):
        if isinstance(line, str):
            yield Skip(file=path.name, line=number, reason=line)
            continue
        try:
            call = _call(_decode(line), format, agent, pseudonym or (lambda raw, tenant: ""))
        except _Unreadable as why:
            yield Skip(file=path.name, line=number, reason=str(why))
            continue
        yield _with_unique_id(call, seen)


def import_paths(
    store: Store,
    keyring: KeyRing,
    paths: Iterable[Path],
    format: str = "auto",
    agent: str = "",
    progress: Progress = silent,
) -> Imported:
    """Appends the calls of every log to the store; importing the same log again adds nothing.

    A folder stands for the logs in it. All paths are looked at before anything is stored.

    Raises:
        BadInput: a path cannot be read, or there is not one call in all of them.
        UsageError: `format` is not one of FORMATS.
    """
    files = [file for path in paths for file in _expand(Path(path))]
    for file in files:
        _check_readable(file)
    n_read = n_new = n_skipped = 0
    skipped: list[Skip] = []
    batch: list[Call] = []
    batch_bytes = 0
    for file in files:
        n_before = n_read + n_skipped
        for item in read_calls(file, format, agent, pseudonym=keyring.pseudonym):
            if isinstance(item, Skip):
                n_skipped += 1
                if len(skipped) < KEPT_SKIPS:
                    skipped.append(item)
                continue
            n_read += 1
            batch.append(item)
            batch_bytes += _size(item)
            if len(batch) >= BATCH_CALLS or batch_bytes >= BATCH_BYTES:
                n_new += store.append(batch)
                batch, batch_bytes = [], 0
                progress("importing", n_read)
        if n_read + n_skipped == n_before:
            n_skipped += 1
            skipped.append(Skip(file=file.name, line=0, reason="the file is empty"))
    if batch:
        n_new += store.append(batch)
    progress("importing", n_read, n_read)
    if n_read == 0:
        raise BadInput(_nothing_read(files, skipped))
    return Imported(n_calls=n_new, n_duplicates=n_read - n_new, n_skipped=n_skipped, skipped=skipped)


def _nothing_read(files: list[Path], skipped: list[Skip]) -> str:
    names = ", ".join(f.name for f in files[:3]) + (" ..." if len(files) > 3 else "")
    first = skipped[0] if skipped else None
    why = (
        f" First line that could not be read: {first.file}, line {first.line}: {first.reason}."
        if first
        else ""
    )
    return f"There is not one call in {names or 'the paths given'}.{why}"


def _size(call: Call) -> int:
    return sum(len(c) for m in call.messages if isinstance(c := m.get("content"), str))


# ---------------------------------------------------------------- files and lines


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.is_file() and p.name.endswith(_SUFFIXES))
    if not found:
        raise BadInput(f"The folder {path} holds no log: files that end in {', '.join(_SUFFIXES)} are read.")
    return found


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


def _lines(path: Path) -> Iterator[tuple[int, bytes | str]]:
    """(line number, bytes) of every non-empty line; a str in place of bytes is why the line cannot be had."""
    _check_readable(path)
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if len(line) > MAX_LINE_BYTES:
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(MAX_LINE_BYTES)
                    yield number, f"longer than {MAX_LINE_BYTES // 2**20} MiB"
                elif number == 1 and line.lstrip().startswith(b"["):
                    yield from _array(line + stream.read(MAX_ARRAY_BYTES))
                    return
                elif line := line.strip():
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield number + 1, "the compressed data are damaged or cut off here"
    except OSError as error:
        raise BadInput(f"{path} cannot be read after line {number}: {error.strerror or error}.") from error


def _array(data: bytes) -> Iterator[tuple[int, bytes | str]]:
    try:
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        yield 1, "starts like a JSON array but is not one"
        return
    for number, item in enumerate(items, 1):
        yield number, bytes(item)


def _decode(line: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Unreadable("not JSON") from None
    if not isinstance(value, dict):
        raise _Unreadable("not a JSON object")
    return value


# ---------------------------------------------------------------- one line


def _call(row: dict[str, Any], format: str, agent: str, pseudonym: Pseudonym) -> Call:
    """The call that a line holds. Raises _Unreadable."""
    request, response = _request_and_response(row, format)
    message, envelope = _reply(response)
    raw_metadata = request.get("metadata") or row.get("metadata")
    metadata: dict[str, Any] = raw_metadata if isinstance(raw_metadata, dict) else {}
    places = (row, request, metadata)
    name = _text(places[:1], ("agent", "agent_name", "app")) or agent
    episode = _text(places, _EPISODE)
    task = _text((row, metadata), _TASK)
    tenant = _text((row, metadata), ("tenant",)) or "default"
    origin = _text(places, _ORIGIN)
    return Call(
        id=_text((row,), ("id", "call_id", "request_id")),
        messages=[_message(m) for m in _messages(request)],
        response=message,
        episode=episode,
        group=f"{name}:{task}" if task else episode,
        step=_int(row.get("step")),
        agent=name,
        site=_text((row, metadata), ("site",)),
        model=_text((row, request, envelope), ("model",)),
        tools=_tools(request),
        response_format=_dict_or_none(request.get("response_format")),
        tool_choice=request.get("tool_choice"),
        params=_params(row, request),
        audience=_audience(row),
        origin=pseudonym(origin, tenant) if origin else "",
        tenant=tenant,
        outcome=_outcome(row.get("outcome")),
        usage=_usage(row.get("usage") or envelope.get("usage")),
        cost_usd=_float(row.get("cost_usd")),
        latency_ms=_latency_ms(row),
        ttft_ms=_float(row.get("ttft_ms")),
        timestamp=_timestamp((row, envelope)),
        status=_int(row.get("status"), 200),
        finish_reason=_text((row, envelope), ("finish_reason",)),
        logprobs=envelope.get("logprobs"),
        source=_text((row,), ("source",)),
    )


def _request_and_response(row: dict[str, Any], format: str) -> tuple[dict[str, Any], Any]:
    wrapped = row.get("request")
    if isinstance(wrapped, dict) and format != "calls":
        inner = wrapped.get("body")
        body: dict[str, Any] = inner if isinstance(inner, dict) else wrapped
        if "response" not in row:
            raise _Unreadable("a request without its response")
        return body, row["response"]
    if "messages" not in row:
        raise _Unreadable("no messages")
    for key in ("response", "completion", "output"):
        if row.get(key) is not None:
            return row, row[key]
    messages = row["messages"]
    last = messages[-1] if isinstance(messages, list) and messages else None
    if format != "calls" and isinstance(last, dict) and last.get("role") == "assistant":
        return {**row, "messages": messages[:-1]}, last
    raise _Unreadable("no response")


def _reply(response: Any) -> tuple[Message, dict[str, Any]]:
    """The assistant message of a response in any form, and what came around it. Raises _Unreadable."""
    if isinstance(response, str):
        return {"role": "assistant", "content": response}, {}
    if not isinstance(response, dict):
        raise _Unreadable("the response is not an object")
    if isinstance(response.get("body"), dict):
        response = response["body"]
    envelope: dict[str, Any] = {}
    if "choices" in response:
        choices = response["choices"]
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise _Unreadable("the response holds no choice with a message")
        envelope = {k: v for k, v in response.items() if k != "choices"}
        envelope |= {k: v for k, v in choice.items() if k != "message"}
        response = choice["message"]
    elif "error" in response and "content" not in response:
        raise _Unreadable("the response is an error")
    message = _message({"role": "assistant", **response})
    if message["role"] != "assistant":
        raise _Unreadable("the response is not an assistant message")
    if "content" not in message and not message.get("tool_calls") and not message.get("refusal"):
        raise _Unreadable("the response has neither content nor tool calls")
    return message, envelope


def _messages(request: dict[str, Any]) -> list[dict[str, Any]]:
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _Unreadable("messages is not a list with at least one message")
    return messages


def _message(raw: Any) -> Message:
    """A message as it is, with the retired function_call in the place of today's tool_calls. Raises _Unreadable."""
    if not isinstance(raw, dict) or raw.get("role") not in _ROLES:
        raise _Unreadable("a message without a known role")
    if not isinstance(raw.get("content"), str | list | None):
        raise _Unreadable("a message whose content is neither text nor a list of parts")
    calls = raw.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(c, dict) for c in calls)):
        raise _Unreadable("a message whose tool_calls are not a list of objects")
    old = raw.get("function_call")
    if not isinstance(old, dict):
        return raw
    rest = {k: v for k, v in raw.items() if k != "function_call"}
    return {**rest, "tool_calls": [*(calls or ()), {"id": "call_0", "type": "function", "function": old}]}


def _tools(request: dict[str, Any]) -> list[dict[str, Any]] | None:
    tools = request.get("tools")
    if tools is None and isinstance(request.get("functions"), list):
        tools = [{"type": "function", "function": f} for f in request["functions"]]
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(t, dict) for t in tools):
        raise _Unreadable("tools is not a list of objects")
    return tools


def _params(row: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Sampling settings, without those that name a person. Other columns of a log are not settings."""
    if isinstance(row.get("params"), dict):
        given = row["params"]
    elif "request" in row:
        given = {k: v for k, v in request.items() if k not in _REQUEST_FIELDS}
    else:
        given = {
            k: row[k]
            for k in ("temperature", "top_p", "max_tokens", "seed", "stop")
            if row.get(k) is not None
        }
    return {k: v for k, v in given.items() if k not in _PERSONAL_PARAMS}


def _audience(row: dict[str, Any]) -> Audience:
    given = row.get("audience")
    return given if given in ("human", "code") else "unknown"


def _outcome(raw: Any) -> Outcome | None:
    """The outcome, with `kind` ("gold", "gold label") kept where there is no metric."""
    if isinstance(raw, bool):
        return Outcome(success=raw)
    if not isinstance(raw, dict):
        return None
    success = raw.get("success")
    metric = raw.get("metric") or raw.get("kind") or ""
    return Outcome(
        reward=_float(raw.get("reward")),
        success=success if isinstance(success, bool) else None,
        metric=metric if isinstance(metric, str) else "",
    )


def _usage(raw: Any) -> Usage | None:
    if not isinstance(raw, dict):
        return None
    prompt = _int(raw.get("prompt_tokens", raw.get("input_tokens")))
    completion = _int(raw.get("completion_tokens", raw.get("output_tokens")))
    return Usage(prompt_tokens=prompt, completion_tokens=completion) if prompt or completion else None


def _latency_ms(row: dict[str, Any]) -> float | None:
    if (ms := _float(row.get("latency_ms"))) is not None:
        return ms
    seconds = _float(row.get("latency_s"))
    return None if seconds is None else round(seconds * 1000, 3)


def _timestamp(places: Iterable[dict[str, Any]]) -> float | None:
    """Unix seconds: from a number (milliseconds are told by their size) or an ISO 8601 string."""
    for place in places:
        for key in _TIME:
            value = place.get(key)
            if (number := _float(value)) is not None and number > 0:
                return number / 1000 if number > 1e11 else number
            if isinstance(value, str) and value:
                try:
                    moment = datetime.fromisoformat(value)
                except ValueError:
                    continue
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _text(places: Iterable[dict[str, Any]], keys: Iterable[str]) -> str:
    """The first non-empty text or number under any of the keys, as text."""
    wanted = tuple(keys)
    for place in places:
        for key in wanted:
            value = place.get(key)
            if isinstance(value, str) and value:
                return value
            if isinstance(value, int | float) and not isinstance(value, bool):
                return str(value)
    return ""


def _dict_or_none(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _int(value: Any, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _float(value: Any) -> float | None:
    """A finite number as float, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or value != value:
        return None
    return float(value)


# ---------------------------------------------------------------- ids


def _with_unique_id(call: Call, seen: dict[bytes, dict[bytes, int]]) -> Call:
    """The call with an id that is the same at every import of the log.

    A line without an id is named by a digest of its content and, where equal lines occur, by their count: they are
    separate calls. An id used again for other content gets a number, so that no call is lost by a careless log; an
    equal line with an equal id is the same call.
    """
    content = _digest(msgspec.json.encode(call))
    name = call.id or f"log-{content.hex()}"
    uses = seen.setdefault(_digest(name.encode()), {})
    if call.id:
        nth = uses.setdefault(content, len(uses) + 1)
    else:
        nth = uses[content] = uses.get(content, 0) + 1
    return msgspec.structs.replace(call, id=name if nth == 1 else f"{name}#{nth}")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=12).digest()
