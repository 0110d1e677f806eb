"""The record of processing, from config.toml and what is stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.maintenance.processing_record import NOT_SAID, as_markdown, processing_record
from deputize.testing import call

CONFIG = """
[processing]
controller = "Shop Ltd, 1 Quay Street"
[retention]
default = 90
[convert]
min_origins = 5
[[gateway.upstreams]]
name = "main"
base_url = "https://llm.example.com/v1"
"""


def test_the_record_says_what_the_settings_say(tmp_path: Path) -> None:
    with Home(tmp_path, environ={}) as home:
        home.store.append([call("a"), call("b", tenant="bank")])
        (tmp_path / "config.toml").write_text(CONFIG)
        record = processing_record(home)
    assert record.controller == "Shop Ltd, 1 Quay Street" and record.legal_basis == NOT_SAID
    assert (record.tenants, record.n_calls, record.min_origins) == (["bank", "default"], 2, 5)
    assert record.recipients == ["llm.example.com"] and record.retention == {"default": 90.0}
    page = as_markdown(record)
    assert "llm.example.com" in page and "default: 90 days" in page and "AES-256-GCM" in page


def test_a_setting_that_is_not_known_is_named(tmp_path: Path) -> None:
    with Home(tmp_path, environ={}) as home:
        home.store.append([call("a")])
        (tmp_path / "config.toml").write_text("[processing]\ncontroler = 'x'\n")
        with pytest.raises(BadInput, match="controler"):
            processing_record(home)


def test_the_audit_log_is_there_before_a_store_is_made(tmp_path: Path) -> None:
    """A store without a log means that the log was removed."""
    with Home(tmp_path, environ={}) as home:
        assert home.keyring.id
        processing_record(home)
        assert (tmp_path / "store.db").exists() and home.audit.verify().ok


MORE = """
[judge]
base_url = "https://judge.example.com"
model = "big"
[teacher]
base_url = "https://teacher.example.com/v1"
[privacy]
paraphraser = {base_url = "http://reword.example.com/v1", model = "m"}
[objects]
url = "s3://bucket/deputize"
[gateway.otel]
enabled = true
endpoint = "http://collector.example.com:4318"
content = true
"""


def test_everybody_who_gets_something_of_the_calls_is_a_recipient(tmp_path: Path) -> None:
    with Home(tmp_path, environ={}) as home:
        home.store.append([call("a")])
        (tmp_path / "config.toml").write_text(CONFIG + MORE)
        found = processing_record(home).recipients
    names = [one.split()[0] for one in found]
    assert names == [
        "llm.example.com",
        "judge.example.com",
        "teacher.example.com",
        "reword.example.com",
        "bucket",
        "collector.example.com",
    ]
    assert "as they are" in found[1] and "prompts and answers too" in found[-1]


def test_a_name_is_no_line_and_no_mark_of_the_page(tmp_path: Path) -> None:
    with Home(tmp_path, environ={}) as home:
        home.store.append([call("a", tenant="[x](javascript:1) <img> *b*\n# Forged\x1b[2J")])
        page = as_markdown(processing_record(home))
    assert page.count("\n#") == 0 and "<img>" not in page and "\x1b" not in page
    assert "\\[x\\](javascript:1)" in page and "\\*b\\*" in page
