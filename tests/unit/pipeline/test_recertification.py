"""What a route becomes with the certificate of another engine; the whole is in test_certified_is_served.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from tests.unit.gateway.stubs import live_route

from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.pipeline.recertification import on_engine, recertify


@pytest.mark.parametrize(
    ("state", "becomes"),
    [("live", "shadow"), ("canary", "shadow"), ("rolled_back", "shadow"), ("closed", "closed")],
)
def test_a_route_begins_again_with_the_new_certificate(state: str, becomes: str) -> None:
    route = live_route(state=state)
    assert route.certificate is not None
    certificate = structs.replace(route.certificate, id="new", threshold=0.75, engine="llamacpp f16")
    now = on_engine(route, certificate)
    assert (now.state, now.threshold, now.certificate) == (becomes, 0.75, certificate)


def test_without_a_certificate_or_a_run_there_is_nothing_to_measure(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        with pytest.raises(BadInput, match="no certificate"):
            recertify(home, live_route(certificate=None))
        with pytest.raises(BadInput, match="There is no run"):
            recertify(home, live_route(specialist="runs/0009/specialists/x"))
