"""`[gateway]` of HOME/config.toml: checked once at start, then passed by value."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deputize.core.config import AUDIT_SHARE, sentence
from deputize.core.errors import BadInput, UsageError
from deputize.home import Home
from deputize.scoring.monitor import AUDITS_PER_FALSE_ROLLBACK
from deputize.upstreams.failover import RetryConfig
from deputize.upstreams.upstream_config import UpstreamConfig

UPSTREAM_KEY_VARIABLE = "DEPUTIZE_UPSTREAM_API_KEY"


class OtelSettings(BaseModel):
    """Export of spans and metrics of calls by OpenTelemetry (OTLP/HTTP)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    """Spans and metrics of calls are exported; takes `pip install 'deputize[otel]'`."""
    endpoint: str = ""
    """Base URL of the receiver, such as http://collector:4318; empty: as OTEL_EXPORTER_OTLP_ENDPOINT and its like
    say."""
    service: str = "deputize"
    """service.name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another one."""
    content: bool = False
    """Prompts, answers, and the names that callers give to agents and runs, too: of calls that are kept in full."""
    sample_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the traces begun here that are exported; where a request has a traceparent, its flag decides."""


class GatewaySettings(BaseModel):
    """How the gateway behaves; every field has a sensible default but the upstreams."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    upstreams: tuple[UpstreamConfig, ...] = ()
    """In order of preference: the first that takes the model is asked first, the others are its fallbacks."""
    retry: RetryConfig = RetryConfig()
    otel: OtelSettings = OtelSettings()
    durability: Literal["strict", "synced", "relaxed"] = "strict"
    """When a call is safe. strict: before the last byte of its answer leaves, against kill -9; synced: against a power
    cut as well; relaxed: within `relaxed_window_ms`."""
    relaxed_window_ms: float = Field(default=200.0, gt=0)
    on_full: Literal["block", "spill"] = "spill"
    """When the store cannot take calls: hold answers back, or write an encrypted spill file."""
    spill_folder: str = ""
    """Where the spill file lies, best on another disk; empty: HOME/spill."""
    record_wait_s: float = Field(default=10.0, ge=0)
    """How long an answer is held back for its record before it is refused with 503."""
    max_body_mb: float = Field(default=32.0, gt=0)
    max_bodies_mb: float = Field(default=512.0, gt=0)
    """Bodies of all requests that are being read or answered, per process, with the values they are decoded to; more
    are told to come back (429). One API key gets at most four times what is left free."""
    max_header_kb: int = Field(default=32, ge=8)
    max_concurrency: int = Field(default=4000, ge=1)
    """Requests answered at once per process; more are told to come back (429). One API key gets at most four times what
    is left free."""
    max_connections: int = Field(default=20000, ge=128)
    header_timeout_s: float = Field(default=30.0, gt=0)
    """A client has this long to send its request head."""
    body_timeout_s: float = Field(default=60.0, gt=0)
    """A client has this long to send its body."""
    write_timeout_s: float = Field(default=120.0, gt=0)
    """A client with more than 64 KB waiting for it that does not make room within this time is let go."""
    idle_timeout_s: float = Field(default=300.0, gt=0)
    """A connection without a request is closed after this."""
    http_client: Literal["own", "aiohttp"] = "own"
    """What upstreams are asked through: our small HTTP/1.1 client, or aiohttp's. Either goes through the environment's
    proxies."""
    max_answer_mb: float = Field(default=256.0, gt=0)
    """An upstream answer beyond this is cut off."""
    log_format: Literal["text", "json", "short"] = "text"
    """Lines of the gateway's own log, on standard error. short: a call takes one line of a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: bool = False
    """A line in the log for each call: model, who answered and why, status, time, tokens; nothing of prompt or answer.
    On a terminal `deputize serve` writes them anyway, unless --quiet."""
    ui: bool = True
    """The live page at /ui, for people who sign in with an API key."""
    drain_s: float = Field(default=30.0, gt=0)
    """On SIGTERM, running answers may take this long."""
    ask_for_usage: bool = True
    """Ask the upstream for token counts in chat streams; the extra chunk is taken out where the client did not ask.
    False: the request body travels byte-exact and tokens are estimated."""
    specialist_timeout_s: float = Field(default=10.0, gt=0)
    shadow_wait_s: float = Field(default=1.0, ge=0)
    """How long a finished answer waits for the shadow's opinion before it is recorded without."""
    audit_share: float = Field(default=AUDIT_SHARE, ge=0, le=1)
    """The share of specialist-served calls that the LLM is asked as well, after the answer, to see whether it agrees.
    Each audit costs an LLM call, or two for a route certified against the LLM's own repeated samples, and is recorded
    as a call of its own with the reason "audit". With 0 no route is watched."""
    audits_per_false_rollback: float = Field(default=AUDITS_PER_FALSE_ROLLBACK, ge=100)
    """A route that keeps its promise is rolled back within n audits with probability at most n divided by this. A
    smaller number finds a bad route sooner."""
    route_poll_s: float = Field(default=0.5, gt=0)
    require_keys: Literal[True, "auto"] = "auto"
    """auto: API keys are required once there has been one, until `deputize keys require off`, and always on an address
    other than loopback."""
    allow_open_bind: bool = False
    """Listen beyond this machine without any API key, where something in front of the gateway asks who comes."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, besides 127.0.0.1, ::1 and localhost, by which a gateway may be asked without a key."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may use the gateway, such as https://app.example; they get CORS headers."""
    tls_cert_file: str = ""
    """Certificate (and chain) the gateway shows its clients, PEM; empty: plain HTTP."""
    tls_key_file: str = ""
    """The key of that certificate, PEM."""

    @model_validator(mode="after")
    def _both_files(self) -> GatewaySettings:
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("tls_cert_file and tls_key_file go together")
        return self

    @property
    def scheme(self) -> str:
        """http or https."""
        return "https" if self.tls_cert_file else "http"

    def tls(self) -> ssl.SSLContext | None:
        """The certificate and key shown to clients; None: plain HTTP.

        Raises:
            UsageError: certificate or key cannot be used.
        """
        if not self.tls_cert_file:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
        except OSError as error:  # SSLError is one
            why = "they do not belong together" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(
                f"tls_cert_file and tls_key_file cannot be used: {why} ({self.tls_cert_file}, {self.tls_key_file})."
            ) from error
        return context

    @model_validator(mode="after")
    def _names_differ(self) -> GatewaySettings:
        names = [u.name for u in self.upstreams]
        if len(set(names)) != len(names):
            raise ValueError("two upstreams have the same name")
        return self


