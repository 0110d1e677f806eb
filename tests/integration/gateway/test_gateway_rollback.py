"""A specialist that goes bad under the real gateway: its route is closed by the gateway itself, in every worker, for
good."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import openai
import pytest
from tests.integration.gateway.specialists import CERTIFICATE, InMemorySpecialists, publish, route_for
from tests.integration.gateway.upstream import Act, LoopbackUpstream, Seen, completion

from deputize.core.judging import JudgeEvidence
from deputize.core.records import Call, Contract, Prediction, Request, RouteFile, RouteState
from deputize.core.text_measures import TextMeasure
from deputize.gateway.evidence_file import read_evidence
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home
from deputize.routes_file import read_routes
from deputize.testing.scripted_llm import ScriptedUpstream, running

Recorded = Callable[[int], list[Call]]
SYSTEM = {"role": "system", "content": "Say the intent."}
LABELS = Contract(kind="label", labels=["lost_card", "transfer"])
REQUEST = Request(messages=[SYSTEM, {"role": "user", "content": "my card is gone"}])
KEY = ("route-1", "runs/0001/specialists/task-1-linear")

WORKER = """
import asyncio, sys
from pathlib import Path
from tests.integration.gateway.specialists import InMemorySpecialists, saying
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for

async def main():
    home, upstream = Path(sys.argv[1]), sys.argv[2]
    settings = settings_for(home, upstream).model_copy(update={"route_poll_s": 0.05, "audit_share": 0.0})
    async with running_gateway(home, settings=settings, specialists=InMemorySpecialists(saying("lost_card"))) as url:
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


def repeats(file: RouteFile) -> RouteFile:
    certificate = msgspec.structs.replace(CERTIFICATE, kind="not_worse_than_repeats")
    return msgspec.structs.replace(
        file, routes=[msgspec.structs.replace(r, certificate=certificate) for r in file.routes]
    )


class GoesBad:
    """A specialist that is right until told, then wrong on half of the calls."""

    def __init__(self) -> None:
        self.bad, self._rng = False, random.Random(1)

    def __call__(self, request: Request) -> Prediction:
        wrong = self.bad and self._rng.random() < 0.5
        return Prediction(
            answer="transfer" if wrong else "lost_card",
            confidence=0.99,
            n_prompt_tokens=7,
            n_output_tokens=1,
        )


@asynccontextmanager
async def gateway(home: Path, upstream: LoopbackUpstream, specialist: GoesBad) -> AsyncIterator[str]:
    settings = settings_for(home, upstream.base_url).model_copy(update={"audit_share": 1.0})
    async with running_gateway(home, settings=settings, specialists=InMemorySpecialists(specialist)) as url:
        yield url


