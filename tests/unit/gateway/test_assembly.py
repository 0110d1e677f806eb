"""The parts of a running gateway."""

from __future__ import annotations

from pathlib import Path

from tests.unit.gateway.stubs import CALL, OURS

from deputize.gateway.assembly import RunningGateway
from deputize.gateway.settings import GatewaySettings
from deputize.home import Home
from deputize.upstreams.upstream_config import UpstreamConfig


async def test_it_starts_answers_records_and_stops(tmp_path: Path) -> None:
    settings = GatewaySettings.model_validate(
        {
            "upstreams": [UpstreamConfig(base_url="http://127.0.0.1:9/v1")],
            "retry": {"attempts": 1},
            "http_client": "aiohttp",
        }
    )
    running = RunningGateway(tmp_path, settings)
    gateway = await running.start()
    assert (await gateway("GET", "/healthz", {}, b"")).status == 200
    reply = await gateway("POST", "/v1/chat/completions", OURS, CALL)
    assert reply.status == 502 and isinstance(reply.body, bytes) and b"cannot be reached" in reply.body
    assert running.metrics.value("deputize_upstream_events_total", event="failure") == 1
    await running.stop()
    assert not gateway.ready


async def test_a_worker_that_is_started_again_goes_on_with_the_settings_in_force(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[recording]\ndefault = "metadata"\n')
    home = Home(tmp_path)
    home.note_keys_used()
    home.api_keys.create("ingest")
    (tmp_path / "config.toml").write_text('[recording]\ndefault = "full"\n[privacy]\nlive = "mask"\n')
    upstream = UpstreamConfig(base_url="http://127.0.0.1:9/v1")
    running = RunningGateway(tmp_path, GatewaySettings(upstreams=(upstream,), http_client="aiohttp"))
    gateway = await running.start()
    assert gateway._recording.default == "metadata" and running._masker is None
    await running.stop()
