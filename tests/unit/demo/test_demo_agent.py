"""The simulated agent against its teacher: both agency modes, all six sites, every answer what it should be."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from dataclasses import replace as changed

import pytest

from deputize.core.contracts import parse_json_object, text_of
from deputize.core.errors import UpstreamError
from deputize.core.records import Contract
from deputize.demo import prompts, replay, teacher, traffic, world
from deputize.demo.agent import Seen
from deputize.demo.processes import teacher_process
from deputize.scoring.costs import load_prices
from deputize.testing import always, failing
from deputize.testing.scripted_llm import ScriptedUpstream, ScriptError, count_tokens, running

N = 24


@pytest.fixture
async def seen() -> list[Seen]:
    async with running(ScriptedUpstream(teacher.script(0), model=teacher.MODEL)) as upstream:
        tickets = [world.ticket(0, i) for i in range(N)]
        return await traffic.run_episodes(upstream.url + "/v1", tickets, feedback=False)


async def test_six_sites_and_two_modes(seen: list[Seen]) -> None:
    sites = Counter(s.site for s in seen)
    assert sites == {
        "triage": N,
        "extract": N,
        "policy_check": N,
        "case_line": N,
        "reply": N // 2,
        "next_action": 2 * N,
    }
    tickets = [world.ticket_in(0, text_of(s.messages[1])) for s in seen if s.site == "next_action"]
    by_mode = Counter(ticket and ticket.mode for ticket in tickets)
    assert by_mode == {"code": N // 2, "model": 3 * N // 2}


async def test_the_teacher_says_what_is_true(seen: list[Seen]) -> None:
    for one in seen:
        ticket = world.ticket(0, int(one.episode.split("-T-")[1]) - world.FIRST_TICKET)
        said = text_of(one.response)
        if one.site == "triage":
            assert parse_json_object(said) == {"intent": ticket.intent, "urgency": ticket.urgency}
        elif one.site == "extract":
            parsed = parse_json_object(said)
            assert parsed is not None and parsed["order_id"] == ticket.order_id
        elif one.site == "policy_check":
            assert said == ("yes" if ticket.allowed else "no")
        elif one.site == "case_line":
            assert said.startswith(f"{ticket.intent} | {ticket.product} | order {ticket.order_id} | policy ")
    called = Counter(c["function"]["name"] for s in seen for c in s.response.get("tool_calls", ()))
    assert called["lookup_order"] == N // 2
    assert set(called) <= {t["function"]["name"] for t in prompts.TOOLS}
    assert sum(called.values()) == N + N // 2


async def test_tool_arguments_keep_to_the_schema(seen: list[Seen]) -> None:
    schemas = {t["function"]["name"]: t["function"]["parameters"] for t in prompts.TOOLS}
    for one in seen:
        for call in one.response.get("tool_calls", ()):
            schema = schemas[call["function"]["name"]]
            arguments = json.loads(call["function"]["arguments"])
            assert list(arguments) == schema["required"]
            for name, value in arguments.items():
                assert value in schema["properties"][name].get("enum", [value])


async def test_templates_are_long_and_the_same_for_every_call(seen: list[Seen]) -> None:
    for site in ("triage", "policy_check", "next_action", "case_line", "reply"):
        systems = {text_of(s.messages[0]) for s in seen if s.site == site}
        assert len(systems) == 1
        assert 300 <= count_tokens(systems.pop()) <= 800
    assert 300 <= count_tokens(prompts.EXTRACT_HEAD + prompts.EXTRACT_TAIL) <= 800


def test_the_teacher_refuses_what_it_does_not_play() -> None:
    answer = teacher.script(0)
    for messages in (
        [],
        [{"role": "user", "content": "hello"}],
        [{"role": "system", "content": prompts.INTENT}, {"role": "user", "content": "no number"}],
    ):
        with pytest.raises(ScriptError):
            answer({"messages": messages})


async def test_noise_makes_the_teacher_wrong_now_and_then_but_always_alike(seen: list[Seen]) -> None:
    noisy = teacher.script(0, noise=0.3)
    triage = [s for s in seen if s.site == "triage"]
    twice = [[text_of(noisy({"messages": s.messages})) for s in triage] for _ in range(2)]
    assert twice[0] == twice[1]
    assert 0 < sum(a != text_of(s.response) for a, s in zip(twice[0], triage, strict=True)) < N


async def test_an_upstream_that_fails_is_a_sentence() -> None:
    async with running(ScriptedUpstream(failing(500))) as upstream:
        with pytest.raises(UpstreamError, match="no answer from"):
            await traffic.run_episodes(upstream.url + "/v1", [world.ticket(0, 0)], feedback=False)


async def test_answers_that_make_no_sense_do_not_stop_the_agent() -> None:
    async with running(ScriptedUpstream(always("{nonsense"))) as upstream:
        tickets = [world.ticket(0, i) for i in range(4)]
        seen = await traffic.run_episodes(upstream.url + "/v1", tickets, feedback=False)
    assert {s.site for s in seen} >= {"triage", "extract", "next_action", "reply"}


async def test_so_many_calls_and_no_more() -> None:
    async with running(ScriptedUpstream(teacher.script(0))) as upstream:
        tickets = [world.ticket(0, i) for i in range(50)]
        told: list[tuple[int, int | None]] = []
        seen = await traffic.run_episodes(
            upstream.url + "/v1",
            tickets,
            feedback=False,
            max_calls=40,
            progress=lambda _, done, total=None: told.append((done, total)),
        )
    assert len(seen) == 40
    assert told[-1] == (40, 40)


def test_the_teacher_runs_as_a_process_of_its_own() -> None:
    with (
        teacher_process(0, latency_scale=0.0) as url,
        urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer,
    ):
        assert json.load(answer)["status"] == "ok"


async def test_the_replay_counts_servers_agreement_and_cost(seen: list[Seen]) -> None:
    contract = Contract(kind="label", labels=["yes", "no"])
    checks = [s for s in seen if s.site == "policy_check"][:10]
    served = [_served(s, i) for i, s in enumerate(checks)]
    others = [s for s in seen if s.site == "triage"][:10]
    got = replay.score(
        [*served, *others], teacher.script(0), {"r1": contract}, load_prices(), "gpt-4o", n_cores=2
    )
    assert got["n_calls"] == 20
    assert got["by_server"]["slm"]["n_calls"] == 10
    assert got["by_server"]["slm"]["agreement"] == 0.9
    assert got["by_server"]["llm"]["agreement"] == 1.0
    assert got["by_site"]["policy_check"] == {"n_calls": 10, "n_slm": 10, "n_disagree": 1}
    assert got["disagreements"][0]["site"] == "policy_check"
    assert got["cost"]["routed_usd"] > 0 and got["cost"]["llm_only_usd"] > 0


def _served(one: Seen, index: int) -> Seen:
    turned = {"yes": "no", "no": "yes"}[text_of(one.response)]
    response = {"role": "assistant", "content": turned} if index == 0 else one.response
    return changed(one, served_by="slm", route="r1", response=response, latency_ms=5.0)
