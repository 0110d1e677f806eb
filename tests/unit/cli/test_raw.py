"""Raw calls leave with two people, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deputize.cli.main import run
from deputize.core.records import encode
from deputize.home import Home
from deputize.maintenance.lineage import ClearTextCopy
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.store.sealed import read_sealed
from deputize.testing import call


@pytest.fixture(autouse=True)
def become(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Whoever runs a test has logged in as themselves."""

    def _become(name: str, user: str = "") -> None:
        monkeypatch.setattr("deputize.store.access.roles.local_person", lambda: f"local:{name}")
        shown = f"local:{name} (as {user})" if user else f"local:{name}"
        monkeypatch.setattr("deputize.store.access.roles.local_user", lambda: shown)

    _become("me")
    return _become


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_raw_text_leaves_with_two_people_and_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    become: Callable[[str], None],
) -> None:
    home, out = tmp_path / "home", tmp_path / "raw.jsonl"
    args = ["--home", str(home), "--json"]
    store = Home(home).open_store()
    store.append([call("a", origin="o_1"), call("b", origin="o_2", tenant="other")])
    store.close()
    assert (
        run(
            [
                *args,
                "keys",
                "create",
                "--role",
                "curator",
                "--tenant",
                "default",
                "--grant",
                "export raw text",
            ]
        )
        == 0
    )
    curator = told(capsys)
    become("else")
    assert run([*args, "keys", "create", "--role", "admin", "--tenant", "default"]) == 0
    admin = told(capsys)["text"]

    monkeypatch.setenv("DEPUTIZE_KEY", curator["text"])
    assert run([*args, "raw", "ask", "--purpose", "court order 12"]) == 0
    request = told(capsys)["id"]
    assert run([*args, "raw", "ask", "--purpose", "curious", "--tenant", "other"]) == 5
    assert run([*args, "raw", "approve", request]) == 5
    assert run([*args, "raw", "export", request, "--out", str(out)]) == 5
    assert not out.exists(), "nothing is left of an export that was refused"
    monkeypatch.setenv("DEPUTIZE_KEY", admin)
    capsys.readouterr()
    assert run([*args, "raw", "list"]) == 0
    assert [r["purpose"] for r in told(capsys)] == ["court order 12"]
    assert run([*args, "raw", "approve", request[:-2]]) == 0
    monkeypatch.setenv("DEPUTIZE_KEY", curator["text"])
    assert run([*args, "raw", "export", request, "--out", str(tmp_path / "no" / "folder")]) == 3
    capsys.readouterr()
    n_noted: list[int] = []

    def encoded(value: Any) -> bytes:
        n_noted.append(len(list((home / "copies").iterdir())))
        return encode(value)

    with monkeypatch.context() as patch:
        patch.setattr("deputize.cli.raw.encode", encoded)
        assert run([*args, "raw", "export", request, "--out", str(out)]) == 0
    assert n_noted == [1], "the file is noted before a call is in it"
    assert told(capsys)["n_calls"] == 1
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["a"]
    assert out.stat().st_mode & 0o777 == 0o600
    assert run([*args, "raw", "export", request, "--out", str(tmp_path / "again.jsonl")]) == 5
    (kept,) = (home / "copies").iterdir()
    copy = read_sealed(kept, ClearTextCopy, KeyRing.open(home))
    assert (copy.path, copy.by, copy.call_ids) == (str(out), curator["id"], ["a"]), (
        "an erasure will name the file"
    )
    log = [(e.action, e.actor) for e in AuditLog(home, KeyRing.open(home)).entries()]
    assert ("export.ask", curator["id"]) in log and ("export.raw", curator["id"]) in log
    assert ("export.approve", admin.split("_")[1]) in log


def test_an_admin_is_not_two_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three commands that would let one person take raw text out: make a key, ask with it, approve."""
    args = ["--home", str(tmp_path), "--json"]

    def make(*words: str) -> str:
        assert run([*args, "keys", "create", "--tenant", "*", *words]) == 0
        return str(told(capsys)["text"])

    boss, second = make("--role", "admin"), make("--role", "admin")
    with monkeypatch.context() as patch:
        patch.setattr("deputize.store.access.roles.local_person", lambda: "local:else")
        patch.setattr("deputize.store.access.roles.local_user", lambda: "local:else")
        other = make("--role", "admin")
    monkeypatch.setenv("DEPUTIZE_KEY", boss)
    hand, sibling = make("--role", "curator", "--grant", "export raw text"), make("--role", "admin")
    monkeypatch.setenv("DEPUTIZE_KEY", hand)
    assert run([*args, "raw", "ask", "--purpose", "mine"]) == 0
    request = told(capsys)["id"]
    for key in (boss, sibling, second):
        monkeypatch.setenv("DEPUTIZE_KEY", key)
        assert run([*args, "raw", "approve", request]) == 5
        assert "may be one person" in capsys.readouterr().err
    monkeypatch.setenv("DEPUTIZE_KEY", other)
    assert run([*args, "raw", "approve", request]) == 0


def test_who_holds_the_home_cannot_take_raw_text_out_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by names in the environment, nor with keys that they make themselves."""
    args = ["--home", str(tmp_path), "--json"]
    assert run([*args, "keys", "create", "--role", "curator", "--grant", "export raw text"]) == 0
    hand = told(capsys)["text"]
    monkeypatch.setenv("DEPUTIZE_KEY", hand)
    assert run([*args, "raw", "ask", "--purpose", "mine"]) == 0
    request = told(capsys)["id"]
    monkeypatch.delenv("DEPUTIZE_KEY")
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "bob")
    assert run([*args, "raw", "ask", "--purpose", "mine"]) == 5
    assert run([*args, "raw", "approve", request]) == 5
    assert run([*args, "keys", "create", "--role", "admin", "--tenant", "*"]) == 0
    capsys.readouterr()
    assert run([*args, "keys", "create", "--role", "admin"]) == 0
    monkeypatch.setenv("DEPUTIZE_KEY", told(capsys)["text"])
    assert run([*args, "raw", "approve", request]) == 5
    assert run([*args, "raw", "export", request, "--out", str(tmp_path / "out")]) == 5
    assert not (tmp_path / "out").exists()
    assert "bob" not in {entry.actor for entry in Home(tmp_path).audit.entries()}


@pytest.mark.parametrize("second", [("me", "root"), ("me", "bob"), ("*", "")])
def test_one_person_as_two_users_is_one_person(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    become: Callable[[str, str], None],
    second: tuple[str, str],
) -> None:
    """Through su or sudo, or where the kernel does not vouch for the name (root without a login, a user namespace)."""
    args = ["--home", str(tmp_path), "--json"]
    assert run([*args, "keys", "create", "--role", "curator", "--grant", "export raw text"]) == 0
    hand = told(capsys)["text"]
    become(*second)
    assert run([*args, "keys", "create", "--role", "admin"]) == 0
    other = told(capsys)["text"]
    monkeypatch.setenv("DEPUTIZE_KEY", hand)
    assert run([*args, "raw", "ask", "--purpose", "mine"]) == 0
    request = told(capsys)["id"]
    monkeypatch.setenv("DEPUTIZE_KEY", other)
    assert run([*args, "raw", "approve", request]) == 5
    assert "may be one person" in capsys.readouterr().err
