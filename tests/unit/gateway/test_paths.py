"""The gateway's paths."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput
from deputize.gateway.paths import ENDPOINTS, MODELS, endpoint_at, error_dialect
from deputize.wire.registry import CHAT, MESSAGES


def test_paths_are_found() -> None:
    for path, endpoint in ENDPOINTS.items():
        assert endpoint_at(path) is endpoint
    assert endpoint_at(f"{MODELS}/gpt-4o") is ENDPOINTS[MODELS]
    assert endpoint_at("/v1/nothing") is None


@pytest.mark.parametrize("path", ["/v1/models/../files", "/v1//models", "/v1/models/%2e%2e"])
def test_paths_that_climb_are_refused(path: str) -> None:
    with pytest.raises(BadInput):
        endpoint_at(path)


def test_errors_have_the_form_that_clients_of_the_path_know() -> None:
    assert error_dialect("/v1/messages/count_tokens") is MESSAGES
    assert error_dialect("/v1/messages/batches") is MESSAGES
    assert error_dialect("/nothing") is CHAT
