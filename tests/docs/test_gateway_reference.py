"""The page of the gateway's settings says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from deputize.core.config import RouteSettings
from deputize.gateway.metrics import MAX_COUNTER_SERIES, MAX_HISTOGRAM_SERIES, METRICS
from deputize.gateway.settings import GatewaySettings, OtelSettings
from deputize.upstreams.failover import RetryConfig
from deputize.upstreams.upstream_config import UpstreamConfig

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "gateway.md").read_text("utf-8")
GUIDE = (ROOT / "docs" / "guides" / "gateway.md").read_text("utf-8")
LIFE = (ROOT / "docs" / "guides" / "life-of-a-route.md").read_text("utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE + GUIDE, re.DOTALL | re.MULTILINE)
SHOWN: dict[str, Any] = tomllib.loads(BLOCKS[0])["gateway"]
ROUTES = tomllib.loads(re.findall(r"^```toml\n(.*?)^```", LIFE, re.DOTALL | re.MULTILINE)[0])["routes"]


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (GatewaySettings, SHOWN),
        (RetryConfig, SHOWN["retry"]),
        (OtelSettings, SHOWN["otel"]),
        (UpstreamConfig, SHOWN["upstreams"][0]),
        (RouteSettings, ROUTES),
    ],
    ids=["gateway", "retry", "otel", "upstreams", "routes"],
)
def test_every_setting_is_shown_with_its_default(model: type[BaseModel], shown: dict[str, Any]) -> None:
    for name, field in model.model_fields.items():
        if name in ("retry", "otel", "upstreams"):  # tables of their own
            continue
        default = field.get_default(call_default_factory=True)
        if default is None:  # TOML has no word for that
            assert re.search(rf"^# {name} = ", BLOCKS[0], re.MULTILINE), f"{name} is not documented"
        else:
            assert name in shown, f"{name} is not documented"
            given = tuple(shown[name]) if isinstance(shown[name], list) else shown[name]
            assert field.is_required() or given == default, f"{name} is not {shown[name]!r} by default"


def test_what_is_shown_can_be_used() -> None:
    for block in BLOCKS:
        GatewaySettings.model_validate(tomllib.loads(block)["gateway"])


def test_every_counter_and_header_is_named() -> None:
    for name, info in METRICS.items():
        labels = ", ".join(f"`{label}`" for label in info.labels)
        assert f"| `{name}` | {info.kind} | {labels} | {info.help} |" in PAGE, f"{name} is not documented"
    assert (
        f"{MAX_COUNTER_SERIES} label sets of a counter" in PAGE
        and f"{MAX_HISTOGRAM_SERIES} of a histogram" in PAGE
    )
    source = "".join(p.read_text("utf-8") for p in (ROOT / "src/deputize/gateway").rglob("*.py"))
    for header in sorted(set(re.findall(r'"(x-deputize-[a-z-]+[a-z])"', source))):
        assert f"`{header}`" in PAGE, f"{header} is not documented"
