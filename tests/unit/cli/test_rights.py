"""Every role at every command of the command line; raw exports by two people; retention; erasure as the user sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from deputize.cli.main import COMMANDS, cli, run
from deputize.cli.rights import RIGHTS
from deputize.home import Home
from deputize.maintenance.lineage import ClearTextCopy
from deputize.store.access.api_keys import ApiKeys
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.roles import Right, Role
from deputize.store.keys.keyring import KeyRing
from deputize.store.sealed import read_sealed
from deputize.testing import call

DAY = 86400.0
ALLOWED: dict[Role, set[str]] = {
    Role.INGEST: {"import"},
    Role.OPERATOR: {
        "dataset card",
        "report",
        "serve",
        "route list",
        "route promote",
        "route rollback",
        "route close",
        "raw list",
    },
    Role.CURATOR: {
        "convert",
        "curate",
        "cluster",
        "select",
        "finetune",
        "evaluate",
        "report",
        "route list",
        "tasks list",
        "tasks merge",
        "tasks split",
        "tasks rename",
        "tasks hide",
        "watch",
        "privacy train",
        "raw list",
        "dataset card",
        "dataset dropped",
        "dataset restore",
        "dataset export",
    },
    Role.AUDITOR: {"dataset card", "report", "route list", "audit verify", "audit list", "raw list"},
    Role.ADMIN: {
        "dataset card",
        "report",
        "route list",
        "keys create",
        "keys list",
        "keys revoke",
        "keys rotate",
        "retention",
        "raw list",
        "raw approve",
    },
    Role.ERASURE_OFFICER: {"erase"},
}
"""Written out a second time on purpose: a change of rights has to be meant twice."""
FREE = {name for name, right in RIGHTS.items() if right is None}
WORDS: dict[str, list[str]] = {
    "import": ["nothing.jsonl"],
    "serve": ["--upstream", "nonsense"],
    "route promote": ["r"],
    "route rollback": ["r"],
    "route close": ["r"],
    "tasks merge": ["a", "b"],
    "tasks split": ["a"],
    "tasks rename": ["a", "b"],
    "tasks hide": ["a"],
    "keys create": ["--role", "ingest"],
    "keys revoke": ["k"],
    "erase": ["--origin", "ann"],
    "raw ask": ["--purpose", "p"],
    "raw approve": ["x"],
    "raw export": ["x", "--out", "out.jsonl"],
    "watch": ["--once"],
    "privacy train": ["nothing.jsonl"],
    "dataset restore": ["a"],
    "dataset export": ["--out", "folder"],
}
"""What a command needs to get past its own parser; nothing of it exists, so that nothing happens beyond the check."""


def leaves() -> Iterator[str]:
    ctx = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from (f"{name} {verb}" for verb in command.commands)
        else:
            yield name


def test_no_command_is_without_a_row() -> None:
    assert set(leaves()) == set(RIGHTS)
    free = {n for n in leaves() if n.split()[0] in ("demo", "models")} | {"privacy scan", "tasks discover"}
    assert free == FREE


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Role, str]]:
    home = tmp_path_factory.mktemp("home")
    made = ApiKeys(home, KeyRing.open(home))
    return home, {role: made.create(role.value, tenant="*").text for role in Role if role is not Role.OWNER}


@pytest.mark.parametrize("role", ALLOWED, ids=lambda r: r.value)
def test_every_role_at_every_command(
    keys: tuple[Path, dict[Role, str]],
    role: Role,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    home, texts = keys
    monkeypatch.setenv("DEPUTIZE_KEY", texts[role])
    monkeypatch.chdir(tmp_path)
    got: set[str] = set()
    for command in sorted(set(RIGHTS) - FREE):
        code = run(["--home", str(home), *command.split(), *WORDS.get(command, [])])
        said = capsys.readouterr().err
        denied = code == 5 and "may not" in said
        assert denied or code != 5, f"{command}: {said}"
        if not denied:
            got.add(command)
    assert got == ALLOWED[role]
    log = AuditLog(home, KeyRing.open(home))
    denials = {e.subject for e in log.entries() if e.action == "denied" and e.actor in texts[role]}
    assert denials == set(RIGHTS) - FREE - ALLOWED[role]


def test_the_owner_of_the_home_needs_no_key(keys: tuple[Path, dict[Role, str]]) -> None:
    assert run(["--home", str(keys[0]), "keys", "list"]) == 0


@pytest.mark.parametrize("text", ["nonsense", "dpk_000000000000_" + "A" * 43])
def test_a_key_that_is_none_opens_nothing(
    keys: tuple[Path, dict[Role, str]], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPUTIZE_KEY", text)
    assert run(["--home", str(keys[0]), "keys", "list"]) == 5


def test_a_key_means_nothing_in_a_home_without_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPUTIZE_KEY", "dpk_000000000000_" + "A" * 43)
    assert run(["--home", str(tmp_path / "none"), "keys", "create", "--role", "admin"]) == 5
    assert not (tmp_path / "none").exists()


def test_a_key_of_one_tenant_does_not_touch_the_whole_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ApiKeys(tmp_path, KeyRing.open(tmp_path)).create("admin", tenant="shop")
    monkeypatch.setenv("DEPUTIZE_KEY", made.text)
    assert run(["--home", str(tmp_path), "keys", "rotate"]) == 5
    assert "every tenant" in capsys.readouterr().err


def test_a_command_without_a_row_is_denied_even_to_the_owner(tmp_path: Path) -> None:
    from deputize.cli.rights import guarded
    from deputize.cli.terminal import Terminal
    from deputize.core.errors import AccessDenied

    with click.Context(cli, obj=Terminal()), pytest.raises(AccessDenied, match="no right assigned"):
        guarded("new verb", lambda: None)()


# --- two people for a raw export, at the command line


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_raw_text_leaves_with_two_people_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    assert run([*args, "raw", "approve", request]) == 0
    monkeypatch.setenv("DEPUTIZE_KEY", curator["text"])
    assert run([*args, "raw", "export", request, "--out", str(tmp_path / "no" / "folder")]) == 3
    capsys.readouterr()
    assert run([*args, "raw", "export", request, "--out", str(out)]) == 0
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

    boss, other = make("--role", "admin"), make("--role", "admin")
    monkeypatch.setenv("DEPUTIZE_KEY", boss)
    hand, twin = make("--role", "curator", "--grant", "export raw text"), make("--role", "admin")
    monkeypatch.setenv("DEPUTIZE_KEY", hand)
    assert run([*args, "raw", "ask", "--purpose", "mine"]) == 0
    request = told(capsys)["id"]
    for key in (boss, twin):
        monkeypatch.setenv("DEPUTIZE_KEY", key)
        assert run([*args, "raw", "approve", request]) == 5
        assert "may be one person" in capsys.readouterr().err
    monkeypatch.setenv("DEPUTIZE_KEY", other)
    assert run([*args, "raw", "approve", request]) == 0


# --- retention


def test_retention_deletes_what_is_over_age_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--home", str(tmp_path), "--json"]
    store = Home(tmp_path).open_store()
    now = __import__("time").time()
    store.append(
        [
            call(f"{tenant}{age}", tenant=tenant, origin="o", timestamp=now - age * DAY)
            for tenant in ("default", "shop", "lab")
            for age in (1, 40)
        ]
    )
    assert run([*args, "retention"]) == 3, "no limit is set"
    (tmp_path / "config.toml").write_text('[retention]\ndefault = 30\nshop = 365\n"*" = 7\n')
    capsys.readouterr()
    assert run([*args, "retention"]) == 0
    assert told(capsys)["deleted"] == {"default": 1, "lab": 1, "shop": 0}
    assert {c.id for c in store.calls()} == {"default1", "shop1", "shop40", "lab1"}
    store.close()
    expired = [e.tenant for e in AuditLog(tmp_path, KeyRing.open(tmp_path)).entries() if e.action == "expire"]
    assert sorted(expired) == ["default", "lab"]


@pytest.mark.parametrize("limit", ["0", "-3", '"a week"', "true"])
def test_a_limit_that_is_none_is_said(tmp_path: Path, limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text(f"[retention]\ndefault = {limit}\n")
    assert run(["--home", str(tmp_path), "retention"]) == 3
    assert "positive number of days" in capsys.readouterr().err


def test_every_right_is_needed_by_something() -> None:
    reached_otherwise = {Right.WRITE_FEEDBACK, Right.READ_RAW, Right.SEE_LINEAGE}  # gateway and guarded store
    assert {r for r in RIGHTS.values() if r} | reached_otherwise == set(Right)