@asynccontextmanager
async def other_worker(home: Path, upstream: LoopbackUpstream) -> AsyncIterator[str]:
    """Another process that serves the same home."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WORKER,
        str(home),
        upstream.base_url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.write(b"\n")
        await process.wait()


async def served_by(base_url: str) -> str:
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client:
        raw = await client.chat.completions.with_raw_response.create(model="big", messages=REQUEST.messages)  # type: ignore[arg-type]
    return str(raw.headers["x-deputize-served-by"])


async def until_rolled_back(base_url: str, home: Path, limit: int) -> int:
    """Calls that are made, each audited before the next, until the LLM answers them."""
    for n in range(limit):
        if await served_by(base_url) == "llm":
            return n
        async with asyncio.timeout(10):
            while (e := read_evidence(home, None).get(KEY)) is None or e.n_due <= n:
                await asyncio.sleep(0.005)
    return limit


async def test_a_specialist_that_goes_bad_is_rolled_back_everywhere_and_for_good(
    home: Path, upstream: LoopbackUpstream
) -> None:
    publish(home, route_for(REQUEST, LABELS))
    upstream.answer_with(completion("lost_card"))
    specialist = GoesBad()
    async with other_worker(home, upstream) as other:
        async with gateway(home, upstream, specialist) as first:
            assert await served_by(other) == "slm"
            assert await until_rolled_back(first, home, 30) == 30
        before = read_evidence(home, None)[KEY]
        assert before.state is not None and (before.state.n_audits, before.n_missed) == (30, 0)
        specialist.bad = True
        async with gateway(home, upstream, specialist) as second:  # a restart keeps the evidence
            n = 30
            while await served_by(second) == "slm":
                n += 1
                async with asyncio.timeout(10):
                    while read_evidence(home, None)[KEY].n_due < n:
                        await asyncio.sleep(0.005)
                assert n < 80
        assert read_routes(home / "routes.json").routes[0].state == "rolled_back"
        after = read_evidence(home, None)[KEY].state
        assert after is not None and after.n_audits == n
        async with asyncio.timeout(10):
            while await served_by(other) == "slm":
                await asyncio.sleep(0.05)
        async with gateway(home, upstream, specialist) as third:
            assert await served_by(third) == "llm"
    entries = [e for e in Home(home).audit.entries() if e.action == "route.rollback"]
    assert [(e.subject, e.actor) for e in entries] == [("route-1", "gateway")]
    assert int(entries[0].detail["audits"]) in (n - 1, n)  # one more may be served while the route is closed


@pytest.mark.parametrize("claim", ["llm", "repeats"])
async def test_an_llm_that_changes_its_labels_is_seen(
    home: Path, upstream: LoopbackUpstream, claim: str
) -> None:
    """On half of the calls the LLM says a label that the contract does not know: within 100 audits the route is closed."""
    file = route_for(REQUEST, LABELS)
    publish(home, repeats(file) if claim == "repeats" else file)
    rng, said = random.Random(2), ""

    def answer(seen: Seen) -> Act:
        nonlocal said
        if claim == "llm" or not said:
            said = "chargeback" if rng.random() < 0.5 else "lost_card"
            return completion(said)
        twice, said = said, ""
        return completion(twice)

    upstream.script = answer
    async with gateway(home, upstream, GoesBad()) as base_url:
        assert await until_rolled_back(base_url, home, 101) <= 100


async def test_a_sound_route_against_repeats_stays(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """The specialist differs from the LLM on a fifth of the calls, no more than the LLM from itself."""
    publish(home, repeats(route_for(REQUEST, LABELS)))
    rng = random.Random(3)
    upstream.script = lambda seen: completion("transfer" if rng.random() < 0.2 else "lost_card")
    async with gateway(home, upstream, GoesBad()) as base_url:
        assert await until_rolled_back(base_url, home, 80) == 80
        calls = await asyncio.to_thread(recorded, 240)
    evidence = read_evidence(home, None)[KEY]
    assert evidence.n_specialist_differed > 5 and evidence.n_llm_differed > 5
    reasons = [c.decision.reason for c in calls if c.decision]
    assert reasons.count("audit") == reasons.count("audit_repeat") == 80
    assert all(
        c.decision.repeat_agrees is not None and c.decision.audit_share == 1.0
        for c in calls
        if c.decision and c.decision.reason == "audit"
    )


def text_route(state: RouteState = "live") -> RouteFile:
    contract = Contract(kind="text", measure=TextMeasure(name="judge", level=1.0))
    certificate = msgspec.structs.replace(
        CERTIFICATE, kind="not_worse_by_judge", judge=JudgeEvidence(model="judge-1")
    )
    file = route_for(REQUEST, contract, state=state)
    return msgspec.structs.replace(
        file, routes=[msgspec.structs.replace(r, certificate=certificate) for r in file.routes]
    )


async def test_a_judged_route_is_watched_by_its_judge(home: Path, upstream: LoopbackUpstream) -> None:
    """No answer of the specialist is the LLM's to the letter: the judge (scripted, over HTTP) decides what an audit
    says."""
    verdict = "="
    async with running(ScriptedUpstream(lambda body: {"role": "assistant", "content": verdict})) as judge:
        home.mkdir()
        (home / "config.toml").write_text(f'[judge]\nbase_url = "{judge.url}"\nmodel = "judge-1"\n')
        publish(home, text_route())
        upstream.answer_with(completion("The card is lost."))
        async with gateway(home, upstream, GoesBad()) as base_url:
            assert await until_rolled_back(base_url, home, 40) == 40
            evidence = read_evidence(home, None)[KEY]
            assert (evidence.n_audits, evidence.n_specialist_differed, evidence.n_missed) == (40, 0, 0)
            assert judge.n_requests == 80, "both orders"
            verdict = "not sure"
            await served_by(base_url)
            async with asyncio.timeout(10):
                while read_evidence(home, None)[KEY].n_missed < 1:
                    await asyncio.sleep(0.005)
            verdict = "1"
            while await served_by(base_url) == "slm":
                await asyncio.sleep(0.01)
                assert read_evidence(home, None)[KEY].n_audits < 120
    assert read_routes(home / "routes.json").routes[0].state == "rolled_back"


async def test_without_its_judge_the_audits_of_a_judged_route_fail(
    home: Path, upstream: LoopbackUpstream
) -> None:
    publish(home, text_route())
    upstream.answer_with(completion("The card is lost."))
    async with gateway(home, upstream, GoesBad()) as base_url:
        assert await until_rolled_back(base_url, home, 5) == 5
    evidence = read_evidence(home, None)[KEY]
    assert (evidence.n_audits, evidence.n_missed, evidence.n_due) == (0, 5, 5)


async def test_another_judge_than_that_of_the_certificate_is_not_asked(
    home: Path, upstream: LoopbackUpstream
) -> None:
    async with running(ScriptedUpstream(lambda body: {"role": "assistant", "content": "="})) as judge:
        home.mkdir()
        (home / "config.toml").write_text(f'[judge]\nbase_url = "{judge.url}"\nmodel = "judge-2"\n')
        publish(home, text_route())
        upstream.answer_with(completion("The card is lost."))
        async with gateway(home, upstream, GoesBad()) as base_url:
            assert await until_rolled_back(base_url, home, 5) == 5
    evidence = read_evidence(home, None)[KEY]
    assert (evidence.n_audits, evidence.n_missed, judge.n_requests) == (0, 5, 0)


async def test_a_specialist_in_shadow_is_judged_too(home: Path, upstream: LoopbackUpstream) -> None:
    async with running(ScriptedUpstream(lambda body: {"role": "assistant", "content": "="})) as judge:
        home.mkdir()
        (home / "config.toml").write_text(f'[judge]\nbase_url = "{judge.url}"\nmodel = "judge-1"\n')
        publish(home, text_route("shadow"))
        upstream.answer_with(completion("The card is lost."))
        async with gateway(home, upstream, GoesBad()) as base_url:
            for n in range(1, 6):
                assert await served_by(base_url) == "llm"
                async with asyncio.timeout(10):
                    while (e := read_evidence(home, None).get(KEY)) is None or e.n_audits < n:
                        await asyncio.sleep(0.005)
    assert read_evidence(home, None)[KEY].n_specialist_differed == 0 and judge.n_requests == 10
