"""Notes of calls that take a while."""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter

from tests.unit.gateway.stubs import ListRecorder, context, exchange

from deputize.gateway.call_intents import INTENT_AFTER_S, CallIntents


async def test_only_calls_that_take_a_while_are_noted() -> None:
    recorder = ListRecorder()
    intents = CallIntents(recorder, perf_counter)
    quick, slow = exchange(), exchange(context=context(id="slow", agent="desk"))
    for asked in (quick, slow):
        intents.watch(asked)
    quick.settled = True
    await asyncio.sleep(INTENT_AFTER_S * 4)
    assert [(i.id, i.agent, i.model) for i in recorder.intents] == [("slow", "desk", "m")]
    await asyncio.sleep(INTENT_AFTER_S * 3)
    assert len(recorder.intents) == 1, "noted once"


async def test_a_call_that_has_ended_is_let_go_at_once() -> None:
    recorder = ListRecorder()
    intents = CallIntents(recorder, perf_counter)
    ended, slow = exchange(), exchange(context=context(id="slow"))
    before = sys.getrefcount(ended)
    for asked in (ended, slow):
        intents.watch(asked)
    intents.ended(ended)
    assert sys.getrefcount(ended) == before, "its messages leave the memory with it"
    await asyncio.sleep(INTENT_AFTER_S * 4)
    assert [i.id for i in recorder.intents] == ["slow"]


async def test_a_note_of_a_call_without_texts_does_not_name_its_run() -> None:
    recorder = ListRecorder()
    intents = CallIntents(recorder, perf_counter)
    intents.watch(exchange(context=context(id="a", episode="run of Mia", record="metadata")))
    await asyncio.sleep(INTENT_AFTER_S * 4)
    assert [(i.id, i.episode) for i in recorder.intents] == [("a", "")]
