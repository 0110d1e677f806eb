"""Golden wire files: what each protocol's documentation shows is read as written down here, and written byte for byte.

Round trips pass where reader and writer are wrong in the same way; these files were written by hand (golden/README.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.wire.dialect import Dialect, ReplyHead
from deputize.wire.events import Assembler, Completion, Event, replay
from deputize.wire.registry import DIALECTS
from deputize.wire.sse import FrameSplitter

GOLDEN = Path(__file__).parent / "golden"
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
FIELDS: dict[str, dict[str, Any]] = {
    "chat": {"stream_options": {"include_usage": True}},
    "messages": {},
    "responses": {"instructions": "Be brief.", "temperature": 0.5},
}
"""The request fields that the written replies answer."""


def files(pattern: str) -> list[Any]:
    found = sorted(GOLDEN.glob(pattern))
    assert found, pattern
    return [pytest.param(BY_NAME[path.name.split("_")[0]], path, id=path.name) for path in found]


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def completion(value: dict[str, Any]) -> Completion:
    return msgspec.convert(value, Completion)


def plain(event: Event) -> list[Any]:
    return without_defaults([type(event).__name__, *msgspec.to_builtins(event).values()])


def without_defaults(values: list[Any]) -> list[Any]:
    """An event's values without those at its end that say nothing."""
    while values[-1] is None or values[-1] is False:
        values = values[:-1]
    return values


def head(dialect: Dialect) -> ReplyHead:
    return ReplyHead(f"{dialect.id_prefix}1", "m-1", 1_700_000_000, FIELDS[dialect.name])


def test_every_protocol_has_every_kind_of_file() -> None:
    kinds = ("request_tools.json", "reply_text.json", "reply_tools.json", "error.json", "error.sse")
    streams = ("stream_text", "stream_parallel", "stream_error")
    answers = ("text", "parallel", "cut")
    for name in BY_NAME:
        wanted = [*kinds, *(f"{s}.{e}" for s in streams for e in ("sse", "json"))]
        wanted += [f"written_{a}.{e}" for a in answers for e in ("json", "sse")]
        for file in wanted:
            assert (GOLDEN / f"{name}_{file}").exists(), file


@pytest.mark.parametrize(("dialect", "path"), files("*_request_*.json"))
def test_requests(dialect: Dialect, path: Path) -> None:
    golden = load(path)
    chat = dialect.to_chat(golden["given"])
    assert chat == golden["chat"]
    assert msgspec.json.encode(dialect.from_chat(chat)).decode() == golden["written"]


@pytest.mark.parametrize(("dialect", "path"), files("*_reply_*.json"))
def test_whole_replies_are_read(dialect: Dialect, path: Path) -> None:
    golden = load(path)
    assert dialect.parse_reply(golden["given"]) == completion(golden["read"])


@pytest.mark.parametrize(("dialect", "path"), files("*_stream_*.sse"))
def test_streams_are_read(dialect: Dialect, path: Path) -> None:
    golden = load(path.with_suffix(".json"))
    parser, assembler, splitter = dialect.stream_parser(), Assembler(), FrameSplitter()
    events = [event for frame in splitter.feed(path.read_bytes()) for event in parser.read(frame)]
    assert splitter.rest() == b""
    for event in events:
        assembler.add(event)
    assert [plain(event) for event in events] == [without_defaults(e) for e in golden["events"]]
    assert parser.ended == golden["ended"]
    assert assembler.completion() == completion(golden["completion"])


@pytest.mark.parametrize(("dialect", "path"), files("*_written_*.json"))
def test_whole_replies_are_written_byte_for_byte(dialect: Dialect, path: Path) -> None:
    answer = completion(load(GOLDEN / f"answer_{path.stem.split('_')[-1]}.json"))
    assert dialect.encode_reply(answer, head(dialect)) + b"\n" == path.read_bytes()


@pytest.mark.parametrize(("dialect", "path"), files("*_written_*.sse"))
def test_streams_are_written_byte_for_byte(dialect: Dialect, path: Path) -> None:
    answer = completion(load(GOLDEN / f"answer_{path.stem.split('_')[-1]}.json"))
    writer = dialect.stream_writer(head(dialect))
    written = b"".join(writer.write(event) for event in replay(answer, piece=1000)) + writer.end()
    assert written.decode() == path.read_text("utf-8")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_errors_are_written_byte_for_byte(dialect: Dialect) -> None:
    error = (429, "Slow down.", "rate_limit_error", "over_limit")
    assert dialect.error_body(*error) + b"\n" == (GOLDEN / f"{dialect.name}_error.json").read_bytes()
    assert dialect.error_frame(*error) == (GOLDEN / f"{dialect.name}_error.sse").read_bytes()
