"""Where an LLM server takes requests, from a base address in whichever of the usual shapes."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlsplit

_ENDPOINTS = re.compile(
    r"/(?:chat/completions|completions|responses|messages|embeddings|models)(?:/)?$", re.IGNORECASE
)
_SLASHES = re.compile(r"/{2,}")
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
MODEL = "{model}"
"""In a base address: the name of the model stands here."""


class UpstreamAddress:
    """Makes the addresses of a server's endpoints.

    An address without a path, and any of Anthropic's protocol, gets `/v1` put behind it; one that names an endpoint is
    taken by what stands before that; every other one is the root of the endpoints as it is.
    """

    def __init__(self, base_url: str, *, anthropic: bool = False, version: str | None = None) -> None:
        """
        Args:
            base_url: http or https.
            anthropic: clients of its protocol give the address without `/v1`.
            version: stands between the base address and an endpoint, such as /v1; "": nothing does; None: by the shape.
        """
        parts = urlsplit(base_url)
        path = _SLASHES.sub("/", parts.path).rstrip("/")
        bare = _ENDPOINTS.sub("", path)
        if version is None:
            names_version = bare.endswith("/v1") or bare != path
            version = "" if names_version or (bare and not anthropic) else "/v1"
        self._start = f"{parts.scheme}://{parts.netloc}{bare}{version}"
        self._query = parts.query
        self._names_model = MODEL in self._start
        host = (parts.hostname or "").lower()
        self.has_deployments = "/openai/deployments/" in bare
        """Azure's classic form: the path names the model."""
        self.is_azure = self.has_deployments or host.endswith(_AZURE_HOSTS)

    def url(self, path: str, model: str = "") -> str:
        """The address of an endpoint.

        Args:
            path: begins with /v1/ and may hold a query.
            model: the server's name of the model.
        """
        url = self._start + path[3:]
        if self._names_model:
            url = url.replace(MODEL, quote(model, safe=""))
        return _with_query(url, self._query) if self._query else url


def _with_query(url: str, query: str) -> str:
    """The address with the parameters of `query`, in place of others of the same name."""
    bare, _, own = url.partition("?")
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    kept = [part for part in own.split("&") if part and part.partition("=")[0] not in names]
    return f"{bare}?{'&'.join([*kept, query])}"
