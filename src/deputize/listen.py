"""Decorators that record the model calls and tool calls of a program, for people who instrument their own code.

The gateway sees only what goes over the wire. Where program code orchestrates (the paper's *code agency*, Figure 1)
the functions that call a model, and the tools themselves, can be recorded where they are defined:

    listener = Listener.open(agent="billing")

    @listener.tool()
    def find_invoice(number: str) -> dict: ...

    @listener.model(site="classify")
    def classify(*, model, messages): return client.chat.completions.create(model=model, messages=messages)

    with listener.episode(origin=user_id):
        classify(model="gpt-4o", messages=[...])

A recorder that cannot write never breaks the agent: the error is logged once per kind, without payload, and counted.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar, cast

from deputize.core.errors import DeputizeError
from deputize.core.recording_policy import Recording, recorded_part
from deputize.core.records import Audience, Call, Message, Usage
from deputize.home import Home
from deputize.locations import home_path
from deputize.store.base import Store
from deputize.store.keys.keyring import KeyRing

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("deputize.listen")
_REQUEST_FIELDS = ("model", "messages", "tools", "response_format", "tool_choice")


class _Episode:
    """The current run of the agent."""

    def __init__(self, id: str, origin: str) -> None:
        self.id, self.origin, self.step = id, origin, 0


class Listener:
    """Records the calls of the functions it decorates into a store."""

    def __init__(
        self,
        store: Store,
        keyring: KeyRing,
        *,
        agent: str,
        clock: Callable[[], float] = time.time,
        recording: Recording | None = None,
    ) -> None:
        """
        Args:
            clock: Unix seconds.
            recording: what is kept of calls; None: all.
        """
        self._recording = recording or Recording()
        self.n_recorded = 0
        self.n_refused = 0
        self._store, self._keyring, self._agent, self._clock = store, keyring, agent, clock
        self._current: ContextVar[_Episode | None] = ContextVar("deputize_episode", default=None)

    @classmethod
    def open(cls, *, agent: str, home: Path | str | None = None) -> Listener:
        """A listener on the store of a home (default: DEPUTIZE_HOME, else ./.deputize)."""
        opened = Home(home_path(str(home) if home is not None else None))
        return cls(opened.store, opened.keyring, agent=agent, recording=opened.recording())

    @contextmanager
    def episode(self, id: str = "", *, origin: str = "") -> Iterator[str]:
        """Calls made inside belong to one run of the agent; `origin` (who asked) is stored as a pseudonym only."""
        episode = _Episode(id or uuid.uuid4().hex, self._keyring.pseudonym(origin) if origin else "")
        token = self._current.set(episode)
        try:
            yield episode.id
        finally:
            self._current.reset(token)

    def outcome(self, *, success: bool, metric: str = "success") -> None:
        """Records the outcome of the current episode; failed episodes are not trained on.

        Raises:
            ValueError: called outside `episode()`.
        """
        episode = self._current.get()
        if episode is None:
            raise ValueError("outcome() belongs inside `with listener.episode():`")
        self._store.add_feedback(episode=episode.id, metric=metric, value=float(success))

    def model(self, *, site: str = "", audience: Audience = "unknown") -> Callable[[F], F]:
        """Decorates a function (sync or async) that takes chat-completion fields by keyword and returns the reply.

        The reply may be an `openai` object, its dict, or the assistant's text.
        """

        def record(arguments: dict[str, Any], result: Any, ms: float, failed: bool) -> None:
            message, usage, model, finish = _reply(result)
            known = {k: arguments.get(k) for k in _REQUEST_FIELDS}
            self._append(
                site=site,
                audience=audience,
                ms=ms,
                status=500 if failed else 200,
                messages=list(known["messages"] or []),
                tools=known["tools"],
                response=message,
                usage=usage,
                response_format=known["response_format"],
                tool_choice=known["tool_choice"],
                model=model or str(known["model"] or ""),
                finish_reason=finish,
                params={k: v for k, v in arguments.items() if k not in _REQUEST_FIELDS and _is_plain(v)},
            )

        return lambda function: _wrap(function, record)

    def tool(self, name: str = "") -> Callable[[F], F]:
        """Decorates a tool (sync or async): its arguments, result, latency and failure are recorded."""

        def decorate(function: F) -> F:
            title = name or getattr(function, "__name__", "tool")

            def record(arguments: dict[str, Any], result: Any, ms: float, failed: bool) -> None:
                call = {
                    "name": title,
                    "arguments": {k: v if _is_plain(v) else repr(v) for k, v in arguments.items()},
                }
                self._append(
                    site=title,
                    audience="code",
                    ms=ms,
                    status=500 if failed else 200,
                    protocol="tool",
                    messages=[{"role": "tool_call", **call}],
                    response={
                        "role": "tool",
                        "name": title,
                        "content": result if _is_plain(result) else repr(result),
                    },
                )

            return _wrap(function, record)

        return decorate

    def _append(self, *, ms: float, **fields: Any) -> None:
        episode = self._current.get()
        if episode is not None:
            episode.step += 1
            fields |= {
                "episode": episode.id,
                "group": episode.id,
                "origin": episode.origin,
                "step": episode.step - 1,
            }
        now = self._clock()
        call = Call(
            id=uuid.uuid4().hex,
            agent=self._agent,
            latency_ms=ms,
            timestamp=now - ms / 1000,
            source="listener",
            **fields,
        )
        level = self._recording.level(tenant=call.tenant, agent=call.agent, site=call.site)
        kept = recorded_part(call, level)
        if kept is None:
            return
        try:
            self._store.append([kept])
            self.n_recorded += 1
        except DeputizeError as error:
            self.n_refused += 1
            if self.n_refused == 1:
                _log.error("A call could not be recorded (%s). The agent goes on; n_refused counts.", error)

    def close(self) -> None:
        """Closes the store."""
        self._store.close()


def _wrap(function: F, record: Callable[[dict[str, Any], Any, float, bool], None]) -> F:
    """`function`, with `record(arguments by name, result, milliseconds, failed)` called once it is done."""
    signature = inspect.signature(function)

    def by_name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = signature.bind_partial(*args, **kwargs).arguments
        out: dict[str, Any] = {}
        for key, value in bound.items():
            spread = signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD
            out.update(value if spread else {key: value})
        return out

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def around_async(*args: Any, **kwargs: Any) -> Any:
            began, result, failed = time.perf_counter(), None, True
            try:
                result = await function(*args, **kwargs)
                failed = False
                return result
            finally:
                record(by_name(args, kwargs), result, (time.perf_counter() - began) * 1000, failed)

        return cast(F, around_async)

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        began, result, failed = time.perf_counter(), None, True
        try:
            result = function(*args, **kwargs)
            failed = False
            return result
        finally:
            record(by_name(args, kwargs), result, (time.perf_counter() - began) * 1000, failed)

    return cast(F, around)


def _reply(result: Any) -> tuple[Message, Usage | None, str, str]:
    """(assistant message, usage, model, finish reason) of whatever a model function returned."""
    if isinstance(result, str):
        return {"role": "assistant", "content": result}, None, "", ""
    data = result.model_dump(exclude_none=True) if hasattr(result, "model_dump") else result
    if not isinstance(data, dict):
        return {}, None, "", ""
    choices = data.get("choices")
    if not choices:
        return (data, None, "", "") if data.get("role") == "assistant" else ({}, None, "", "")
    used = data.get("usage") or {}
    usage = Usage(
        prompt_tokens=int(used.get("prompt_tokens") or 0),
        completion_tokens=int(used.get("completion_tokens") or 0),
    )
    message = choices[0].get("message") or {}
    return (
        message,
        usage if used else None,
        str(data.get("model") or ""),
        str(choices[0].get("finish_reason") or ""),
    )


def _is_plain(value: Any) -> bool:
    """Check whether a value can be written as JSON unchanged."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, str | int | float | bool)
