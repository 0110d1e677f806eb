"""A home opens each of its parts once, when it is used, and nothing before."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from deputize.core.config import RouteSettings
from deputize.core.errors import BadInput, StoreError
from deputize.home import Home
from deputize.store.codec import entry_of
from deputize.store.recording.journal import ENTRIES, Journal
from deputize.testing import call


def test_a_new_home_opens_and_makes_nothing(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        assert home.retention() == {} and home.privacy().detectors == ()
        assert home.runs_path.parent == home.routes_path.parent == home.config_path.parent == home.path
    assert not (tmp_path / "home").exists()


def test_keys_are_made_once_and_only_where_they_may_be(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(StoreError, match="no keys"):
        home.require_keys()
    assert not (tmp_path / "keys").exists()
    assert home.keyring is home.keyring is home.require_keys()
    assert Home(tmp_path).require_keys().id == home.keyring.id


def test_the_parts_of_a_home_are_opened_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for part in ("audit", "api_keys", "approvals"):
        assert getattr(home, part) is getattr(home, part), part
    assert home.fresh().audit is not home.audit


def test_the_layout_of_a_home(tmp_path: Path) -> None:
    """Backups and docs/guides/operate.md name these files; gateway and pipeline meet in them."""
    home = Home(tmp_path)
    places = (home.config_path, home.keys_path, home.routes_path, home.runs_path, *home.journals)
    assert [str(p.relative_to(tmp_path)) for p in places] == [
        *("config.toml", "keys", "routes.json", "runs"),
        *("journal", "spill"),
    ]


def test_conversations_are_not_made_by_looking_for_them(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.existing_conversations() is None and not list(tmp_path.iterdir())
    conversations = home.conversations()
    conversations.put("default", "", "resp_1", b"text")
    conversations.close()
    found = home.existing_conversations()
    assert found is not None and found.get("default", "resp_1") == b"text"
    found.close()


def test_what_a_crashed_process_left_in_its_journal_is_read_into_the_store(tmp_path: Path) -> None:
    for n in range(2):
        with Home(tmp_path) as home:
            journal = Journal(home.journals[n], home.keyring)
            journal.append(ENTRIES, msgspec.msgpack.encode([entry_of(call(f"call-{n}"))]))
            journal.close()
    with Home(tmp_path) as home:
        assert sorted(c.id for c in home.store.calls()) == ["call-0", "call-1"]


def test_the_store_is_opened_once_and_closed_with_the_home(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        store = home.store
        assert store is home.store and store.append([call("a")]) == 1
    with pytest.raises(StoreError, match="closed"):
        store.count()
    assert [c.id for c in home.store.calls()] == ["a"], "opened again when it is used again"
    home.close()
    home.close()


def test_opening_and_reading_are_noted_before_they_happen(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.store.append([call("a")])
        home.store.calls(tenant="t")
        assert [(e.action, e.tenant) for e in home.audit.entries()] == [("keys.use", ""), ("read.raw", "t")]
        unaudited = home.open_store(audited=False)
        list(unaudited.calls())
        unaudited.close()
        assert [e.action for e in home.audit.entries()] == ["keys.use", "read.raw", "keys.use"]
        writer, keyring = home.writer_target()
        writer.close()
        assert keyring is home.keyring and len(list(home.audit.entries())) == 3


def test_the_settings_choose_the_store(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[store]\nkind = "memory"\n')
    with Home(tmp_path) as home:
        home.store.append([call("a")])
        assert home.store.count() == 1
    assert not list(tmp_path.glob("store.*"))


def test_a_store_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[store]\nkind = "slate"\n')
    with pytest.raises(BadInput, match="'slate' is not a store here; there are memory, postgres, sqlite"):
        Home(tmp_path).open_store()
    (tmp_path / "config.toml").write_text("[store]\npath = 3\n")
    with pytest.raises(BadInput, match=r"\[store\]: path"):
        Home(tmp_path).open_store()


def test_a_damaged_config_does_not_keep_the_default_store_shut(tmp_path: Path) -> None:
    """An erasure must not wait for somebody to mend config.toml."""
    with Home(tmp_path) as home:
        home.store.append([call("a")])
    (tmp_path / "config.toml").write_text("rubbish")
    with Home(tmp_path) as home:
        assert home.store.count() == 1
    with pytest.raises(BadInput, match="configuration"):
        home.retention()


def test_limits_of_retention_are_checked(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.config_path.write_text('[retention]\ndefault = 90\n"*" = 0.5\n')
    assert home.retention() == {"default": 90.0, "*": 0.5}
    for wrong in ("default = 0", "default = true", 'default = "90"'):
        home.config_path.write_text(f"[retention]\n{wrong}\n")
        with pytest.raises(BadInput, match="default must be a positive number"):
            home.retention()
    home.config_path.write_text("retention = 3\n")
    with pytest.raises(BadInput, match="one line a tenant"):
        home.retention()


def test_the_home_is_cheap_to_import() -> None:
    """Commands that read no record pay for no database and no cipher."""
    import subprocess

    code = "import sys, deputize.home; print([m for m in ('sqlite3', 'cryptography') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_route_settings_are_read_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.route_settings() == RouteSettings()
    home.config_path.write_text('[routes]\nstart = "live"\nsteps = [0.1, 0.5]\n')
    assert (home.route_settings().start, home.route_settings().steps) == ("live", (0.1, 0.5))
    for wrong in ('start = "open"', "steps = [0.5, 0.1]", "steps = []", "steps = [0.5, 1.0]", "share = 1"):
        home.config_path.write_text(f"[routes]\n{wrong}\n")
        with pytest.raises(BadInput, match=r"config.toml, \[routes\]"):
            home.route_settings()


def test_a_changed_config_is_an_entry_the_next_time_the_home_is_opened(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"

    def changes() -> list[tuple[str, str]]:
        with Home(tmp_path, environ={}) as home:
            home.note_keys_used()
            return [
                (e.detail["before"], e.detail["after"])
                for e in home.audit.entries()
                if e.action == "config.change"
            ]

    assert changes() == []
    config.write_text("[retention]\ndefault = 30\n")
    first = changes()
    assert len(first) == 1 and first[0][0] == "" and len(first[0][1]) == 64
    assert changes() == first, "once"
    config.write_text("[retention]\ndefault = 3650\n")
    assert len(changes()) == 2
    config.unlink()
    assert changes()[-1][1] == ""


def test_a_judge_has_an_address_and_a_model_and_sees_no_masked_requests(tmp_path: Path) -> None:
    assert Home(tmp_path).judge_settings().base_url == ""
    judge = '[judge]\nbase_url = "http://localhost:1"\n'
    (tmp_path / "config.toml").write_text(judge)
    with pytest.raises(BadInput, match="belong together"):
        Home(tmp_path).judge_settings()
    (tmp_path / "config.toml").write_text(judge + 'model = "j"\n')
    assert Home(tmp_path).judge_settings().model == "j"
    (tmp_path / "config.toml").write_text(judge + 'model = "j"\n[privacy]\nlive = "mask"\n')
    with pytest.raises(BadInput, match="sees requests as they are"):
        Home(tmp_path).judge_settings()
