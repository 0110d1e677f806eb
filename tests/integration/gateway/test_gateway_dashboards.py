"""The dashboard and the alert rules ask for what a gateway shows."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import openai
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.gateway.specialists import InMemorySpecialists, publish, route_for, saying
from tests.integration.gateway.upstream import LoopbackUpstream, Stream, Whole, completion, text_stream

from deputize.core.errors import DeputizeError
from deputize.core.records import Contract, Prediction, Request
from deputize.gateway.addresses import free_port
from deputize.gateway.launch import running_gateway
from deputize.gateway.metrics import METRICS
from deputize.gateway.settings import GatewaySettings
from deputize.upstreams.failover import RetryConfig
from deputize.upstreams.upstream_config import UpstreamConfig

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "deputize.json").read_text("utf-8"))
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text("utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {
    **{f"panel {p['title']}": [t["expr"] for t in p["targets"]] for p in PANELS},
    **{rule["alert"]: [rule["expr"]] for rule in ALERTS},
}
MESSAGES: list[Any] = [{"role": "user", "content": "Is it raining? Answer rain or sun."}]
OTHERS: list[Any] = [{"role": "system", "content": "Be a poet."}, {"role": "user", "content": "Write."}]


class Used(NamedTuple):
    """One metric as a query asks for it."""

    name: str
    equal: dict[str, str]
    """Labels that must have this value."""
    labels: frozenset[str]
    """Labels that are named."""


def used(query: str) -> Iterator[Used]:
    """The metrics of a query, each with the labels that it is selected and grouped by."""
    grouped = {
        label.strip() for names in re.findall(r"\bby \(([^)]*)\)", query) for label in names.split(",")
    }
    for name, selector in re.findall(r"\b(deputize_\w+)(?:\{([^}]*)\})?", query):
        matchers = re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', selector or "")
        equal = {label: value for label, how, value in matchers if how == "="}
        yield Used(name, equal, frozenset({label for label, _, _ in matchers} | grouped))


class Shown(NamedTuple):
    """What one scrape shows."""

    labels: dict[str, set[frozenset[str]]]
    """Name of a sample -> the sets of names of labels that it has."""
    values: dict[tuple[str, str], set[str]]
    """(name of a sample, label) -> its values."""


def shown(text: str) -> Shown:
    found = Shown({}, {})
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.labels.setdefault(sample.name, set()).add(frozenset(sample.labels))
            for label, value in sample.labels.items():
                found.values.setdefault((sample.name, label), set()).add(value)
    return found


class Specialist:
    """Answers as the LLM does, then differently, then fails."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, request: Request) -> Prediction:
        self.n += 1
        if self.n > 4:
            raise DeputizeError("the worker died")
        return saying("rain" if self.n <= 2 else "sun")(request)


@pytest.fixture
async def scraped(home: Path, upstream: LoopbackUpstream) -> Shown:
    """The metrics of a gateway that has served, audited, refused, failed over and been cut."""
    publish(home, route_for(Request(messages=MESSAGES), Contract(kind="label", labels=["rain", "sun"])))
    settings = GatewaySettings(
        upstreams=(
            UpstreamConfig(name="gone", base_url=f"http://127.0.0.1:{free_port()}"),
            UpstreamConfig(name="second", base_url=upstream.base_url),
        ),
        retry=RetryConfig(attempts=1, base_s=0.001, break_after=3, cooldown_s=60),
        audit_share=1.0,
    )
    upstream.answer_with(completion("rain"))
    async with (
        running_gateway(home, settings=settings, specialists=InMemorySpecialists(Specialist())) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
        aiohttp.ClientSession() as session,
    ):
        for _ in range(6):
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        await client.chat.completions.create(model="x" * 101, messages=OTHERS)  # no name of a model
        await asyncio.sleep(0.5)  # audits are made after the answer
        upstream.answer_with(Stream(text_stream("a", "b", wait_s=0.01)))
        streamed = await client.chat.completions.create(model="gpt-4o", messages=OTHERS, stream=True)
        assert [chunk async for chunk in streamed]
        upstream.answer_with(Stream(text_stream("a", "b")[:2], end="cut"))
        with pytest.raises(openai.APIError):
            streamed = await client.chat.completions.create(model="gpt-4o", messages=OTHERS, stream=True)
            assert [chunk async for chunk in streamed]
        upstream.answer_with(Whole(b"{}", status=500))
        with pytest.raises(openai.APIStatusError):
            await client.chat.completions.create(model="gpt-4o", messages=OTHERS)
        async with session.post(f"{base_url}/v1/chat/completions", json={}) as reply:
            assert reply.status == 400
        async with session.get(f"{base_url}/metrics") as reply:
            return shown(await reply.text())


async def test_every_query_asks_for_what_is_shown(scraped: Shown) -> None:
    for where, queries in QUERIES.items():
        for query in queries:
            found = list(used(query))
            assert found, f"{where} asks for no metric: {query}"
            for metric in found:
                sets = scraped.labels.get(metric.name)
                assert sets, f"{where}: {metric.name} is not shown"
                for labels in sets:
                    assert metric.labels <= labels, f"{where}: {metric.name} has {sorted(labels)}"
                for label, value in metric.equal.items():
                    assert value in scraped.values[metric.name, label], f"{where}: no {label}={value!r}"


async def test_every_sample_has_the_labels_that_are_documented(scraped: Shown) -> None:
    for name, sets in scraped.labels.items():
        base = re.sub(r"_(bucket|sum|count)$", "", name) if name not in METRICS else name
        for labels in sets:
            assert labels - {"le"} == set(METRICS[base].labels), name


def test_the_variables_of_the_dashboard_are_labels_of_calls() -> None:
    names = {v["name"] for v in DASHBOARD["templating"]["list"]}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["query"]["query"] == f"label_values(deputize_calls_total, {variable['name']})"
            assert variable["name"] in METRICS["deputize_calls_total"].labels
    text = json.dumps(DASHBOARD)
    asked = set(re.findall(r"\$\{?([a-z_]+)\}?", text)) - {"__rate_interval", "__all"}
    assert asked <= names | {"__rate_interval", "__all"}, asked


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        box = panel["gridPos"]
        cells = {
            (x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_alert_says_what_is_wrong_and_how_bad_it_is() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    guide = (DEPLOY.parent / "docs" / "guides" / "monitoring.md").read_text("utf-8")
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
        assert f"`{rule['alert']}`" in guide, f"{rule['alert']} is not documented"
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
        told = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert told <= grouped, f"{rule['alert']} names a label that it does not keep"


@pytest.mark.parametrize(
    "query",
    [
        "sum (rate(deputize_no_such_total[5m]))",
        'sum by (shop) (deputize_calls_total{served_by="llm"})',
        'deputize_calls_total{served_by="nobody"}',
    ],
)
async def test_a_query_for_something_else_is_found(scraped: Shown, query: str) -> None:
    (metric,) = used(query)
    sets = scraped.labels.get(metric.name, set())
    is_shown = bool(sets) and all(metric.labels <= labels for labels in sets)
    assert not is_shown or any(v not in scraped.values[metric.name, k] for k, v in metric.equal.items())
