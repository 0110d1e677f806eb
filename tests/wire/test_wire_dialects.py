"""Round trips: what one protocol says reads back the same, whole or streamed, in it or by way of another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.errors import BadInput
from deputize.core.records import Usage
from deputize.wire.chat_parser import reply_events
from deputize.wire.chat_request import ask_for_usage, check_messages, decode_object
from deputize.wire.dialect import Dialect, ReplyHead
from deputize.wire.events import Assembler, Completion, assemble, replay
from deputize.wire.registry import CHAT, DIALECTS, MESSAGES, RESPONSES
from deputize.wire.sse import FrameSplitter

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAME = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(NAME, JSON, max_size=3).map(
    lambda a: json.dumps(a, ensure_ascii=False, separators=(",", ":"))
)


@st.composite
def answers(draw: st.DrawFn) -> Completion:
    """Whole answers as any protocol can carry them: text, tool calls, or both; visible thinking before them."""
    text = draw(TEXT)
    calls = draw(st.lists(st.tuples(NAME, ARGUMENTS), max_size=3))
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": {"name": n, "arguments": a}}
            for i, (n, a) in enumerate(calls)
        ]
    thinking = draw(TEXT)
    if thinking:
        message["reasoning_content"] = thinking
    reason = draw(st.sampled_from(["tool_calls" if calls else "stop", "length", "content_filter"]))
    prompt, completion = draw(st.integers(1, 9999)), draw(st.integers(0, 9999))
    cached = draw(st.integers(0, prompt))
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=draw(st.integers(0, prompt - cached)) if cached else 0,
    )
    return Completion(message=message, finish_reason=reason, usage=usage)


def loose(answer: Completion) -> Any:
    """What clients of every protocol can see; arguments as values, since a protocol may space JSON its own way."""
    calls = [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"] or "{}"))
        for c in answer.message.get("tool_calls") or []
    ]
    said = answer.message.get("content") or None, answer.message.get("reasoning_content")
    return said, calls, answer.finish_reason, answer.usage


def written(dialect: Dialect, answer: Completion, fields: dict[str, Any]) -> bytes:
    writer = dialect.stream_writer(ReplyHead("resp_1", "m", 1, fields))
    return b"".join(writer.write(e) for e in replay(answer, piece=7)) + writer.end()


def read(dialect: Dialect, data: bytes, size: int = 11) -> tuple[Completion, bool]:
    splitter, reader, assembler = FrameSplitter(), dialect.stream_parser(), Assembler()
    for start in range(0, len(data), size):
        for frame in splitter.feed(data[start : start + size]):
            for event in reader.read(frame):
                assembler.add(event)
    return assembler.completion(), reader.ended


@given(answers())
def test_replay_spells_the_answer(answer: Completion) -> None:
    assert assemble(replay(answer)) == answer


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@given(answer=answers(), size=st.integers(1, 64))
def test_streams_read_back(dialect: Dialect, answer: Completion, size: int) -> None:
    back, ended = read(dialect, written(dialect, answer, {"stream_options": {"include_usage": True}}), size)
    assert ended and loose(back) == loose(answer)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@given(answer=answers())
def test_whole_answers_read_back(dialect: Dialect, answer: Completion) -> None:
    body = dialect.encode_reply(answer, ReplyHead("resp_1", "m", 1))
    assert loose(dialect.parse_reply(json.loads(body))) == loose(answer)


@pytest.mark.parametrize("over", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize("via", DIALECTS, ids=lambda d: d.name)
@settings(max_examples=40)
@given(answer=answers())
def test_streams_survive_a_translation(over: Dialect, via: Dialect, answer: Completion) -> None:
    """One protocol's stream, read event by event and written in another, says the same."""
    asked = {"stream_options": {"include_usage": True}}
    splitter, reader = FrameSplitter(), via.stream_parser()
    writer = over.stream_writer(ReplyHead("resp_2", "m", 1, asked))
    out = b"".join(
        writer.write(event)
        for frame in splitter.feed(written(via, answer, asked))
        for event in reader.read(frame)
    )
    back, ended = read(over, out + writer.end())
    assert ended and loose(back) == loose(answer)


def _turns() -> st.SearchStrategy[list[dict[str, Any]]]:
    said = TEXT.filter(lambda t: t.strip() != "")
    call = st.tuples(NAME, ARGUMENTS, said).map(
        lambda t: [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": t[0], "arguments": t[1]}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": t[2]},
        ]
    )
    reply = said.map(lambda t: [{"role": "assistant", "content": t}, {"role": "user", "content": t}])
    return st.tuples(said, st.lists(call | reply, max_size=4)).map(
        lambda t: [
            {"role": "system", "content": t[0]},
            {"role": "user", "content": t[0]},
            *[m for ms in t[1] for m in ms],  # type: ignore[list-item]
        ]
    )


