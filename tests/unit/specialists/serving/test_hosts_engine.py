"""Which host is asked, and what becomes of one that fails: over real sockets, with workers that say what a test sets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.scripted_hosts import Answer, ScriptedHost, says, scripted_host

from deputize.core.config import ServingSettings
from deputize.core.errors import UpstreamError, UpstreamTimeout
from deputize.core.records import Prediction, Request
from deputize.specialists.serving.base import EngineFailure, OtherEngine, ServedVersion, StillLoading
from deputize.specialists.serving.frames import PredictReply
from deputize.specialists.serving.hosts_engine import HostsEngine, addresses_of
from deputize.specialists.serving.remote_host import LOST_IN_ROW

SECRET = b"s" * 32
VERSIONS = {"a": ServedVersion("card-a", frozenset({"f32"})), "b": ServedVersion("card-b")}
REQUEST = Request(messages=[{"role": "user", "content": "x"}])


@asynccontextmanager
async def hosts_that(
    tmp_path: Path, *answers: Answer, hedge_ms: float = 0.0, secret: bytes = SECRET
) -> AsyncIterator[tuple[HostsEngine, list[ScriptedHost], Counter[str]]]:
    """An engine over hosts; one for each answer."""
    events: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(scripted_host(tmp_path / str(n), secret, VERSIONS, answer))
            for n, answer in enumerate(answers)
        ]
        settings = ServingSettings(
            hosts=tuple(h.address for h in hosts), check_s=0.1, check_timeout_s=0.5, hedge_ms=hedge_ms
        )
        engine = HostsEngine(
            settings, SECRET, lambda: VERSIONS, on_event=lambda what, where: events.update([what])
        )
        await engine.start()
        try:
            yield engine, hosts, events
        finally:
            await engine.stop()


async def hangs(specialist: str, request: Request) -> PredictReply:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits so long")


def fails_first(error: Exception, answer: Answer) -> Answer:
    asked = [0]

    async def answer_(specialist: str, request: Request) -> PredictReply:
        asked[0] += 1
        if asked[0] == 1:
            raise error
        return await answer(specialist, request)

    return answer_


async def test_an_answer_comes_as_the_host_gave_it(tmp_path: Path) -> None:
    async with hosts_that(tmp_path, says("x", "card-a", "f32")) as (engine, _, _):
        found = await engine.predict("a", REQUEST, 5.0)
    assert (found.answer, found.confidence, found.engine) == ("x", 0.9, "f32")


async def test_a_specialist_has_a_host_of_its_own_while_that_has_little_to_do(tmp_path: Path) -> None:
    good = says("x", "card-a")
    async with hosts_that(tmp_path, good, good, good) as (engine, hosts, _):
        for _ in range(6):
            await engine.predict("a", REQUEST, 5.0)
        assert sorted(host.worker.asked for host in hosts) == [0, 0, 6], "else each would have to load it"
        await asyncio.gather(*(engine.predict("a", REQUEST, 5.0) for _ in range(9)))
        assert all(host.worker.asked >= 3 for host in hosts)


async def test_another_host_is_asked_where_one_has_lost_its_worker(tmp_path: Path) -> None:
    lost = fails_first(UpstreamError("the local engine went away"), says("x", "card-a"))
    async with hosts_that(tmp_path, lost, lost) as (engine, hosts, events):
        assert (await engine.predict("a", REQUEST, 5.0)).answer == "x"
        assert [host.worker.asked for host in hosts] == [1, 1] and events["retried"] == 1


async def test_no_more_than_two_hosts_are_asked_the_same(tmp_path: Path) -> None:
    async def ends(specialist: str, request: Request) -> PredictReply:
        raise UpstreamError("the local engine went away")

    async with hosts_that(tmp_path, ends, ends, ends, ends) as (engine, hosts, _):
        with pytest.raises(UpstreamError):
            await engine.predict("a", REQUEST, 5.0)
        assert sum(host.worker.asked for host in hosts) == 2, "a poisonous request would end them all"


async def test_no_third_host_is_asked_where_the_second_is_slow_and_hedging_is_on(tmp_path: Path) -> None:
    n_asked = [0]

    async def ends_later(specialist: str, request: Request) -> PredictReply:
        n_asked[0] += 1
        if n_asked[0] > 1:
            await asyncio.sleep(0.2)
        raise UpstreamError("the local engine went away")

    async with hosts_that(tmp_path, *[ends_later] * 4, hedge_ms=20.0) as (engine, _, events):
        with pytest.raises(UpstreamError):
            await engine.predict("a", REQUEST, 5.0)
    assert n_asked[0] == 2 and not events["hedged"], "a poisonous request would end the third one too"


@pytest.mark.parametrize(
    "wrong",
    [
        Prediction(answer="x", confidence=7.0, engine="f32"),
        Prediction(answer="x", confidence=float("nan"), engine="f32"),
        Prediction(answer="x", confidence=float("inf"), engine="f32"),
        Prediction(answer="x", confidence=0.9, engine="f32", n_prompt_tokens=-5),
        Prediction(answer="x", confidence=0.9, engine="f32", n_output_tokens=2**62),
    ],
)
async def test_numbers_that_no_prediction_has_are_no_answer(tmp_path: Path, wrong: Prediction) -> None:
    async def says_wrong(specialist: str, request: Request) -> PredictReply:
        return PredictReply(id=1, prediction=wrong, card_sha256="card-a")

    async with hosts_that(tmp_path, says_wrong) as (engine, _, _):
        with pytest.raises(EngineFailure, match="cannot be right"):
            await engine.predict("a", REQUEST, 5.0)


async def test_a_host_that_hangs_costs_no_more_than_the_time_that_is_left(tmp_path: Path) -> None:
    async with hosts_that(tmp_path, hangs) as (engine, _, _):
        began = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamTimeout):
            await engine.predict("a", REQUEST, 0.2)
        assert asyncio.get_running_loop().time() - began < 2.0


async def test_a_host_that_lets_questions_go_unanswered_is_asked_after_the_others(tmp_path: Path) -> None:
    """It says that it is well, and with one call at a time it always has the least to do."""
    async with hosts_that(tmp_path, hangs, says("x", "card-a", "f32")) as (engine, _, _):
        n_late = 0
        for _ in range(12):
            try:
                assert (await engine.predict("a", REQUEST, 0.5)).answer == "x"
            except UpstreamTimeout:
                n_late += 1
                await asyncio.sleep(0.3)  # looked at, and well
        assert n_late <= 1


async def test_a_specialist_that_never_answers_in_time_rests_and_keeps_no_call_waiting(
    tmp_path: Path,
) -> None:
    async with hosts_that(tmp_path, hangs) as (engine, hosts, events):
        for _ in range(LOST_IN_ROW):
            with pytest.raises(UpstreamTimeout):
                await engine.predict("a", REQUEST, 0.3)
        began = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamError, match="no host is well"):
            await engine.predict("a", REQUEST, 0.3)
        assert asyncio.get_running_loop().time() - began < 0.2, "the LLM is asked at once"
        assert events["rested"] == 1 and engine.hosts[0].serves("b", "card-b"), "others are asked as before"
        hosts[0].worker.answer = says("x", "card-a", "f32")
        async with asyncio.timeout(10):
            while not engine.hosts[0].serves("a", "card-a"):
                await asyncio.sleep(0.05)
        assert (await engine.predict("a", REQUEST, 5.0)).answer == "x"
        assert not engine.hosts[0].is_lost("a")


@pytest.mark.parametrize(
    "wrong", [says("x", "another card", "f32"), says("x", "card-a", "f16")], ids=["card", "engine"]
)
async def test_another_version_or_engine_is_refused_and_not_asked_again(
    tmp_path: Path, wrong: Answer
) -> None:
    async with hosts_that(tmp_path, wrong) as (engine, hosts, events):
        with pytest.raises(OtherEngine):
            await engine.predict("a", REQUEST, 5.0)
        with pytest.raises(UpstreamError, match="no host is well"):
            await engine.predict("a", REQUEST, 5.0)
        assert hosts[0].worker.asked == 1 and events["refused"] == 1


async def test_a_host_whose_routes_name_another_version_is_not_asked(tmp_path: Path) -> None:
    behind = {"a": ServedVersion("an older card")}
    async with scripted_host(tmp_path, SECRET, behind, says("x", "an older card")) as host:
        engine = HostsEngine(ServingSettings(hosts=(host.address,)), SECRET, lambda: VERSIONS)
        await engine.start()
        with pytest.raises(UpstreamError):
            await engine.predict("a", REQUEST, 5.0)
        await engine.stop()
        assert host.worker.asked == 0


async def test_without_the_pinned_card_of_a_route_nothing_is_asked(tmp_path: Path) -> None:
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as host:
        engine = HostsEngine(ServingSettings(hosts=(host.address,)), SECRET, lambda: {"a": ServedVersion("")})
        await engine.start()
        for name in ("a", "there-is-none"):
            with pytest.raises(EngineFailure, match="no route says"):
                await engine.predict(name, REQUEST, 5.0)
        await engine.stop()


async def test_a_host_with_other_keys_is_left_out_and_learns_nothing(tmp_path: Path) -> None:
    async with hosts_that(tmp_path, says("x", "card-a"), secret=b"o" * 32) as (engine, hosts, events):
        with pytest.raises(UpstreamError):
            await engine.predict("a", REQUEST, 5.0)
        assert hosts[0].worker.asked == 0 and hosts[0].denied and events["left_out"] == 1


async def test_a_second_host_answers_where_the_first_is_slow_and_hedging_is_on(tmp_path: Path) -> None:
    async with hosts_that(tmp_path, hangs, hangs, hedge_ms=30.0) as (engine, hosts, events):
        slow = next(iter(engine.hosts)).address  # whichever comes first, the other one answers
        with pytest.raises(UpstreamTimeout):
            await engine.predict("a", REQUEST, 0.3)
        first = next(h for h in hosts if h.worker.asked)
        assert slow and events["hedged"] == 1
        for host in hosts:
            if host is not first:
                host.worker.answer = says("quick", "card-a")
        await asyncio.sleep(0.3)
        found = [await engine.predict("a", REQUEST, 5.0) for _ in range(2)]
        assert [one.answer for one in found] == ["quick", "quick"]


async def test_without_hedging_one_host_is_asked(tmp_path: Path) -> None:
    async with hosts_that(tmp_path, hangs, hangs) as (engine, hosts, events):
        with pytest.raises(UpstreamTimeout):
            await engine.predict("a", REQUEST, 0.3)
        assert sorted(host.worker.asked for host in hosts) == [0, 1] and not events["hedged"]


async def test_a_host_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as host:
        address, port = host.address, int(host.address.rpartition(":")[2])
    events: Counter[str] = Counter()
    engine = HostsEngine(
        ServingSettings(hosts=(address,), check_s=0.1),
        SECRET,
        lambda: VERSIONS,
        on_event=lambda what, where: events.update([what]),
    )
    await engine.start()
    try:
        with pytest.raises(UpstreamError):
            await engine.predict("a", REQUEST, 5.0)
        async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a"), port=port):
            async with asyncio.timeout(10):
                while not events["taken_back"]:
                    await asyncio.sleep(0.02)
            assert (await engine.predict("a", REQUEST, 5.0)).answer == "x"
    finally:
        await engine.stop()
    assert events["left_out"] == 1, "it is said once, not at every look"


async def test_while_every_host_loads_its_specialists_that_is_what_is_said(tmp_path: Path) -> None:
    good = says("x", "card-a")
    async with hosts_that(tmp_path, good, good) as (engine, hosts, _):
        for host in hosts:
            host.worker.loads = True
        async with asyncio.timeout(10):
            while any(host.is_well for host in engine.hosts):
                await asyncio.sleep(0.02)
        with pytest.raises(StillLoading, match="loads a in the version"):
            await engine.predict("a", REQUEST, 5.0)
        assert not sum(host.worker.asked for host in hosts)
        hosts[0].worker.there = False  # its worker is gone; the other one loads
        with pytest.raises(StillLoading):
            await engine.predict("a", REQUEST, 5.0)
        hosts[1].worker.there = False
        async with asyncio.timeout(10):
            while any(host.is_loading("a", "card-a") for host in engine.hosts):
                await asyncio.sleep(0.02)
        with pytest.raises(UpstreamError, match="no host is well"):
            await engine.predict("a", REQUEST, 5.0)


async def test_a_name_is_as_many_hosts_as_it_has_addresses() -> None:
    assert await addresses_of("http://127.0.0.1:8795") == {"http://127.0.0.1:8795"}
    assert await addresses_of("https://hosts.example") == {"https://hosts.example"}
    assert "http://127.0.0.1:8795" in await addresses_of("http://localhost:8795")
    with pytest.raises((OSError, UnicodeError)):
        await addresses_of("http://there-is-no.invalid")
