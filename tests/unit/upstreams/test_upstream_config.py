"""The configuration of one upstream."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from deputize.core.config import JudgeSettings
from deputize.core.errors import BadInput, UsageError
from deputize.upstreams.upstream_config import UpstreamConfig, judge_upstream


def test_model_patterns() -> None:
    config = UpstreamConfig(base_url="http://h", models={"gpt-4o": "llama", "claude-*": "*", "x*": "one"})
    assert [config.model_for(m) for m in ("gpt-4o", "claude-3", "xyz", "other")] == [
        "llama",
        "claude-3",
        "one",
        None,
    ]


def test_an_address_must_be_http() -> None:
    assert UpstreamConfig(base_url="https://h/v1/").base_url == "https://h/v1"
    with pytest.raises(ValidationError, match="http"):
        UpstreamConfig(base_url="ftp://h")


def test_a_key_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_MINE", "sk-1")
    assert UpstreamConfig(base_url="http://h", api_key_env="KEY_OF_MINE").key() == "sk-1"
    (tmp_path / "key").write_text("sk-2\n")
    assert UpstreamConfig(base_url="http://h", api_key_file=str(tmp_path / "key")).key() == "sk-2"
    assert UpstreamConfig(base_url="http://h").key() == ""
    with pytest.raises(UsageError, match="not set"):
        UpstreamConfig(base_url="http://h", api_key_env="NO_SUCH_KEY_OF_MINE").key()


def test_authorities_are_read_from_a_file(tmp_path: Path) -> None:
    assert UpstreamConfig(base_url="https://h").tls() is None
    (tmp_path / "ca.pem").write_text("none here")
    with pytest.raises(UsageError, match="holds no certificate"):
        UpstreamConfig(base_url="https://h", ca_file=str(tmp_path / "ca.pem")).tls()


def test_a_judge_is_a_server_like_any_other() -> None:
    found = judge_upstream(JudgeSettings(base_url="http://localhost:1/", model="j", api_key_env="KEY"))
    assert (found.name, found.base_url, found.api_key_env) == ("judge", "http://localhost:1", "KEY")
    with pytest.raises(BadInput, match=r"\[judge\].*http"):
        judge_upstream(JudgeSettings(base_url="nowhere", model="j"))
