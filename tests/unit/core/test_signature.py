"""Structural signatures: what changes one and what does not."""

from __future__ import annotations

import json
from typing import Any

from deputize.core import signature as module
from deputize.core.records import Message, Request
from deputize.core.signature import OPEN, has_media, open_signature, signature

SYSTEM = "You sort letters.\nToday is 2024-05-15.\nAnswer with one word: yes or no"


def tool(name: str = "pay", description: str = "Pays.", **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties or {"amount": {"type": "number"}}}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def request(user: str = "Case: 1", system: str = SYSTEM, **more: Any) -> Request:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return Request(messages=[*messages, {"role": "user", "content": user}], **more)


class TestSignature:
    def test_order_of_tools_and_keys_does_not_matter(self) -> None:
        a = request(tools=[tool("a"), tool("b")])
        b = request(tools=[json.loads(json.dumps(tool("b"), sort_keys=True)), tool("a")])
        assert signature(a) == signature(b)

    def test_any_change_of_a_schema_does(self) -> None:
        seen = {
            signature(request(**change))
            for change in (
                {},
                {"tools": [tool()]},
                {"tools": [tool(amount={"type": "string"})]},
                {"tools": [tool(description="x")]},
                {"tools": [tool()], "tool_choice": "required"},
                {"response_format": {"type": "json_object"}},
                {"system": ""},
            )
        }
        assert len(seen) == 7

    def test_what_means_nothing_changes_nothing(self) -> None:
        assert signature(request(response_format={"type": "text"})) == signature(request())
        assert signature(request(tools=[tool()], tool_choice="auto")) == signature(request(tools=[tool()]))
        assert signature(request("other text", "other prompt")) == signature(request())
        assert signature(request(agent="a", site="b")) == signature(request())

    def test_an_agents_turns_share_one_signature_and_a_chats_do_not(self) -> None:
        later: list[Message] = [{"role": "assistant", "content": "ok"}, {"role": "user", "content": "go"}]
        chat, agent = request(), request(tools=[tool()])
        assert signature(chat) != signature(Request(messages=[*chat.messages, *later]))
        assert signature(agent) == signature(Request(messages=[*agent.messages, *later], tools=[tool()]))

    def test_pictures_are_another_signature(self) -> None:
        parts = [{"type": "text", "text": "Case: 1"}]
        text = Request(messages=[{"role": "user", "content": parts}])
        picture = Request(messages=[{"role": "user", "content": [*parts, {"type": "image_url"}]}])
        assert has_media(Request(messages=[{"role": "user", "content": [*parts, {"image_url": "u"}]}]))
        assert signature(text) == signature(request(system=""))
        assert signature(picture) != signature(text)
        assert has_media(picture) and not has_media(text)

    def test_the_cache_changes_no_signature_and_is_bounded(self) -> None:
        requests = [request(tools=[tool(f"t{i}"), tool("a")]) for i in range(300)]
        first = [signature(r) for r in requests]
        assert len(set(first)) == 300
        cache = module._cached_sorted_digest
        assert cache.cache_info().currsize == cache.cache_info().maxsize == 128
        cache.cache_clear()
        assert [signature(r) for r in requests] == first

    def test_large_tools_are_hashed_alike_and_not_kept(self) -> None:
        module._cached_sorted_digest.cache_clear()
        large = tool("a", "x" * 300_000)
        assert signature(request(tools=[large, tool("b")])) == signature(request(tools=[tool("b"), large]))
        assert module._cached_sorted_digest.cache_info().currsize == 0


def test_an_open_signature_says_nothing_of_what_is_listed() -> None:
    def request(**more: Any) -> Request:
        return Request(messages=[{"role": "user", "content": "x"}], **more)

    a, b = ({"type": "function", "function": {"name": name}} for name in "ab")
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    assert open_signature(request()) == "" == open_signature(request(response_format={"type": "json_object"}))
    tools = open_signature(request(tools=[a]))
    assert tools.startswith(OPEN) and tools == open_signature(request(tools=[a, b]))
    others = [
        open_signature(request(tools=[a], tool_choice="required")),
        open_signature(request(response_format=schema)),
        open_signature(request(tools=[a], response_format=schema)),
        open_signature(Request(messages=[{"role": "system", "content": "s"}], tools=[a])),
    ]
    assert len({tools, *others}) == 5 and not signature(request(tools=[a])).startswith(OPEN)
