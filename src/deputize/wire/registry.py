"""The protocols as `Dialect` values."""

from __future__ import annotations

import dataclasses

from deputize.wire import (
    chat_parser,
    chat_request,
    chat_writer,
    messages_parser,
    messages_request,
    messages_writer,
    responses_parser,
    responses_request,
    responses_writer,
    typed_decisions,
)
from deputize.wire.dialect import Dialect

CHAT = Dialect(
    name="chat",
    path="/v1/chat/completions",
    id_prefix="chatcmpl-",
    to_chat=chat_request.to_chat,
    from_chat=chat_request.from_chat,
    params=chat_request.params,
    parse_reply=chat_parser.parse_reply,
    stream_parser=chat_parser.ChatStreamParser,
    encode_reply=chat_writer.encode_reply,
    stream_writer=chat_writer.ChatStreamWriter,
    error_body=chat_writer.error_body,
    error_frame=chat_writer.error_frame,
)
MESSAGES = Dialect(
    name="messages",
    path="/v1/messages",
    id_prefix="msg_",
    to_chat=messages_request.to_chat,
    from_chat=messages_request.from_chat,
    params=messages_request.params,
    parse_reply=messages_parser.parse_reply,
    stream_parser=messages_parser.MessagesStreamParser,
    encode_reply=messages_writer.encode_reply,
    stream_writer=messages_writer.MessagesStreamWriter,
    error_body=messages_writer.error_body,
    error_frame=messages_writer.error_frame,
)
RESPONSES = Dialect(
    name="responses",
    path="/v1/responses",
    id_prefix="resp_",
    to_chat=responses_request.to_chat,
    from_chat=responses_request.from_chat,
    params=responses_request.params,
    parse_reply=responses_parser.parse_reply,
    stream_parser=responses_parser.ResponsesStreamParser,
    encode_reply=responses_writer.encode_reply,
    stream_writer=responses_writer.ResponsesStreamWriter,
    error_body=responses_writer.error_body,
    error_frame=responses_writer.error_frame,
)
DECISIONS = Dialect(
    name="decisions",
    path="/v1/decisions",
    id_prefix="dec_",
    to_chat=typed_decisions.to_chat,
    from_chat=typed_decisions.from_chat,
    params=typed_decisions.params,
    parse_reply=typed_decisions.parse_reply,
    # decisions are not streamed: these are for a server that answers with a stream all the same
    stream_parser=chat_parser.ChatStreamParser,
    stream_writer=chat_writer.ChatStreamWriter,
    encode_reply=typed_decisions.encode_reply,
    error_body=chat_writer.error_body,
    error_frame=chat_writer.error_frame,
    fits=typed_decisions.fits,
)
SYSTEM_ONE = dataclasses.replace(DECISIONS, name="systemone", path="/v1/systemone", id_prefix="s1_")

DIALECTS: tuple[Dialect, ...] = (CHAT, MESSAGES, RESPONSES)
"""Protocols of conversations, which are translated into one another."""
ALL_DIALECTS: tuple[Dialect, ...] = (*DIALECTS, DECISIONS, SYSTEM_ONE)
