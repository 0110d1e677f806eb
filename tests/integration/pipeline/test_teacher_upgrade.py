"""An LLM behind a route is replaced by its next snapshot: noticed by its name and by audits, the route closed, a
successor certified.

The answers are gpt-4's of March and June 2023 to the same 1,506 survey questions (drift_opinionqa_prime; what the
agent parses out of the reply stands for it). Gateway, audits, conversion and certificates are real; the upstream
gives the recorded answers.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import openai
import pytest
from tests import tiny_model
from tests.integration.gateway.upstream import LoopbackUpstream, completion, loopback_upstream
from tests.integration.pipeline.test_certified_is_served import InProcess

from deputize.core.config import Convert
from deputize.core.records import Call, Route
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home
from deputize.maintenance.retention import retain
from deputize.pipeline.conversion import convert
from deputize.router.policy import decide, plan
from deputize.router.table import RouteTable
from deputize.routes_file import read_routes
from deputize.store.access.roles import owner

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "drift_opinionqa_prime.jsonl.gz"
OLD, NEW = "gpt-4-0314", "gpt-4-0613"
EPSILON, AUDITED = 0.3, 0.25
"""A survey: a linear model gives gpt-4's answer to three questions of five, so nothing smaller can be certified."""
N_BY_NAME = 100

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def answers(model: str) -> dict[str, str]:
    """Question -> what the agent read out of the model's reply; "none" where it names no option."""
    out = {}
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["task_label"] == "opinionqa" and row["model"] == model:
                out[str(row["messages"][-1]["content"])] = str(row["answer"] or "none")
    return out


def log_of(said: dict[str, str]) -> list[Call]:
    return [
        Call(
            id=f"old{i}",
            messages=[{"role": "user", "content": question}],
            response={"role": "assistant", "content": answer},
            episode=f"survey{i}",
            agent="survey",
            audience="code",
            origin=f"o{i}",
            model=OLD,
            cost_usd=0.002,
            timestamp=1.7e9 + i,
        )
        for i, (question, answer) in enumerate(said.items())
    ]


async def asked(path: Path, upstream: LoopbackUpstream, questions: list[str], model: str) -> list[str]:
    """Who answered each question."""
    settings = settings_for(path, upstream.base_url).model_copy(
        update={"audit_share": AUDITED, "route_poll_s": 0.05}
    )
    async with (
        running_gateway(path, settings=settings, specialists=InProcess(path)) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        out = []
        for n, question in enumerate(questions):
            raw = await client.chat.completions.with_raw_response.create(
                model=model,
                messages=[{"role": "user", "content": question}],
                extra_headers={
                    "x-deputize-agent": "survey",
                    "x-deputize-audience": "code",
                    "x-deputize-origin": f"again{n}",
                },
            )
            out.append(raw.headers["x-deputize-served-by"])
        return out


def in_force(path: Path) -> Route | None:
    routes = read_routes(path / "routes.json").routes
    return next((r for r in routes if r.state == "live"), None)


def true_loss(path: Path, route: Route, said: dict[str, str]) -> tuple[float, float]:
    """(share served, share of all questions served with another answer than the LLM's), those trained on included."""
    specialists, table = InProcess(path), RouteTable.build(read_routes(path / "routes.json"))
    served = wrong = 0
    for question, answer in said.items():
        call = Call(
            id="x", messages=[{"role": "user", "content": question}], response={}, agent="survey", model=NEW
        )
        matched = table.match(call.request()).route
        if matched is None:
            continue
        prediction = specialists.predict_now(route.specialist, call.request())
        if decide(plan(matched), prediction).served_by == "slm":
            served += 1
            wrong += prediction.answer != answer
    return served / len(said), wrong / len(said)


@pytest.mark.skipif(
    not DATA.exists(), reason="the recorded logs lie next to the repository, in ../shared/data"
)
async def test_a_teacher_upgrade_is_noticed_its_route_closed_and_a_successor_certified(
    tmp_path: Path,
) -> None:
    before, after = answers(OLD), answers(NEW)
    tiny_model.installed(tmp_path / "models", tmp_path)
    path = tmp_path / "home"
    path.mkdir()
    (path / "config.toml").write_text('[routes]\nstart = "live"\n')
    config = Convert(models=(tiny_model.NAME,), methods=("linear",), epsilon=EPSILON)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
        with Home(path) as home:
            home.store.append(log_of(before))
            (task,) = convert(home, config)["tasks"]
        first = in_force(path)
        assert first is not None, task["refusal_reason"]
        share, loss = true_loss(path, first, before)
        assert loss <= EPSILON < true_loss(path, first, after)[1]

        async with loopback_upstream() as upstream:
            upstream.script = lambda seen: completion(after[seen.json["messages"][-1]["content"]])
            questions = list(after)
            by_name = await asked(path, upstream, questions[:N_BY_NAME], NEW)
            assert set(by_name) == {"llm"}, "a model that calibration did not see"
            served = await asked(path, upstream, questions, OLD)
        (entry,) = [e for e in Home(path).audit.entries() if e.action == "route.rollback"]
        assert entry.actor == "gateway" and 10 <= int(entry.detail["audits"]) <= 250
        assert read_routes(path / "routes.json").routes[0].state == "rolled_back"
        assert served[-200:] == ["llm"] * 200

        with Home(path) as home:
            reasons = {c.decision.reason for c in home.store.calls() if c.decision and c.model == NEW}
            (task,) = convert(home, config)["tasks"]
        assert "model" in reasons and reasons <= {"model", "prompt_changed"}, reasons
        # by its own test on both teachers' calls, or because those from before say nothing of the new one: both are
        # right
        assert task["certificate"] is None and (
            "calls from before say nothing of it" in task["refusal_reason"]
            or "served calls differed from the LLM" in task["refusal_reason"]
        )
        assert in_force(path) is None

        # the answers of the old snapshot, two years old here, leave the store
        (path / "config.toml").write_text('[routes]\nstart = "live"\n[retention]\n"*" = 365\n')
        with Home(path) as home:
            deleted, _ = retain(home, owner(), home.retention(), note=lambda said: None)
            assert deleted["default"] == len(before)
            tasks = convert(home, config)["tasks"]
        second = in_force(path)
        assert second is not None, [t["refusal_reason"] for t in tasks]
        share, loss = true_loss(path, second, after)
        assert loss <= EPSILON and share > 0.3
