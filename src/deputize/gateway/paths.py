"""The gateway's paths: the right each needs, the method it takes, and the form of its errors."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from deputize.core.errors import BadInput
from deputize.store.access.roles import Right
from deputize.wire.dialect import Dialect
from deputize.wire.registry import ALL_DIALECTS, CHAT, MESSAGES


class Endpoint(NamedTuple):
    """The facts about a path that hold before its request is read."""

    path: str
    right: Right | None
    """None: everybody may ask."""
    method: str = ""
    """The only method it takes; "": any."""
    dialect: Dialect = CHAT
    """The form of its errors."""


COUNT_TOKENS = f"{MESSAGES.path}/count_tokens"
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"
FEEDBACK = "/v1/deputize/feedback"
TRACES = "/v1/traces"
METRICS = "/metrics"
HEALTH = "/healthz"
READY = "/readyz"
ROOT = "/"
UI = "/ui"

ENDPOINTS: dict[str, Endpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        *(Endpoint(dialect.path, Right.WRITE_CALLS, "POST", dialect) for dialect in ALL_DIALECTS),
        Endpoint(COUNT_TOKENS, Right.WRITE_CALLS, "POST", MESSAGES),
        Endpoint(EMBEDDINGS, Right.WRITE_CALLS, "POST"),
        Endpoint(MODELS, Right.WRITE_CALLS, "GET"),
        Endpoint(FEEDBACK, Right.WRITE_FEEDBACK, "POST"),
        Endpoint(TRACES, Right.WRITE_CALLS, "POST"),
        Endpoint(METRICS, Right.SEE_STATUS),
        Endpoint(HEALTH, None),
        Endpoint(READY, None),
        Endpoint(ROOT, None, "GET"),
        Endpoint(UI, None),
    )
}
"""Path -> its endpoint."""
OTHER = Endpoint("/v1/*", Right.WRITE_CALLS)
"""Every other path under /v1, which is an upstream's."""
_AZURE = re.compile(r"/openai(?:/v1|/deployments/(?P<model>[^/]+))?(?P<rest>/.+)")


_CLIMBS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)|[\\\x00-\x20\x7f]")


def endpoint_at(bare: str) -> Endpoint | None:
    """The endpoint at a path without its query, None where there is none.

    Raises:
        BadInput: a path that climbs to another one on the way to an upstream.
    """
    found = ENDPOINTS.get(bare)
    if found is not None:
        return found
    plain = unquote(bare, errors="replace")
    if _CLIMBS.search(plain) or _CLIMBS.search(unquote(plain)) or "//" in bare:
        raise BadInput("The path is not one of the gateway's.")
    if bare.startswith(f"{UI}/"):
        return ENDPOINTS[UI]
    if bare.startswith(f"{MODELS}/"):
        return ENDPOINTS[MODELS]
    if not bare.startswith("/v1/") or bare.startswith(f"{_OURS}/") or meant_path(bare):
        return None
    return OTHER._replace(dialect=MESSAGES) if bare.startswith(f"{MESSAGES.path}/") else OTHER


_OURS = "/v1/deputize"


def canonical_path(bare: str, host: str = "") -> tuple[str, str]:
    """The path under /v1 that an address stands for, and the model that it names ("": none): Azure's clients ask at
    /openai/deployments/MODEL, and clients of proxies name the whole address, whose host must be the one of the
    header."""
    scheme, found, rest = bare.partition("://")
    named, _, inner = rest.partition("/")
    if found and scheme in ("http", "https") and named == host:  # a target in absolute form
        bare = f"/{inner}"
    azure = _AZURE.fullmatch(bare) if bare.startswith("/openai/") else None
    if azure is None:
        return bare, ""
    return f"/v1{azure['rest']}", unquote(azure["model"] or "")


def meant_path(bare: str) -> str:
    """The path that a base address with a part too much or too little stands for; "" where none is known."""
    bare = "/" + "/".join(part for part in bare.split("/") if part)
    for meant in (bare, bare.removeprefix("/v1"), f"/v1{bare}"):
        if meant in ENDPOINTS and meant != ROOT:
            return meant
    return ""


def error_dialect(bare: str) -> Dialect:
    """The form in which errors at a path are reported, whether or not there is anything at it."""
    endpoint = ENDPOINTS.get(bare)
    if endpoint is not None:
        return endpoint.dialect
    return MESSAGES if bare.startswith(MESSAGES.path) else CHAT
