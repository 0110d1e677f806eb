"""Headers that the gateway sends on, to an upstream and back to the client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deputize.http.headers import HOP_BY_HOP, Headers

_NOT_SENT_ON = HOP_BY_HOP | {"accept-encoding", "content-encoding"}
_NOT_SENT_BACK = HOP_BY_HOP | {"date", "server", "set-cookie", "set-cookie2", "clear-site-data", "alt-svc"}
_NOT_SENT_BACK_STARTS = ("x-deputize-", "access-control-", "strict-transport-security", "public-key-pins")
"""They would speak for the gateway's own origin."""
_OUR_KEY = "dpk_"
_OURS = "x-deputize-"
_CREDENTIALS = frozenset(
    {
        *("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"),
        *("openai-organization", "openai-project", "x-goog-user-project"),
    }
)
"""The last three say which account of a key's owner pays and keeps what is sent: with the gateway's key that is not a
caller's to say."""


def forward_request_headers(headers: Mapping[str, str], *, keep_authorization: bool) -> Headers:
    """The client's headers as the upstream gets them: all but hop-by-hop headers and the gateway's own.

    The gateway reads the answer too, so it asks for it uncompressed; it has unpacked the request already.

    Args:
        headers: lower-case names.
        keep_authorization: False removes the client's credentials, where the upstream has a key of its own.
    """
    # a key of this gateway is never sent to an upstream, whatever header it is in
    kept = [
        (k, v)
        for k, v in headers.items()
        if k not in _NOT_SENT_ON and _OUR_KEY not in v and not k.startswith(_OURS)
    ]
    connection = headers.get("connection")
    if connection is not None and connection.lower() != "keep-alive":
        named = {name.strip().lower() for name in connection.split(",")}
        kept = [(k, v) for k, v in kept if k not in named]
    if not keep_authorization:
        kept = [(k, v) for k, v in kept if k not in _CREDENTIALS]
    kept.append(("accept-encoding", "identity"))
    return kept


def forward_query(query: str) -> str:
    """The query of a request, from its question mark on, as the upstream gets it: without a key of this gateway."""
    if _OUR_KEY not in query:
        return query
    kept = [part for part in query.removeprefix("?").split("&") if _OUR_KEY not in part]
    return "?" + "&".join(kept) if kept else ""


def forward_answer_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """The upstream's headers as the client gets them; names in lower case."""
    out: Headers = []
    for name, value in headers:
        low = name.lower()
        if low not in _NOT_SENT_BACK and not low.startswith(_NOT_SENT_BACK_STARTS):
            out.append((low, value))
    return out


_PASSED = ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id")
_PASSED_STARTS = ("x-ratelimit-", "anthropic-ratelimit-")


def passed_headers(headers: Headers) -> Headers:
    """The headers that are sent back with translated answers too: of limits, advice on retries, and the request's
    id."""
    out = [(k, v) for k, v in headers if k in _PASSED or k.startswith(_PASSED_STARTS)]
    named = any(k == "x-request-id" for k, _ in out)
    return out if named else [*out, *(("x-request-id", v) for k, v in headers if k == "request-id")]
