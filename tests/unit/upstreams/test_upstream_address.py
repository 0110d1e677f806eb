"""Base addresses of every shape."""

from __future__ import annotations

import pytest

from deputize.upstreams.upstream_address import UpstreamAddress

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("base", "asked_at"),
    [
        ("https://h", "https://h/v1/chat/completions"),
        ("https://h/v1/", "https://h/v1/chat/completions"),
        ("https://h//v1", "https://h/v1/chat/completions"),
        ("https://h/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/chat/completions", "https://h/chat/completions"),
        ("https://h/v1beta/openai/", "https://h/v1beta/openai/chat/completions"),
        ("https://h/api/paas/v4", "https://h/api/paas/v4/chat/completions"),
        ("https://h/api/v3", "https://h/api/v3/chat/completions"),
        ("https://h/inference", "https://h/inference/chat/completions"),
        (
            "https://h/openai/deployments/gpt-4o?api-version=2024-10-21",
            "https://h/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        ),
        (
            "https://h/openai/deployments/{model}?api-version=1",
            "https://h/openai/deployments/a%2Fb/chat/completions?api-version=1",
        ),
    ],
)
def test_the_server_is_asked_where_its_address_says(base: str, asked_at: str) -> None:
    assert UpstreamAddress(base).url(CHAT, "a/b") == asked_at


@pytest.mark.parametrize(
    ("base", "asked_at"),
    [
        ("https://h", "https://h/v1/messages"),
        ("https://h/v1", "https://h/v1/messages"),
        ("https://h/api/anthropic", "https://h/api/anthropic/v1/messages"),
        ("https://h/v1/messages", "https://h/v1/messages"),
    ],
)
def test_addresses_of_anthropics_protocol(base: str, asked_at: str) -> None:
    assert UpstreamAddress(base, anthropic=True).url("/v1/messages") == asked_at


def test_a_version_path_can_be_set() -> None:
    assert UpstreamAddress("https://h", version="").url(CHAT) == "https://h/chat/completions"
    assert UpstreamAddress("https://h/llm", version="/v2").url(CHAT) == "https://h/llm/v2/chat/completions"


def test_queries_are_joined_and_the_servers_own_parameters_win() -> None:
    address = UpstreamAddress("https://h/v1?api-version=2")
    assert address.url(f"{CHAT}?a=1&api-version=1") == "https://h/v1/chat/completions?a=1&api-version=2"


def test_azure_is_known_by_its_path_or_host() -> None:
    classic = UpstreamAddress("http://127.0.0.1/openai/deployments/x")
    assert classic.is_azure and classic.has_deployments
    assert UpstreamAddress("https://r.openai.azure.com/openai/v1").is_azure
    assert not UpstreamAddress("https://r.example/openai/v1").is_azure
