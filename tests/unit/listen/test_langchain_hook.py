"""LangChain itself, with a model in memory: its calls are recorded by the callback handler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deputize.core.records import Call
from deputize.home import Home
from deputize.listen import Listener

core = pytest.importorskip("langchain_core", reason="langchain-core is not installed")


def calls_of(home: Path, listener: Listener) -> list[Call]:
    listener.close()
    with Home(home) as opened:
        return list(opened.store.calls())


def model_saying(*messages: Any) -> Any:
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

    return GenericFakeChatModel(messages=iter(messages))


def answer(text: str, **more: Any) -> Any:
    from langchain_core.messages import AIMessage

    return AIMessage(content=text, **more)


async def test_calls_of_one_chain_are_one_episode(tmp_path: Path) -> None:
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.tools import tool

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return "rain"

    wants = [{"name": "weather", "args": {"city": "Bonn"}, "id": "t1", "type": "tool_call"}]
    usage = {
        "input_tokens": 9,
        "output_tokens": 2,
        "total_tokens": 11,
        "input_token_details": {"cache_read": 4},
    }
    model = model_saying(answer("", tool_calls=wants, usage_metadata=usage), answer("It rains."))
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{q}")])
    listener = Listener.open(agent="desk", home=tmp_path)
    handler = listener.langchain_handler(audience="code")

    def run_tool(message: Any) -> Any:
        return weather.invoke(message.tool_calls[0]["args"])

    chain = prompt | model | run_tool | model
    assert (await chain.ainvoke({"q": "Weather?"}, config={"callbacks": [handler]})).content == "It rains."
    first, tool_call, last = calls_of(tmp_path, listener)
    assert first.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
    ]
    assert first.response["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Bonn"}'}
    assert first.usage is not None and (first.usage.prompt_tokens, first.usage.cached_tokens) == (9, 4)
    assert (tool_call.protocol, tool_call.site, tool_call.response["content"]) == ("tool", "weather", "rain")
    assert tool_call.messages[0]["arguments"] == {"city": "Bonn"}
    assert last.response["content"] == "It rains." and last.audience == "code" and last.agent == "desk"
    assert len({c.episode for c in (first, tool_call, last)}) == 1 and first.episode


def test_a_stream_and_the_episode_of_the_listener(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)
    handler = listener.langchain_handler(site="ask")
    model = model_saying(answer("it rains today"))
    with listener.episode("run-1", origin="anna"):
        parts = [p.content for p in model.stream("Weather?", config={"callbacks": [handler]})]
    (call,) = calls_of(tmp_path, listener)
    assert len(parts) > 1 and call.response["content"] == "it rains today"
    assert (call.episode, call.site) == ("run-1", "ask") and call.origin and "anna" not in call.origin


def test_failures_are_recorded_as_failures(tmp_path: Path) -> None:
    from langchain_core.tools import tool

    @tool
    def broken() -> str:
        """Breaks."""
        raise ValueError("no")

    listener = Listener.open(agent="a", home=tmp_path)
    handler = listener.langchain_handler()
    with pytest.raises(StopIteration):
        model_saying().invoke("Weather?", config={"callbacks": [handler]})
    with pytest.raises(ValueError, match="no"):
        broken.invoke({}, config={"callbacks": [handler], "metadata": {"thread_id": "t-1"}})
    model, tool_call = calls_of(tmp_path, listener)
    assert (model.status, tool_call.status, tool_call.episode) == (500, 500, "t-1")


def test_tools_and_parameters_are_those_of_the_request(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)
    handler = listener.langchain_handler()
    claude = {"name": "weather", "description": "w", "input_schema": {"type": "object", "properties": {}}}
    asked = {
        "model": "m-1",
        "temperature": 0,
        "stop": ["x"],
        "tools": [claude],
        "tool_choice": "any",
        "k": "v",
    }
    from langchain_core.messages import HumanMessage
    from langchain_core.outputs import ChatGeneration, LLMResult

    handler.on_chat_model_start({}, [[HumanMessage(content="q")]], run_id=1, invocation_params=asked)
    done = LLMResult(
        generations=[[ChatGeneration(message=answer("", response_metadata={"stop_reason": "tool_use"}))]]
    )
    handler.on_llm_end(done, run_id=1)
    handler.on_llm_end(done, run_id=2)  # of a run that began before the handler was there
    (call,) = calls_of(tmp_path, listener)
    assert call.tools is not None and call.tools[0]["function"]["name"] == "weather"
    assert (call.model, call.params, call.tool_choice) == ("m-1", {"temperature": 0, "stop": ["x"]}, "any")
    assert call.finish_reason == "tool_calls"
