"""The gateway's paths."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput
from deputize.gateway.paths import (
    ENDPOINTS,
    MODELS,
    OTHER,
    canonical_path,
    endpoint_at,
    error_dialect,
    meant_path,
)
from deputize.wire.registry import CHAT, MESSAGES


def test_paths_are_found() -> None:
    for path, endpoint in ENDPOINTS.items():
        assert endpoint_at(path) is endpoint
    assert endpoint_at(f"{MODELS}/gpt-4o") is ENDPOINTS[MODELS]
    assert endpoint_at("/nothing") is None and endpoint_at("/v1/deputize/nothing") is None


def test_every_other_path_under_v1_is_an_upstreams() -> None:
    for path in ("/v1/completions", "/v1/responses/resp_1/cancel", "/v1/files/f/content", "/v1/anything"):
        assert endpoint_at(path) == OTHER
    batches = endpoint_at("/v1/messages/batches")
    assert batches is not None and batches.dialect is MESSAGES and batches.right is OTHER.right


@pytest.mark.parametrize(
    ("given", "path", "model"),
    [
        ("/openai/deployments/gpt-4o/chat/completions", "/v1/chat/completions", "gpt-4o"),
        ("/openai/deployments/a%20b/embeddings", "/v1/embeddings", "a b"),
        ("/openai/v1/responses", "/v1/responses", ""),
        ("/openai/responses", "/v1/responses", ""),
        ("http://127.0.0.1:8790/v1/messages", "/v1/messages", ""),
        ("/healthz", "/healthz", ""),
    ],
)
def test_addresses_of_other_shapes(given: str, path: str, model: str) -> None:
    assert canonical_path(given, "127.0.0.1:8790") == (path, model)
    assert canonical_path("http://other/v1/models", "127.0.0.1:8790")[0] == "http://other/v1/models"


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
