"""The gateway's own log."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs

from deputize.core.records import Call, Decision, Usage
from deputize.gateway.gateway_log import (
    ACCESS,
    access_fields,
    calls_written_by_a_thread,
    log_call,
    set_up_log,
)
from deputize.gateway.settings import GatewaySettings

CALL = Call(
    id="dpz-1",
    messages=[{"role": "user", "content": "my secret"}],
    response={"role": "assistant", "content": "an answer"},
    agent="desk",
    model="gpt-4o",
    latency_ms=12.34,
    usage=Usage(prompt_tokens=9, completion_tokens=2),
    decision=Decision(served_by="slm", reason="live", route_id="r1"),
)


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    logger = logging.getLogger("deputize")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])
    logging.getLogger(ACCESS).setLevel(logging.NOTSET)


def lines(capsys: pytest.CaptureFixture[str], **settings: Any) -> list[str]:
    set_up_log(GatewaySettings(**settings))
    log_call(CALL, key="k1")
    logging.getLogger("deputize.gateway").warning("call %s: down", "dpz-2")
    logging.getLogger("deputize.gateway").debug("nothing")
    return capsys.readouterr().err.splitlines()


def test_json_lines_have_time_level_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    access, warning = map(json.loads, lines(capsys, log_format="json", access_log=True))
    assert (
        access["id"] == "dpz-1"
        and access["served_by"] == "slm"
        and access["ms"] == 12.3
        and access["key"] == "k1"
    )
    assert (warning["level"], warning["message"]) == ("warning", "call dpz-2: down") and warning[
        "time"
    ].endswith("+00:00")


def test_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    access, warning = lines(capsys, access_log=True)
    assert "INFO deputize.access id=dpz-1 protocol=chat status=200 model=gpt-4o" in access
    assert "WARNING deputize.gateway call dpz-2: down" in warning


@pytest.mark.parametrize("log_format", ["json", "text", "short"])
def test_a_name_that_a_caller_chose_adds_no_line_and_steers_no_terminal(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "m\n12:00:00 LLM 200\x1b[2J\x9b\u202e\u2028z\r"
    set_up_log(GatewaySettings(log_format=log_format, access_log=True))
    log_call(structs.replace(CALL, model=name, decision=None))
    logging.getLogger("deputize.gateway").warning("call %s: %s", "dpz-2", name)
    written = capsys.readouterr().err
    assert written.count("\n") == 2 and written.count("12:00:00 LLM 200") == 2
    assert not {"\x1b", "\x9b", "\u202e", "\u2028", "\r"} & set(written)
    if log_format == "json":
        assert json.loads(written.splitlines()[0])["model"] == name


def test_access_lines_are_written_where_they_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    (only,) = lines(capsys)
    assert "WARNING" in only


def test_nothing_of_a_call_but_its_model_stands_in_its_line() -> None:
    shown = json.dumps(access_fields(CALL))
    assert "secret" not in shown and "answer" not in shown and "desk" not in shown


def test_a_call_takes_one_line_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    access, warning = lines(capsys, log_format="short", access_log=True)
    assert access[8:].split() == ["specialist", "12", "ms", "200", "live", "r1"] and len(access) <= 80
    assert warning.endswith("call dpz-2: down")


class _Stuck:
    """A terminal that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.go, self.written = threading.Event(), ""

    def write(self, text: str) -> int:
        assert self.go.wait(10)
        self.written += text
        return len(text)

    def flush(self) -> None:
        pass


def test_a_terminal_that_is_stuck_holds_no_call_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = _Stuck()
    monkeypatch.setattr("sys.stderr", stuck)
    monkeypatch.setattr("deputize.gateway.gateway_log._WAITING_LINES", 5)
    set_up_log(GatewaySettings(access_log=True, log_format="short"))
    with calls_written_by_a_thread():
        for _ in range(50):
            log_call(CALL)  # neither waits nor fails, though no line can be written and the queue is full
        assert stuck.written == ""
        stuck.go.set()
    assert 5 <= stuck.written.count("r1") <= 6
    assert logging.getLogger(ACCESS).handlers == []


def test_without_lines_for_calls_there_is_no_thread() -> None:
    set_up_log(GatewaySettings())
    with calls_written_by_a_thread():
        assert logging.getLogger(ACCESS).handlers == []
