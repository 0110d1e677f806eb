"""`[[gateway.upstreams]]` of config.toml: one LLM server."""

from __future__ import annotations

import os
import ssl
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from deputize.core.config import JudgeSettings, sentence
from deputize.core.errors import BadInput, UsageError

UpstreamProtocol = Literal["openai", "anthropic"]


class UpstreamConfig(BaseModel):
    """One named upstream, as in `[[gateway.upstreams]]` of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "default"
    base_url: str
    """The root of its endpoints, as its own clients are given it; an endpoint itself will do. `{model}` in it stands
    for the model's name there."""
    version_path: str | None = None
    """Stands between the base address and an endpoint; None: /v1 where the address has no path."""
    protocol: UpstreamProtocol = "openai"
    api_key_env: str = ""
    """Environment variable with the upstream's key; empty: the client's own credentials are sent on."""
    api_key_file: str = ""
    """File with the upstream's key, instead of the environment."""
    ca_file: str = ""
    """File with the authorities that its https certificate is checked against; empty: the system's."""
    models: dict[str, str] = Field(default_factory=dict)
    """Model asked for -> model at this upstream; a pattern may end in `*`. Empty: takes every model as it is."""
    speaks: tuple[Literal["chat", "responses", "messages"], ...] = ()
    """Protocols it understands; empty: those of `protocol` (openai: chat, and responses until the server says that it
    has none)."""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    deadline_s: float = Field(default=600.0, gt=0)
    """For a whole answer, stream included; there is no idle limit, since a model may think."""
    first_byte_timeout_s: float | None = Field(default=None, gt=0)
    """For the head of an answer; None: the deadline alone counts."""

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// address")
        return value.rstrip("/")

    def key(self) -> str:
        """The upstream's key, "" where the client's credentials are to be used.

        Raises:
            UsageError: the variable or file it is to come from is not there.
        """
        if self.api_key_env:
            value = os.environ.get(self.api_key_env, "")
            if not value:
                raise UsageError(
                    f"The key of upstream {self.name!r} should be in ${self.api_key_env}, which is not set."
                )
            return value
        if self.api_key_file:
            try:
                with open(self.api_key_file, encoding="utf-8") as file:  # noqa: PTH123 - read once at start
                    return file.read().strip()
            except OSError as error:
                raise UsageError(
                    f"The key file of upstream {self.name!r} cannot be read: {error.strerror} ({self.api_key_file})."
                ) from error
        return ""

    def tls(self) -> ssl.SSLContext | None:
        """The context that checks its certificate; None: the system's authorities.

        Raises:
            UsageError: the file of authorities cannot be used.
        """
        if not self.ca_file:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # SSLError is one: no certificate in the file
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(
                f"The ca_file of upstream {self.name!r} cannot be used: {why} ({self.ca_file})."
            ) from error

    def model_for(self, model: str) -> str | None:
        """The name of `model` at this upstream, None where it does not take it."""
        if not self.models:
            return model
        if model in self.models:
            return self.models[model]
        for pattern, target in self.models.items():
            if pattern.endswith("*") and model.startswith(pattern[:-1]):
                return model if target == "*" else target
        return None


def judge_upstream(settings: JudgeSettings) -> UpstreamConfig:
    """The server of a judge.

    Raises:
        BadInput: its address is none.
    """
    try:
        return UpstreamConfig(
            name="judge",
            base_url=settings.base_url,
            api_key_env=settings.api_key_env,
            api_key_file=settings.api_key_file,
        )
    except ValidationError as error:
        raise BadInput(f"[judge]: {sentence(error)}") from None
