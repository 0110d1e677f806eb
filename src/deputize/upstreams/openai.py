"""What is particular to servers that speak OpenAI's protocol: how a request is authorised."""

from __future__ import annotations


def authorise(headers: list[tuple[str, str]], key: str) -> list[tuple[str, str]]:
    """The headers with the upstream's own key in place of whatever credentials were there."""
    kept = [(k, v) for k, v in headers if k not in ("authorization", "x-api-key")]
    return [*kept, ("authorization", f"Bearer {key}")]
