"""Decorators and hooks that record the model calls and tool calls of a program, for people who instrument their own
code.

The gateway sees only what goes over the wire. Where program code orchestrates (the paper's *code agency*, Figure 1)
the functions that call a model, and the tools themselves, can be recorded where they are defined:

    listener = Listener.open(agent="billing")

    @listener.tool()
    def find_invoice(number: str) -> dict: ...

    @listener.model(site="classify")
    def classify(*, model, messages): return client.chat.completions.create(model=model, messages=messages)

    with listener.episode(origin=user_id):
        classify(model="gpt-4o", messages=[...])

A function that returns a stream, or is a generator, is recorded when its stream ends. A recorder that cannot write
never breaks the agent: the error is logged once per kind, without payload, and counted.
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

import msgspec
from msgspec import structs

from deputize.core.errors import DeputizeError
from deputize.core.recording_policy import Recording, recorded_part
from deputize.core.records import Audience, Call
from deputize.home import Home
from deputize.listen.agents_hook import agents_processor
from deputize.listen.langchain_hook import langchain_handler
from deputize.listen.returned_replies import RecordedStream, StreamEnd, is_stream, reply_of, reply_of_stream
from deputize.store.base import Store
from deputize.store.keys.keyring import KeyRing

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("deputize.listen")
_REQUEST_FIELDS = ("model", "messages", "tools", "response_format", "tool_choice")


class _Episode:
    """The current run of the agent."""

    def __init__(self, id: str, origin: str) -> None:
        self.id, self.origin, self.step = id, origin, 0


class _RecordedCall(msgspec.Struct, frozen=True):
    """A call of a decorated function."""

    arguments: dict[str, Any]
    """By name."""
    episode: _Episode | None
    """That it began in."""
    started: float
    """perf_counter seconds."""
    ms: float = 0.0
    result: Any = None
    chunks: list[Any] | None = None
    """Of a stream, in place of a result."""
    failed: bool = False
    abandoned: bool = False

    def at_end(self, **known: Any) -> _RecordedCall:
        """The call with what is known at its end."""
        return structs.replace(self, ms=(time.perf_counter() - self.started) * 1000, **known)


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
        opened = Home(home)
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

        def record(done: _RecordedCall) -> None:
            reply = reply_of_stream(done.chunks) if done.chunks is not None else reply_of(done.result)
            known = {k: done.arguments.get(k) for k in _REQUEST_FIELDS}
            self.record(
                ms=done.ms,
                within=done.episode,
                site=site,
                audience=audience,
                status=500 if done.failed else 200,
                aborted=done.abandoned,
                messages=list(known["messages"] or []),
                tools=known["tools"],
                response=reply.message,
                usage=reply.usage,
                response_format=known["response_format"],
                tool_choice=known["tool_choice"],
                model=reply.model or str(known["model"] or ""),
                finish_reason=reply.finish_reason,
                params={k: v for k, v in done.arguments.items() if k not in _REQUEST_FIELDS and _is_plain(v)},
            )

        return lambda function: self._wrap(function, record)

    def tool(self, name: str = "") -> Callable[[F], F]:
        """Decorates a tool (sync or async): its arguments, result, latency and failure are recorded."""

        def decorate(function: F) -> F:
            title = name or getattr(function, "__name__", "tool")

            def record(done: _RecordedCall) -> None:
                call = {
                    "name": title,
                    "arguments": {k: v if _is_plain(v) else repr(v) for k, v in done.arguments.items()},
                }
                result = done.chunks if done.chunks is not None else done.result
                self.record(
                    ms=done.ms,
                    within=done.episode,
                    site=title,
                    audience="code",
                    status=500 if done.failed else 200,
                    aborted=done.abandoned,
                    protocol="tool",
                    messages=[{"role": "tool_call", **call}],
                    response={
                        "role": "tool",
                        "name": title,
                        "content": result if _is_plain(result) else repr(result),
                    },
                )

            return self._wrap(function, record)

        return decorate

    def langchain_handler(self, *, site: str = "", audience: Audience = "unknown") -> Any:
        """A callback handler that records the model and tool calls of LangChain and LangGraph; `site` defaults to the
        node of the graph.

        Raises:
            MissingExtra: langchain-core is not installed.
        """
        return langchain_handler(self.record, site, audience)

    def agents_processor(self, *, site: str = "", audience: Audience = "unknown") -> Any:
        """A tracing processor that records the model and tool calls of the OpenAI Agents SDK.

        Raises:
            MissingExtra: openai-agents is not installed.
        """
        return agents_processor(self.record, site, audience)

    def record(self, *, ms: float, within: _Episode | None = None, episode: str = "", **fields: Any) -> None:
        """Records one call, for programs that know its parts.

        Args:
            ms: milliseconds that it took, up to now.
            within: the episode that it began in; None: the current one.
            episode: its episode where it began in none.
            fields: of `deputize.core.records.Call`.
        """
        current = within or self._current.get()
        if current is not None:
            current.step += 1
            fields |= {
                "episode": current.id,
                "group": current.id,
                "origin": current.origin,
                "step": current.step - 1,
            }
        elif episode:
            fields |= {"episode": episode, "group": episode}
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

    def _wrap(self, function: F, record: Callable[[_RecordedCall], None]) -> F:
        """`function`, with `record` called once it is done, and where it gives a stream once that has ended."""
        signature = inspect.signature(function)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _RecordedCall:
            bound = signature.bind_partial(*args, **kwargs).arguments
            arguments: dict[str, Any] = {}
            for key, value in bound.items():
                spread = signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD
                arguments.update(value if spread else {key: value})
            return _RecordedCall(arguments, self._current.get(), time.perf_counter())

        def finish(done: _RecordedCall, result: Any) -> Any:
            if not is_stream(result):
                record(done.at_end(result=result))
                return result

            def on_end(end: StreamEnd) -> None:
                record(done.at_end(chunks=end.chunks, failed=end.failed, abandoned=end.abandoned))

            return RecordedStream(result, on_end)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def around_async(*args: Any, **kwargs: Any) -> Any:
                done = begin(args, kwargs)
                try:
                    result = await function(*args, **kwargs)
                except BaseException:
                    record(done.at_end(failed=True))
                    raise
                return finish(done, result)

            return cast(F, around_async)

        @functools.wraps(function)
        def around(*args: Any, **kwargs: Any) -> Any:
            done = begin(args, kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException:
                record(done.at_end(failed=True))
                raise
            return finish(done, result)

        return cast(F, around)


def _is_plain(value: Any) -> bool:
    """Check whether a value can be written as JSON unchanged."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, str | int | float | bool)
