"""The decorators record what the functions did, and never change what they do."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.errors import MissingExtra
from deputize.core.records import Call
from deputize.home import Home
from deputize.listen import Listener


def reopened(home: Path) -> list[Call]:
    store = Home(home).open_store()
    try:
        return list(store.calls())
    finally:
        store.close()


def test_model_and_tool_calls_of_one_episode_are_recorded_in_order(tmp_path: Path) -> None:
    listener = Listener.open(agent="billing", home=tmp_path)

    @listener.tool()
    def find(number: str) -> dict[str, object]:
        return {"number": number, "total": 3.5}

    @listener.model(site="classify", audience="code")
    def classify(*, model: str, messages: list[dict[str, str]], **settings: object) -> str:
        return "invoice"

    with listener.episode(origin="anna@example.com") as episode:
        assert find("A-1") == {"number": "A-1", "total": 3.5}
        assert (
            classify(model="gpt", messages=[{"role": "user", "content": "where is it?"}], temperature=0)
            == "invoice"
        )
        listener.outcome(success=False)
    listener.close()

    tool, model = reopened(tmp_path)
    assert (tool.protocol, tool.messages[0]["arguments"], tool.response["content"]["total"]) == (
        "tool",
        {"number": "A-1"},
        3.5,
    )
    assert (model.site, model.model, model.params, model.response["content"]) == (
        "classify",
        "gpt",
        {"temperature": 0},
        "invoice",
    )
    assert {tool.episode, model.episode} == {episode}
    assert (tool.step, model.step) == (0, 1)
    assert model.origin and "anna" not in model.origin
    assert model.outcome is not None and model.outcome.success is False


async def test_async_functions_and_openai_shaped_replies(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)
    reply: dict[str, object] = {
        "model": "m-2",
        "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1},
    }

    @listener.model()
    async def ask(messages: list[dict[str, str]]) -> dict[str, object]:
        return reply

    assert await ask([{"role": "user", "content": "hello"}]) is reply
    listener.close()
    (call,) = reopened(tmp_path)
    assert call.usage is not None
    assert (call.model, call.finish_reason, call.usage.prompt_tokens) == ("m-2", "stop", 5)


def test_a_failing_function_is_recorded_and_still_fails(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)

    @listener.tool("boom")
    def boom() -> None:
        raise KeyError("no such order")

    with pytest.raises(KeyError):
        boom()
    listener.close()
    (call,) = reopened(tmp_path)
    assert (call.site, call.status) == ("boom", 500)


def test_a_store_that_cannot_write_does_not_break_the_agent(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)

    @listener.tool()
    def add(a: int, b: int) -> int:
        return a + b

    listener.close()
    assert add(1, 2) == 3
    assert listener.n_refused == 1


def test_outcome_outside_an_episode_is_refused(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)
    with pytest.raises(ValueError, match="episode"):
        listener.outcome(success=True)
    listener.close()


def test_the_recording_policy_holds_here_too(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[recording.sites]\ndiary = "off"\nnotes = "metadata"\n')
    listener = Listener.open(agent="desk", home=tmp_path)
    for site in ("diary", "notes", "orders"):
        listener.model(site=site)(lambda **fields: "the answer")(model="m", messages=[{"content": "words"}])
    listener.close()
    with Home(tmp_path) as home:
        found = {call.site: (call.recorded, bool(call.messages)) for call in home.store.calls()}
    assert found == {"notes": ("metadata", False), "orders": ("full", True)} and listener.n_recorded == 2


# --- streams ---------------------------------------------------------------------------------------------------------

CHUNKS: list[dict[str, Any]] = [
    {"model": "m-2", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "it "}}]},
    {"choices": [{"index": 0, "delta": {"content": "rains"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
]
ASKED: list[dict[str, str]] = [{"role": "user", "content": "weather?"}]


def test_a_stream_is_recorded_when_it_has_ended(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)

    @listener.model()
    def ask(*, messages: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
        yield from CHUNKS

    with listener.episode() as episode:
        stream = ask(messages=ASKED)
    assert listener.n_recorded == 0
    assert list(stream) == CHUNKS and listener.n_recorded == 1
    listener.close()
    (call,) = reopened(tmp_path)
    assert (call.response["content"], call.finish_reason, call.episode) == ("it rains", "stop", episode)
    assert call.usage is not None and call.usage.prompt_tokens == 5 and not call.aborted


async def test_asynchronous_streams_of_text_and_of_chunks(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)

    @listener.model(site="chunks")
    async def chunks(messages: list[dict[str, str]]) -> AsyncIterator[dict[str, Any]]:
        for chunk in CHUNKS:
            yield chunk

    @listener.model(site="text")
    async def text(messages: list[dict[str, str]]) -> AsyncIterator[str]:
        async def pieces() -> AsyncIterator[str]:
            yield "it "
            yield "rains"

        return pieces()

    assert [c async for c in chunks(ASKED)] == CHUNKS
    assert "".join([piece async for piece in await text(ASKED)]) == "it rains"
    listener.close()
    assert {c.site: c.response["content"] for c in reopened(tmp_path)} == {
        "chunks": "it rains",
        "text": "it rains",
    }


def test_streams_that_fail_or_are_given_up_say_so(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)

    @listener.model(site="fails")
    def fails(*, messages: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
        yield CHUNKS[0]
        raise OSError("gone")

    @listener.model(site="dropped")
    def dropped(*, messages: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
        yield from CHUNKS

    with pytest.raises(OSError, match="gone"):
        list(fails(messages=ASKED))
    stream = dropped(messages=ASKED)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    listener.close()
    found = {c.site: (c.status, c.aborted, c.response["content"]) for c in reopened(tmp_path)}
    assert found == {"fails": (500, False, "it "), "dropped": (200, True, "it ")}


def test_a_call_in_parts_is_recorded_too(tmp_path: Path) -> None:
    listener = Listener.open(agent="a", home=tmp_path)
    listener.record(ms=5, episode="e", messages=ASKED, response={"role": "assistant", "content": "yes"})
    listener.close()
    (call,) = reopened(tmp_path)
    assert (call.episode, call.latency_ms, call.source) == ("e", 5, "listener")


@pytest.mark.parametrize(
    ("package", "hook", "line"),
    [
        ("langchain_core", "langchain_handler", r"pip install 'deputize\[langchain\]'"),
        ("agents", "agents_processor", r"pip install 'deputize\[agents\]'"),
    ],
)
def test_a_missing_library_is_named_with_its_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, hook: str, line: str
) -> None:
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    listener = Listener.open(agent="a", home=tmp_path)
    with pytest.raises(MissingExtra, match=line):
        getattr(listener, hook)()
    listener.close()
