"""Settings in force: in a home with API keys those that a person has accepted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from deputize.core.errors import Tampered
from deputize.gateway.settings import read_settings
from deputize.home import Home
from deputize.store.access.accepted_config import config_digest
from deputize.store.access.audit_log import AuditEntry

OLD = '[gateway]\nallowed_hosts = ["a.example"]\n[privacy]\ntagger = "none"\n'
NEW = '[gateway]\nallowed_hosts = ["evil.example"]\nallow_open_bind = true\n[privacy]\ntagger = "none"\n'


def entries(home: Path, *actions: str) -> list[AuditEntry]:
    return [e for e in Home(home).audit.entries() if e.action in actions]


def settings(home: Path) -> tuple[str, ...]:
    return read_settings(home).allowed_hosts


def shared_home(path: Path) -> Path:
    """A home with an API key, whose settings were used once."""
    (path / "config.toml").write_text(OLD)
    home = Home(path)
    home.note_keys_used()
    home.api_keys.create("ingest")
    return path


def test_without_api_keys_a_change_is_an_entry_and_takes_effect(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(OLD)
    Home(tmp_path).note_keys_used()
    (tmp_path / "config.toml").write_text(NEW)
    assert settings(tmp_path) == ("evil.example",)
    (change,) = entries(tmp_path, "config.change")
    assert change.detail["changed"] == "gateway.allow_open_bind, gateway.allowed_hosts"
    assert settings(tmp_path) == ("evil.example",) and len(entries(tmp_path, "config.change")) == 1


def test_a_changed_file_takes_effect_when_it_is_accepted(tmp_path: Path) -> None:
    home = shared_home(tmp_path)
    assert settings(home) == ("a.example",)
    (home / "config.toml").write_text(NEW)
    for _ in range(2):
        with pytest.raises(
            Tampered, match=r"changed: gateway.allow_open_bind, gateway.allowed_hosts.*config accept"
        ):
            settings(home)
    changed = Home(home).accepted_config.accept()
    assert changed == ("gateway.allow_open_bind", "gateway.allowed_hosts")
    assert settings(home) == ("evil.example",)
    (accepted,) = entries(home, "config.accept")
    assert accepted.actor and accepted.detail["changed"] == ", ".join(changed)
    assert accepted.detail["sha256"] == config_digest(home) and "evil.example" not in repr(accepted)
    assert {e.subject for e in entries(home, "denied")} == {"config.toml"}


def test_an_older_copy_and_a_file_that_is_gone_are_refused(tmp_path: Path) -> None:
    home = shared_home(tmp_path)
    (home / "config.toml").write_text(NEW)
    Home(home).accepted_config.accept()
    for put_back in (OLD, None):
        (home / "config.toml").unlink(missing_ok=True)
        if put_back is not None:
            (home / "config.toml").write_text(put_back)
        with pytest.raises(Tampered, match="in force"):
            settings(home)
    (home / "config.toml").write_text(NEW)
    assert settings(home) == ("evil.example",)


def test_taking_the_file_of_api_keys_away_opens_nothing(tmp_path: Path) -> None:
    home = shared_home(tmp_path)
    (home / "keys" / "api_keys.json").unlink()
    (home / "config.toml").write_text(NEW)
    with pytest.raises(Tampered):
        settings(home)


def test_prices_decide_on_budgets_and_count_too(tmp_path: Path) -> None:
    home = shared_home(tmp_path)
    (home / "prices.toml").write_text('[models."gpt-4o"]\ninput_usd_per_million = 0\n')
    with pytest.raises(Tampered, match=r"prices.toml: models.gpt-4o"):
        settings(home)
    Home(home).accepted_config.accept()
    assert settings(home) == ("a.example",)


def test_a_forged_or_older_copy_of_what_was_accepted_says_nothing(tmp_path: Path) -> None:
    """The sealed copy only names what changed; what is in force says the audit log."""
    home = shared_home(tmp_path)
    copy = home / "config.accepted"
    older = copy.read_bytes()
    (home / "config.toml").write_text(NEW)
    Home(home).accepted_config.accept()
    (home / "config.toml").write_text(OLD)
    for forged in (older, b"none", None):
        copy.unlink(missing_ok=True)
        if forged is not None:
            copy.write_bytes(forged)
        with pytest.raises(Tampered, match=r"changed: gateway.allowed_hosts, privacy.tagger"):
            settings(home)


def test_settings_that_nobody_accepted_do_not_stand_in_the_way_of_the_store(tmp_path: Path) -> None:
    home = shared_home(tmp_path)
    Home(home).open_store().close()
    (home / "config.toml").write_text('[store]\nkind = "evil:Store"\n')
    with Home(home) as opened:
        assert opened.store.count() == 0
    with Home(home) as opened, pytest.raises(Tampered):
        opened.privacy()


GONE = {
    "the log": ("audit.log",),
    "log and head": ("audit.log", "audit.head"),
    "log, head and copy": ("audit.log", "audit.head", "config.accepted"),
    "log, head and API keys": ("audit.log", "audit.head", "keys/api_keys.json"),
    "the head": ("audit.head",),
    "the ring": ("keys/ring.json",),
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_settings_cannot_be_slipped_in_by_removing_what_knows_better(
    tmp_path: Path, gone: tuple[str, ...]
) -> None:
    home = shared_home(tmp_path)
    Home(home).open_store().close()
    (home / "config.toml").write_text(NEW)
    for name in gone:
        (home / name).unlink()
    for _ in range(2):
        with pytest.raises(Tampered):
            settings(home)
    if "keys/ring.json" not in gone:
        assert Home(home).api_keys.required


def test_the_end_of_the_log_cannot_be_cut_off_to_bring_older_settings_back(tmp_path: Path) -> None:
    home = shared_home(tmp_path)
    log = (home / "audit.log").read_bytes()
    (home / "config.toml").write_text(NEW)
    Home(home).accepted_config.accept()
    (home / "config.toml").write_text(OLD)
    (home / "audit.log").write_bytes(log)
    for _ in range(2):  # the second time the log has an entry about the first
        with pytest.raises(Tampered, match="not whole"):
            settings(home)
    (home / "config.toml").write_text(NEW)
    Home(home).accepted_config.accept()
    assert settings(home) == ("evil.example",)


def test_a_made_up_entry_does_not_hide_that_the_end_was_cut_off(tmp_path: Path) -> None:
    home = shared_home(tmp_path)
    lines = (home / "audit.log").read_bytes().splitlines(keepends=True)
    (home / "config.toml").write_text(NEW)
    Home(home).accepted_config.accept()
    (home / "config.toml").write_text(OLD)
    last = msgspec.json.decode(lines[-1], type=AuditEntry)
    made_up = msgspec.structs.replace(last, n=last.n + 1, prev=last.hash, action="x", hash="0" * 64)
    (home / "audit.log").write_bytes(b"".join([*lines, msgspec.json.encode(made_up) + b"\n"]))
    with pytest.raises(Tampered, match="not whole"):
        settings(home)


def test_who_takes_the_place_of_a_process_goes_on_with_the_settings_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = shared_home(tmp_path)
    (home / "prices.toml").write_text("")
    (home / "config.toml").write_text(NEW)
    successor = Home(home, falls_back=True)
    assert successor.table("gateway") == {"allowed_hosts": ["a.example"]} and successor.own_prices() == {}
    assert "settings in force are used" in caplog.text
    (home / "config.accepted").unlink()
    with pytest.raises(Tampered):
        Home(home, falls_back=True).table("gateway")
