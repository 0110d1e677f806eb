"""The gateway's paths."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput
from deputize.gateway.paths import ENDPOINTS, MODELS, endpoint_at, error_dialect, meant_path
from deputize.wire.registry import CHAT, MESSAGES


def test_paths_are_found() -> None:
    for path, endpoint in ENDPOINTS.items():
        assert endpoint_at(path) is endpoint
    assert endpoint_at(f"{MODELS}/gpt-4o") is ENDPOINTS[MODELS]
    assert endpoint_at("/v1/nothing") is None


def test_names_with_a_slash_are_written_as_clients_write_them() -> None:
    assert endpoint_at(f"{MODELS}/org%2Fmodel") is ENDPOINTS[MODELS]


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/messages", "/v1/messages"),
        ("//v1/messages/", "/v1/messages"),
        ("/nothing", ""),
    ],
)
def test_a_path_with_a_part_too_much_or_too_little_gets_a_hint(path: str, meant: str) -> None:
    assert meant_path(path) == meant


@pytest.mark.parametrize(
    "path",
    ["/v1/models/../files", "/v1//models", "/v1/models/%2e%2e", "/v1/models/%252e%252e", "/v1/models/a%0ab"],
)
def test_paths_that_climb_are_refused(path: str) -> None:
    with pytest.raises(BadInput):
        endpoint_at(path)


def test_errors_have_the_form_that_clients_of_the_path_know() -> None:
    assert error_dialect("/v1/messages/count_tokens") is MESSAGES
    assert error_dialect("/v1/messages/batches") is MESSAGES
    assert error_dialect("/nothing") is CHAT
