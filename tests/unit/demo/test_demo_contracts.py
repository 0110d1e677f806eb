"""The contracts that discovery infers of the simulated help desk's replies."""

from __future__ import annotations

from deputize.core.contracts import answer_of, message_of
from deputize.core.records import Contract, Example, PromptRecipe, Request, Task
from deputize.demo import teacher, traffic, world
from deputize.demo.agent import Seen
from deputize.stages.cluster.output_contract import infer_contract
from deputize.stages.select.reply_comparability import not_comparable
from deputize.testing.scripted_llm import ScriptedUpstream, running

N = 60


def examples_of(seen: list[Seen]) -> list[Example]:
    return [
        Example(
            call_id=f"c{i}",
            request=Request(messages=one.messages, tools=one.tools),
            response=one.response,
            audience="code" if one.response.get("tool_calls") or one.site != "next_action" else "human",
            site=one.site,
            episode=one.episode,
            group=one.episode,
            split="validation" if int(one.episode[-1], 36) % 4 == 0 else "train",
        )
        for i, one in enumerate(seen)
    ]


async def test_every_reply_of_the_help_desk_is_compared_and_served_whole() -> None:
    async with running(ScriptedUpstream(teacher.script(0), model=teacher.MODEL)) as upstream:
        tickets = [world.ticket(0, i) for i in range(N)]
        log = examples_of(await traffic.run_episodes(upstream.url + "/v1", tickets, feedback=False))
    kinds: dict[str, object] = {}
    for site in ("triage", "extract", "policy_check", "case_line", "follow_up", "next_action"):
        mine = [e for e in log if e.site == site]
        contract = infer_contract(mine, log=log)
        kinds[site] = contract.kind if contract.kind != "json" else [f.type for f in contract.fields]
        task = Task(id=site, name=site, contract=contract, recipe=PromptRecipe(), keys=[])
        assert contract.uncompared == [] and not_comparable(task, [e.response for e in mine]) == ""
        served = [e for e in mine if e.audience == "code"]
        assert len(served) >= N
        for example in served:
            assert said(example, contract) == example.response.get("content")
    assert kinds == {
        "triage": ["label", "label"],
        "extract": ["value"] * 4,
        "policy_check": "label",
        "case_line": "text",
        "follow_up": "text",
        "next_action": "tool_call",
    }


def said(example: Example, contract: Contract) -> object:
    answer = answer_of(example.response, contract)
    return message_of(answer, contract, ["c1"])["content"]