@pytest.mark.parametrize("dialect", [MESSAGES, RESPONSES], ids=lambda d: d.name)
@settings(max_examples=50)
@given(messages=_turns(), limit=st.integers(1, 999), temperature=st.floats(0, 1))
def test_requests_survive_a_translation(
    dialect: Dialect, messages: list[dict[str, Any]], limit: int, temperature: float
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}]
    chat = {
        "model": "m",
        "messages": messages,
        "tools": tools,
        "tool_choice": "required",
        "max_completion_tokens": limit,
        "temperature": temperature,
        "stream": True,
    }
    back = dialect.to_chat(json.loads(json.dumps(dialect.from_chat(chat))))

    def plain(ms: list[dict[str, Any]]) -> list[Any]:
        return [
            (
                m["role"],
                m.get("content"),
                m.get("tool_call_id"),
                [
                    (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
                    for c in m.get("tool_calls") or []
                ],
            )
            for m in ms
        ]

    assert plain(back["messages"]) == plain(messages)
    assert back["tools"] == tools and back["tool_choice"] == "required" and back["stream"] is True
    assert (
        back.get("max_completion_tokens", back.get("max_tokens")) == limit
        and back["temperature"] == temperature
    )


IMAGE = st.sampled_from(["data:image/png;base64,AAAA", "https://h/i.png"])
SAID = TEXT.filter(lambda t: t.strip() != "")


@st.composite
def claude_requests(draw: st.DrawFn) -> dict[str, Any]:
    """Requests in Anthropic's form, as far as another protocol can hold them, in the form they come back in."""
    turns: list[dict[str, Any]] = []
    for n in range(draw(st.integers(1, 3))):
        content: list[dict[str, Any]] = []
        if n and draw(st.booleans()):
            call = {
                "type": "tool_use",
                "id": f"t{n}",
                "name": draw(NAME),
                "input": json.loads(draw(ARGUMENTS)),
            }
            words = draw(st.lists(SAID, max_size=1))
            turns.append(
                {"role": "assistant", "content": [*({"type": "text", "text": w} for w in words), call]}
            )
            content.append({"type": "tool_result", "tool_use_id": f"t{n}", "content": draw(SAID)})
        elif n:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": draw(SAID)}]})
        content.append({"type": "text", "text": draw(SAID)})
        for url in draw(st.lists(IMAGE, max_size=2)):
            source = {"type": "url", "url": url}
            if url.startswith("data:"):
                source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
            content.append({"type": "image", "source": source})
        turns.append({"role": "user", "content": content})
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    tools = [
        {"name": name, "description": draw(SAID), "input_schema": schema}
        for name in draw(st.sets(NAME, max_size=2))
    ]
    fields: dict[str, Any] = {"model": "m", "max_tokens": draw(st.integers(1, 9999)), "messages": turns}
    if tools:
        fields["tools"] = tools
        kinds = [{"type": k} for k in ("auto", "any", "none")] + [{"type": "tool", "name": tools[0]["name"]}]
        fields |= draw(st.sampled_from([{}, *({"tool_choice": k} for k in kinds)]))
    for name, values in (
        ("system", SAID),
        ("temperature", st.floats(0, 1)),
        ("top_p", st.floats(0, 1)),
        ("stream", st.just(True)),
        ("stop_sequences", st.lists(SAID, min_size=1, max_size=2)),
        ("metadata", st.just({"user_id": "u"})),
        ("output_config", st.just({"format": {"type": "json_schema", "schema": schema}})),
    ):
        if draw(st.booleans()):
            fields[name] = draw(values)
    return fields


@settings(max_examples=80)
@given(fields=claude_requests())
def test_a_request_of_anthropics_comes_back_as_it_was(fields: dict[str, Any]) -> None:
    assert MESSAGES.from_chat(json.loads(json.dumps(MESSAGES.to_chat(fields)))) == fields


@settings(max_examples=80)
@given(fields=claude_requests())
def test_a_request_survives_every_protocol_there_is(fields: dict[str, Any]) -> None:
    """Anthropic's form, read as chat, sent as responses, read again: messages, tools and limits are the same."""
    chat = MESSAGES.to_chat(fields)
    back = RESPONSES.to_chat(json.loads(json.dumps(RESPONSES.from_chat(chat))))

    def seen(asked: dict[str, Any]) -> list[Any]:
        rows: list[Any] = []
        for m in asked["messages"]:
            content = m.get("content")
            if isinstance(content, list):
                content = [p.get("text") or p["image_url"]["url"] for p in content]
            rows.append((m["role"], content, m.get("tool_call_id"), m.get("tool_calls")))
        return rows

    def merged(rows: list[Any]) -> list[Any]:
        """An assistant's words and its calls are one message or two."""
        out: list[Any] = []
        for role, content, id_, calls in rows:
            out += [(role, content, id_)] if content is not None else []
            out += [("call", c["id"], c["function"]) for c in calls or []]
        return out

    assert merged(seen(back)) == merged(seen(chat))
    assert back.get("max_completion_tokens") == fields["max_tokens"]
    for name in ("tools", "tool_choice", "temperature", "top_p", "stream", "user", "model"):
        assert back.get(name) == chat.get(name), name
    assert (back.get("response_format") or {}).get("json_schema") == (chat.get("response_format") or {}).get(
        "json_schema"
    )


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@settings(max_examples=50)
@given(value=JSON)
def test_no_upstream_answer_can_break_a_reader(dialect: Dialect, value: Any) -> None:
    dialect.parse_reply(value)
    for kind in (
        "message_start",
        "content_block_start",
        "content_block_delta",
        "response.completed",
        "response.created",
        "response.output_item.added",
        "message_delta",
        "error",
        None,
    ):
        body = {
            "type": kind,
            "message": value,
            "delta": value,
            "item": value,
            "response": value,
            "choices": [value],
            "content_block": value,
            "usage": value,
            "error": value,
            "index": value,
            "output_index": value,
        }
        data = f"data: {json.dumps(body)}\n\n".encode()
        read(dialect, data, 4096)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@given(
    fields=st.dictionaries(
        st.sampled_from(
            [
                "messages",
                "input",
                "system",
                "tools",
                "tool_choice",
                "text",
                "instructions",
                "model",
                "stop",
                "reasoning",
                "output_config",
                "metadata",
            ]
        ),
        JSON,
    )
)
def test_no_request_can_break_a_translator(dialect: Dialect, fields: dict[str, Any]) -> None:
    try:
        chat = dialect.to_chat(fields)
    except BadInput:
        return
    assert all(isinstance(m, dict) for m in chat["messages"])


def test_only_the_needed_bytes_change_to_ask_for_usage() -> None:
    body = b'{ "model" : "m",\n"stream":true, "x": [1, 2.0] }\n'
    fields = decode_object(body)
    asked = ask_for_usage(body, fields)
    assert asked.startswith(body.rstrip()[:-1]) and json.loads(asked)["stream_options"] == {
        "include_usage": True
    }
    assert json.loads(ask_for_usage(b"{}", {"stream_options": {"a": 1}}))["stream_options"] == {
        "a": 1,
        "include_usage": True,
    }


@given(st.binary(max_size=200))
def test_any_body_is_an_object_or_refused(body: bytes) -> None:
    try:
        assert isinstance(decode_object(body), dict)
    except BadInput as error:
        assert str(error).endswith(".")


def test_messages_are_checked() -> None:
    bad: list[dict[str, Any]] = [{}, {"messages": []}, {"messages": "x"}, {"messages": [1]}]
    for wrong in bad:
        with pytest.raises(BadInput, match="messages"):
            check_messages(wrong)
    assert CHAT.to_chat({"messages": [{"role": "user"}]})["messages"] == [{"role": "user"}]


_odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", 1, True, [], {}, [{"type": "text", "text": "t"}]]
)
_calls = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["a", "", None, 3]),
            "type": st.just("function"),
            "index": st.sampled_from([0, 1]),
            "function": st.fixed_dictionaries(
                {},
                optional={
                    "name": st.sampled_from(["f", "", None]),
                    "arguments": st.sampled_from(["{}", "", None, {"a": 1}]),
                },
            ),
        },
    ),
    max_size=2,
)
_message = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": st.one_of(st.text(max_size=3), _odd),
        "refusal": _odd,
        "tool_calls": st.one_of(_calls, _odd),
        "reasoning_content": _odd,
        "function_call": _odd,
        "annotations": _odd,
    },
)
_completion = st.fixed_dictionaries(
    {},
    optional={
        "id": _odd,
        "model": _odd,
        "error": _odd,
        "choices": st.one_of(
            _odd,
            st.lists(
                st.one_of(
                    _odd,
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "index": st.just(0),
                            "finish_reason": st.sampled_from(["stop", "tool_calls", "", None, 3]),
                            "message": st.one_of(_message, _odd),
                        },
                    ),
                ),
                max_size=2,
            ),
        ),
        "usage": st.one_of(
            _odd,
            st.fixed_dictionaries(
                {}, optional={"prompt_tokens": _odd, "completion_tokens": _odd, "prompt_tokens_details": _odd}
            ),
        ),
    },
)


@settings(max_examples=400, deadline=None)
@given(value=st.one_of(_completion, _odd))
def test_the_short_way_to_a_whole_answer_reads_what_the_way_through_events_reads(value: Any) -> None:
    assert CHAT.parse_reply(value) == assemble(reply_events(value))
