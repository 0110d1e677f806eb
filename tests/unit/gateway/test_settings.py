"""Settings of the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from deputize.core.errors import BadInput, UsageError
from deputize.gateway.settings import (
    GatewaySettings,
    named_upstream,
    read_settings,
    settings_for,
    upstream_from,
)


def test_the_upstream_of_the_command_line_comes_first(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[[gateway.upstreams]]\nname = "spare"\nbase_url = "http://spare/v1"\n'
    )
    settings = settings_for(tmp_path, "anthropic+http://h/v1")
    assert [u.name for u in settings.upstreams] == ["default", "spare"]
    assert settings.upstreams[0].protocol == "anthropic"
    assert upstream_from("https://api.anthropic.com").protocol == "anthropic"


def test_without_an_upstream_there_is_no_gateway(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no upstream"):
        settings_for(tmp_path, None)


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[gateway]\ndrain_s = -1\n")
    with pytest.raises(BadInput, match="drain_s"):
        read_settings(tmp_path)
    with pytest.raises(BadInput, match="cannot be used"):
        upstream_from("ftp://h")


def test_certificate_and_key_go_together() -> None:
    with pytest.raises(ValidationError, match="go together"):
        GatewaySettings(tls_cert_file="c.pem")
    with pytest.raises(UsageError, match="cannot be used"):
        GatewaySettings(tls_cert_file="c.pem", tls_key_file="k.pem").tls()
    assert GatewaySettings().scheme == "http" and GatewaySettings().tls() is None


def test_a_home_without_an_llm_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No LLM is known here to ask.*gateway\.upstreams.*deputize init"):
        named_upstream(tmp_path, "")
    (tmp_path / "config.toml").write_text(
        '[[gateway.upstreams]]\nname = "big"\nbase_url = "https://example.com"\n'
    )
    assert named_upstream(tmp_path, "").name == "big"
    with pytest.raises(UsageError, match=r"no upstream 'small' \(it has: big\)"):
        named_upstream(tmp_path, "small")
