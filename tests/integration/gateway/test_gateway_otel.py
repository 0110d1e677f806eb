"""Spans and metrics of a real gateway, as a receiver of OTLP gets them."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.integration.gateway.specialists import InMemorySpecialists, publish, route_for, saying
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.core.records import Contract, Request
from deputize.gateway.child_process import start_gateway_process
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import OtelSettings, settings_for

MESSAGES: list[Any] = [{"role": "user", "content": "SECRET-PROMPT. Answer rain or sun."}]
OTHERS: list[Any] = [
    {"role": "system", "content": "SECRET-SYSTEM"},
    {"role": "user", "content": "SECRET-TEXT"},
]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRETS = ("SECRET", "sk-client-key", "desk-agent", "order-17", "anna@example.com")


class Receiver:
    """A receiver of OTLP over HTTP on loopback."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                bodies.append((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def spans(self) -> list[Any]:
        requests = [
            ExportTraceServiceRequest.FromString(b) for path, b in self.bodies if path == "/v1/traces"
        ]
        return [s for r in requests for rs in r.resource_spans for sc in rs.scope_spans for s in sc.spans]

    def metric_names(self) -> set[str]:
        requests = [
            ExportMetricsServiceRequest.FromString(b) for path, b in self.bodies if path == "/v1/metrics"
        ]
        return {
            m.name
            for r in requests
            for rm in r.resource_metrics
            for sm in rm.scope_metrics
            for m in sm.metrics
        }

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def told(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


async def ask(base_url: str, messages: list[Any], **headers: str) -> None:
    sent = {
        "authorization": "Bearer sk-client-key",
        "x-deputize-agent": "desk-agent",
        "x-deputize-episode": "order-17",
        "x-deputize-origin": "anna@example.com",
        **headers,
    }
    body = {"model": "gpt-4o", "messages": messages, "temperature": 0.5}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base_url}/v1/chat/completions", json=body, headers=sent) as reply,
    ):
        assert reply.status == 200, await reply.text()


@pytest.mark.parametrize("content", [False, True])
async def test_a_served_call_and_one_of_the_llm(
    home: Path, upstream: LoopbackUpstream, receiver: Receiver, content: bool
) -> None:
    upstream.answer_with(completion("SECRET-ANSWER"))
    publish(home, route_for(Request(messages=MESSAGES), Contract(kind="label", labels=["rain", "sun"])))
    otel = OtelSettings(enabled=True, endpoint=receiver.url, content=content)
    settings = settings_for(home, upstream.base_url).model_copy(update={"audit_share": 0.0, "otel": otel})
    specialists = InMemorySpecialists(saying("sun"))
    async with running_gateway(home, settings=settings, specialists=specialists) as base_url:
        await ask(base_url, MESSAGES, **{"x-deputize-route": "slm"})
        await ask(base_url, OTHERS, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="vendor=1")
        await ask(base_url, OTHERS, traceparent=f"00-{TRACE}-{PARENT}-00")
        await ask(base_url, OTHERS, **{"x-deputize-record": "off"})
        await ask(base_url, OTHERS, **{"x-deputize-record": "metadata"})
    served, llm, metadata = receiver.spans()
    assert (told(served)["deputize.served_by"], told(served)["deputize.route.id"]) == ("slm", "route-1")
    assert told(served)["deputize.task"] == "intent" and told(served)["gen_ai.provider.name"] == "deputize"
    assert told(llm)["deputize.served_by"] == "llm" and told(llm)["gen_ai.provider.name"] == "openai"
    assert llm.name == "chat gpt-4o" and told(llm)["gen_ai.usage.input_tokens"] > 0
    assert (llm.trace_id.hex(), llm.parent_span_id.hex()) == (TRACE, PARENT)
    assert llm.end_time_unix_nano > llm.start_time_unix_nano
    seen = upstream.seen[0].headers
    assert seen["traceparent"] == f"00-{TRACE}-{llm.span_id.hex()}-01" and seen["tracestate"] == "vendor=1"
    assert receiver.metric_names() == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
    everything = b"".join(body for _, body in receiver.bodies).decode("latin-1")
    texts = [word for word in SECRETS if word in everything]
    assert texts == (["SECRET", "desk-agent", "order-17"] if content else [])
    assert "SECRET" not in str(metadata), "its texts are kept nowhere"


async def test_a_gateway_process_exports_where_the_environment_says(
    home: Path, upstream: LoopbackUpstream, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop-gateway")
    upstream.answer_with(completion())
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text("[gateway.otel]\nenabled = true\n")
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url) as gateway:
        await ask(gateway.base_url, OTHERS)
    assert len(receiver.spans()) == 1, gateway.log_path.read_text()
    (request, *_) = [
        ExportTraceServiceRequest.FromString(b) for path, b in receiver.bodies if path == "/v1/traces"
    ]
    assert "shop-gateway" in str(request.resource_spans[0].resource)


async def test_nobody_who_receives_is_no_harm(home: Path, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(completion())
    settings = settings_for(home, upstream.base_url)
    settings = settings.model_copy(update={"otel": OtelSettings(enabled=True, endpoint="http://127.0.0.1:9")})
    began = asyncio.get_running_loop().time()
    async with running_gateway(home, settings=settings) as base_url:
        await ask(base_url, OTHERS)
    assert asyncio.get_running_loop().time() - began < 30.0


async def test_without_it_the_trace_of_a_request_goes_on_as_it_came(
    gateway: str, upstream: LoopbackUpstream
) -> None:
    upstream.answer_with(completion())
    await ask(gateway, OTHERS, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="vendor=1")
    assert upstream.seen[0].headers["traceparent"] == f"00-{TRACE}-{PARENT}-01"
    assert upstream.seen[0].headers["tracestate"] == "vendor=1"
