"""A SIMULATED agent whose tools, or reply schemas, differ from call to call: from its log to answers of a live gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import openai
import pytest
from msgspec import structs
from tests import tiny_model
from tests.integration.gateway.upstream import loopback_upstream
from tests.integration.pipeline.test_certified_is_served import InProcess
from tests.simulated_lists import TOOLS, call_of, schema_call, tool

from deputize.core.artifacts import Discovered
from deputize.core.config import Convert
from deputize.core.records import Call, Route
from deputize.core.task_results import Evaluated
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home
from deputize.pipeline.certificate_check import check_certificate, summary_of
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import Run, latest_run, read_state
from deputize.routes_file import read_routes

pytestmark = pytest.mark.timeout(900)

SEEN, N_CALLS = TOOLS[:18], 240


def converted(folder: Path, calls: Sequence[Call]) -> Path:
    """A home with the routes of a log."""
    path = folder / "home"
    tiny_model.installed(folder / "models", folder)
    path.mkdir()
    (path / "config.toml").write_text('[routes]\nstart = "live"\n')
    with pytest.MonkeyPatch.context() as patch, Home(path) as home:
        patch.setenv("DEPUTIZE_MODELS", str(folder / "models"))
        home.store.append(calls)
        convert(home, Convert(models=(tiny_model.NAME,), methods=("listed",), epsilon=0.1))
    return path


def route_of(path: Path) -> Route:
    """The one route of a home, or why there is none."""
    with Home(path) as home:
        run = Run(home, read_state(home, latest_run(home) or ""))
        tasks, results = run.load("cluster", Discovered).tasks, run.load("evaluate", Evaluated).results
    assert len(tasks) == 1, [t.name for t in tasks]
    assert results[0].certificate is not None, results[0].refusal_reason
    (route,) = read_routes(path / "routes.json").routes
    assert route.contract.from_request and all("find_" not in key for key in route.keys)
    return route


async def answered(path: Path, calls: Sequence[Call]) -> list[tuple[str, dict[str, Any]]]:
    """(reason, message) of each call, asked once more through a gateway."""
    with Home(path) as home:
        known = {c.id for c in home.store.calls()}
    async with loopback_upstream() as upstream:
        settings = settings_for(path, upstream.base_url).model_copy(update={"audit_share": 0.0})
        async with (
            running_gateway(path, settings=settings, specialists=InProcess(path)) as base_url,
            openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="sk-client", max_retries=0) as client,
        ):
            for n, call in enumerate(calls):
                asked: dict[str, Any] = {"model": call.model, "messages": call.messages}
                asked |= {"tools": call.tools} if call.tools else {"response_format": call.response_format}
                headers = {"x-deputize-agent": call.agent, "x-deputize-episode": f"again-{n}"}
                await client.chat.completions.create(**asked, extra_headers=headers)
    with Home(path) as home:
        made = {c.episode: c for c in home.store.calls() if c.id not in known}
    found = [made[f"again-{n}"] for n in range(len(calls))]
    return [(c.decision.reason if c.decision is not None else "", c.response) for c in found]


@pytest.fixture(scope="module")
def seen_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(tmp_path_factory.mktemp("seen"), [call_of(i, SEEN) for i in range(N_CALLS)])


async def test_new_lists_of_known_tools_are_served_and_unknown_tools_are_the_llms(seen_only: Path) -> None:
    route = route_of(seen_only)
    assert route.task_name.startswith("call a tool from the list given")
    assert route.certificate is not None and route.certificate.limits.listed is not None
    assert "were in training as they stand; others go to the LLM" in route.certificate.claim
    with Home(seen_only) as home:
        checked = check_certificate(home, route)
        assert checked.is_equal, summary_of(checked)
    fresh = [call_of(i, SEEN) for i in range(5000, 5012) if i % 6]
    live = await answered(seen_only, fresh)
    served = [
        (call, message) for call, (reason, message) in zip(fresh, live, strict=True) if reason == "live"
    ]
    assert len(served) >= len(fresh) / 2, [reason for reason, _ in live]
    for call, message in served:
        (made,), (told,) = message["tool_calls"], call.response["tool_calls"]
        listed = {t["function"]["name"]: t["function"]["parameters"] for t in call.tools or ()}
        jsonschema.validate(json.loads(made["function"]["arguments"]), listed[made["function"]["name"]])
        assert made["function"]["name"] == told["function"]["name"]
    unknown = structs.replace(fresh[0], tools=[*(fresh[0].tools or []), tool("sell", "boat")])
    changed = structs.replace(fresh[0], tools=[tool(*SEEN[0], note=" Now faster."), *(fresh[0].tools or [])])
    other_choice = await answered(seen_only, [unknown, changed, structs.replace(fresh[0], tools=[])])
    assert [reason for reason, _ in other_choice[:2]] == ["listed", "listed"]


@pytest.mark.slow
async def test_tools_that_change_with_time_are_certified_for_unseen_ones_and_served(tmp_path: Path) -> None:
    """Calibration is newer than training: most of its calls list a tool that training did not have."""
    calls = [call_of(i, TOOLS[i // 20 : i // 20 + 24]) for i in range(1200)]
    path = converted(tmp_path, calls)
    route = route_of(path)
    assert route.certificate is not None and route.certificate.limits.listed is None
    assert route.certificate.n_unseen >= 31 and "that were not in training" in route.certificate.claim
    # a description that no list had makes each of them a tool that was not in training
    fresh = [call_of(i, TOOLS[:24]) for i in (7001, 7003, 7004, 7005, 7007, 7009, 7010)]
    for call in fresh:
        for one in call.tools or ():
            one["function"]["description"] += " In its new form."
    live = await answered(path, fresh)
    assert sum(reason == "live" for reason, _ in live) >= 3, [reason for reason, _ in live]
    assert "listed" not in {reason for reason, _ in live}


@pytest.mark.slow
async def test_reply_schemas_that_vary_are_filled_in(tmp_path: Path) -> None:
    path = converted(tmp_path, [schema_call(i) for i in range(900)])
    route = route_of(path)
    assert route.task_name.startswith("fill in the schema given") and route.certificate is not None
    # two or three fields out of eight, and a title: hardly a schema comes twice
    assert route.certificate.limits.listed is None and route.certificate.n_unseen >= 31
    fresh = [schema_call(i) for i in range(2000, 2012)]
    live = await answered(path, fresh)
    served = [(c, m) for c, (reason, m) in zip(fresh, live, strict=True) if reason == "live"]
    assert len(served) >= len(fresh) / 2, [reason for reason, _ in live]
    for call, message in served:
        assert json.loads(message["content"]) == json.loads(call.response["content"])