def read_settings(home: Path) -> GatewaySettings:
    """The gateway's settings of a home; the defaults where it has none.

    Raises:
        BadInput: a setting that cannot be used, named.
        Tampered: the home has had API keys, and nobody has accepted its settings as they are.
    """
    opened = Home(home)
    try:
        return GatewaySettings.model_validate(opened.table("gateway"))
    except ValidationError as error:
        raise BadInput(f"{opened.config_path}, [gateway]: {sentence(error)}") from error


def settings_for(
    home: Path, upstream: str | None, api_key_env: str | None = None, **given: Any
) -> GatewaySettings:
    """The settings of a home, with the upstream of the command line first.

    Args:
        home: the home folder.
        upstream: address of an LLM; None: as in config.toml.
        api_key_env: variable that holds its key.
        given: settings that win over those of config.toml.

    Raises:
        BadInput: a setting that cannot be used.
        UsageError: no upstream at all.
    """
    settings = read_settings(home).model_copy(update=given)
    if api_key_env is None and os.environ.get(UPSTREAM_KEY_VARIABLE):
        api_key_env = UPSTREAM_KEY_VARIABLE
    if upstream:
        first = upstream_from(upstream, api_key_env or "")
        others = tuple(u for u in settings.upstreams if u.name != first.name)
        settings = settings.model_copy(update={"upstreams": (first, *others)})
    if not settings.upstreams:
        raise UsageError(
            "There is no upstream: say where the LLM is with --upstream URL, or in config.toml under [[gateway.upstreams]]."
        )
    return settings


def named_upstream(home: Path, name: str) -> UpstreamConfig:
    """An upstream of config.toml that speaks OpenAI's chat protocol.

    Args:
        home: the home folder.
        name: its name; "": the first one.

    Raises:
        BadInput: a setting that cannot be used.
        UsageError: there is none of this name, or it speaks another protocol.
    """
    upstreams = read_settings(home).upstreams
    if not upstreams:
        raise UsageError(
            f"No LLM is known here to ask: {home / 'config.toml'} has no upstream. Name one under [[gateway.upstreams]]; "
            "`deputize init` asks for its address."
        )
    chosen = next((u for u in upstreams if not name or u.name == name), None)
    if chosen is None:
        named = ", ".join(u.name for u in upstreams)
        raise UsageError(
            f"config.toml has no upstream {name!r} (it has: {named}); see [[gateway.upstreams]]."
        )
    if chosen.protocol != "openai":
        raise UsageError(
            f"The upstream {chosen.name!r} does not speak OpenAI's chat protocol, which is needed here."
        )
    return chosen


def upstream_from(address: str, api_key_env: str = "") -> UpstreamConfig:
    """The upstream a command line names: an address, with `anthropic+` before it for Anthropic's protocol.

    Raises:
        BadInput: not an address.
    """
    protocol, url = "openai", address
    if address.startswith("anthropic+"):
        protocol, url = "anthropic", address.removeprefix("anthropic+")
    elif "://api.anthropic.com" in address:
        protocol = "anthropic"
    try:
        return UpstreamConfig.model_validate(
            {"name": "default", "base_url": url, "protocol": protocol, "api_key_env": api_key_env}
        )
    except ValidationError as error:
        raise BadInput(f"The upstream {address!r} cannot be used: {sentence(error)}") from error
