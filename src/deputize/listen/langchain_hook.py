"""A callback handler for LangChain and LangGraph that records their model calls and tool calls.

References:
    langchain-core API reference, "Callbacks".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deputize.core.answer_params import PLAIN
from deputize.core.errors import MissingExtra
from deputize.core.records import Audience, Message, Usage

_SESSION_FIELDS = ("session_id", "thread_id", "conversation_id")
_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
}


class RunRecorder:
    """The callbacks. A run is one call of a model, a tool or a chain; all runs below one chain are one episode."""

    run_inline = True
    """On the caller's thread, where the episode of a listener is known, also where the chain is asynchronous."""

    def __init__(self, record: Callable[..., None], site: str = "", audience: Audience = "unknown") -> None:
        self._record_call, self._site, self._audience = record, site, audience
        self._episodes: dict[Any, str] = {}
        """Run under way -> its episode."""
        self._begun: dict[Any, tuple[float, dict[str, Any]]] = {}
        """Run under way of a model or tool -> (perf_counter seconds, parts of its record)."""

    # --- chains ---

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **about: Any) -> None:
        """Begins an episode, or goes on with the one above."""
        self._enter(run_id, about)

    def on_chain_end(self, outputs: Any, *, run_id: Any, **about: Any) -> None:
        """Forgets the run."""
        self._episodes.pop(run_id, None)

    def on_chain_error(self, error: BaseException, *, run_id: Any, **about: Any) -> None:
        """Forgets the run."""
        self._episodes.pop(run_id, None)

    def _enter(self, run_id: Any, about: Mapping[str, Any]) -> str:
        metadata = about.get("metadata") or {}
        session = next((str(metadata[name]) for name in _SESSION_FIELDS if metadata.get(name)), "")
        above = self._episodes.get(about.get("parent_run_id"), "")
        episode = self._episodes[run_id] = above or session or str(run_id)
        return episode

    # --- models ---

    def on_chat_model_start(
        self, serialized: Any, messages: Sequence[Sequence[Any]], *, run_id: Any, **about: Any
    ) -> None:
        """Notes what a chat model is asked."""
        self._begin_model(run_id, _openai_messages(messages[0]), about)

    def on_llm_start(self, serialized: Any, prompts: Sequence[str], *, run_id: Any, **about: Any) -> None:
        """Notes what a completion model is asked."""
        self._begin_model(run_id, [{"role": "user", "content": prompts[0]}], about)

    def _begin_model(self, run_id: Any, messages: list[Message], about: Mapping[str, Any]) -> None:
        asked = about.get("invocation_params") or {}
        metadata = about.get("metadata") or {}
        answer_format = asked.get("response_format")
        fields = {
            "episode": self._enter(run_id, about),
            "site": self._site or str(metadata.get("langgraph_node") or ""),
            "audience": self._audience,
            "messages": messages,
            "tools": [_openai_tool(tool) for tool in asked.get("tools") or ()] or None,
            "tool_choice": asked.get("tool_choice"),
            "response_format": answer_format if isinstance(answer_format, dict) else None,
            "model": str(
                asked.get("model") or asked.get("model_name") or metadata.get("ls_model_name") or ""
            ),
            "params": {k: v for k, v in asked.items() if (k in PLAIN or k == "stop") and v is not None},
        }
        self._begun[run_id] = (time.perf_counter(), fields)

    def on_llm_end(self, response: Any, *, run_id: Any, **about: Any) -> None:
        """Records a call that was answered, streamed or not."""
        generations = response.generations[0] if response.generations else []
        answer = getattr(generations[0], "message", None) if generations else None
        if answer is None:
            text = generations[0].text if generations else ""
            self._record(run_id, response={"role": "assistant", "content": text}, finish_reason="stop")
            return
        (message,) = _openai_messages([answer])
        told = answer.response_metadata or {}
        reason = str(told.get("finish_reason") or told.get("stop_reason") or "stop")
        self._record(
            run_id,
            response=message,
            usage=_usage(answer.usage_metadata),
            finish_reason=_FINISH_REASONS.get(reason, reason),
        )

    def on_llm_error(self, error: BaseException, *, run_id: Any, **about: Any) -> None:
        """Records a call that failed."""
        self._record(run_id, response={}, status=500)

    # --- tools ---

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: Any, **about: Any) -> None:
        """Notes with what a tool is called."""
        name = str((serialized or {}).get("name") or about.get("name") or "tool")
        arguments = about.get("inputs") or {"input": input_str}
        fields = {
            "episode": self._enter(run_id, about),
            "site": name,
            "audience": "code",
            "protocol": "tool",
            "messages": [{"role": "tool_call", "name": name, "arguments": dict(arguments)}],
        }
        self._begun[run_id] = (time.perf_counter(), fields)

    def on_tool_end(self, output: Any, *, run_id: Any, **about: Any) -> None:
        """Records what a tool gave."""
        content = getattr(output, "content", output)
        self._record(run_id, response={"role": "tool", "content": content})

    def on_tool_error(self, error: BaseException, *, run_id: Any, **about: Any) -> None:
        """Records a tool that failed."""
        self._record(run_id, response={"role": "tool", "content": ""}, status=500)

    def _record(self, run_id: Any, **fields: Any) -> None:
        self._episodes.pop(run_id, None)
        begun = self._begun.pop(run_id, None)
        if begun is not None:
            started, known = begun
            self._record_call(ms=(time.perf_counter() - started) * 1000, **known, **fields)


def langchain_handler(record: Callable[..., None], site: str, audience: Audience) -> Any:
    """A callback handler that records by `Listener.record`.

    Raises:
        MissingExtra: langchain-core is not installed.
    """
    try:
        from langchain_core.callbacks import BaseCallbackHandler
    except ImportError:
        raise MissingExtra.package("langchain-core", "langchain") from None
    kind = type("DeputizeCallbackHandler", (RunRecorder, BaseCallbackHandler), {})
    return kind(record, site, audience)


def _openai_messages(messages: Sequence[Any]) -> list[Message]:
    from langchain_core.messages.utils import convert_to_openai_messages

    found = convert_to_openai_messages(list(messages))
    return found if isinstance(found, list) else [found]


def _openai_tool(tool: Any) -> dict[str, Any]:
    from langchain_core.utils.function_calling import convert_to_openai_tool

    try:
        return convert_to_openai_tool(tool)
    except (ValueError, TypeError):
        return tool if isinstance(tool, dict) else {"type": "unknown"}


def _usage(counts: Mapping[str, Any] | None) -> Usage | None:
    if not counts:
        return None
    read, written = counts.get("input_token_details") or {}, counts.get("output_token_details") or {}
    return Usage(
        prompt_tokens=int(counts.get("input_tokens") or 0),
        completion_tokens=int(counts.get("output_tokens") or 0),
        cached_tokens=int(read.get("cache_read") or 0),
        cache_write_tokens=int(read.get("cache_creation") or 0),
        reasoning_tokens=int(written.get("reasoning") or 0),
    )
