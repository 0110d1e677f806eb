"""keys and audit: made once, listed without secrets, revoked, rotated, and all of it in the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deputize.cli.main import run
from deputize.core.errors import NotAuthenticated
from deputize.home import Home
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing
from deputize.testing import call


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_create_list_revoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path), "--json"]
    assert (
        run([*home, "keys", "create", "--role", "ingest", "--tenant", "shop", "--requests-per-minute", "60"])
        == 0
    )
    made = told(capsys)
    keys = ApiKeys(tmp_path, KeyRing.open(tmp_path), poll_s=0.0)
    assert keys.verify(made["text"]).tenant == "shop"
    assert run([*home, "keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert made["text"] not in listed and "digest" not in listed
    assert json.loads(listed)[0]["id"] == made["id"]
    assert run([*home, "keys", "revoke", made["id"][:-1]]) == 0, "any beginning that one key alone has"
    assert told(capsys)["id"] == made["id"]
    with pytest.raises(NotAuthenticated):
        keys.verify(made["text"])


def test_the_text_of_a_key_is_all_that_stands_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path), "keys", "create", "--role", "operator"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("dpk_") and len(out.splitlines()) == 1
    assert "not shown again" in err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create"], 2),
        (["create", "--role", "owner"], 2),
        (["revoke", "nope"], 3),
        (["create", "--role", "ingest", "--usd-per-month", "-1"], 3),
    ],
)
def test_what_cannot_be(tmp_path: Path, arguments: list[str], code: int) -> None:
    assert run(["--home", str(tmp_path), "keys", *arguments]) == code


def test_rotation_keeps_every_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Home(tmp_path, keyring=KeyRing.open(tmp_path)).open_store()
    store.append([call(f"c{i}", origin="o", timestamp=float(i)) for i in range(5)])
    store.close()
    assert run(["--home", str(tmp_path), "--json", "keys", "rotate"]) == 0
    assert told(capsys)["n_data_keys"] >= 1
    store = Home(tmp_path).open_store()
    assert [c.id for c in store.calls()] == [f"c{i}" for i in range(5)]
    store.close()


def test_the_audit_log_says_what_was_done_and_when_it_was_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path), "--json"]
    for role in ("ingest", "auditor"):
        assert run([*home, "keys", "create", "--role", role]) == 0
    capsys.readouterr()
    assert run([*home, "audit", "verify"]) == 0
    verdict = told(capsys)
    assert verdict["n_entries"] == 3
    assert run([*home, "audit", "list"]) == 0
    assert [e["action"] for e in told(capsys)] == ["config.accept", "keys.create", "keys.create"]
    assert run([*home, "audit", "verify", "--head", verdict["head"]]) == 0
    assert run([*home, "audit", "verify", "--head", "nonsense"]) == 3
    log = tmp_path / "audit.log"
    log.write_bytes(log.read_bytes().replace(b"ingest", b"admin!", 1))
    capsys.readouterr()
    assert run(["--home", str(tmp_path), "audit", "verify"]) == 1
    assert "broken at entry 2" in capsys.readouterr().err
