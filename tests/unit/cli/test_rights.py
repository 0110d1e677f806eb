"""Every role at every command of the command line; raw exports by two people; retention; erasure as the user sees it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deputize.cli.commands import COMMANDS
from deputize.cli.main import cli, run
from deputize.cli.rights import RIGHTS
from deputize.store.access.api_keys import ApiKeys
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.roles import Right, Role
from deputize.store.keys.keyring import KeyRing

DAY = 86400.0
ALLOWED: dict[Role, set[str]] = {
    Role.INGEST: {"import", "feedback"},
    Role.OPERATOR: {
        "dashboard",
        "dataset card",
        "report",
        "status",
        "tail",
        "runs list",
        "runs diff",
        "subject record",
        "serve",
        "specialists serve",
        "mcp",
        "route list",
        "route show",
        "route explain",
        "route promote",
        "route rollback",
        "route close",
        "export",
        "shadow start",
        "shadow show",
        "config show",
        "config check",
        "doctor",
        "raw list",
    },
    Role.CURATOR: {
        "dashboard",
        "feedback",
        "convert",
        "curate",
        "cluster",
        "select",
        "finetune",
        "evaluate",
        "report",
        "status",
        "tail",
        "runs list",
        "runs diff",
        "runs fetch",
        "subject record",
        "route list",
        "route show",
        "route verify",
        "route recertify",
        "route explain",
        "shadow show",
        "config show",
        "config check",
        "doctor",
        "tasks list",
        "tasks merge",
        "tasks split",
        "tasks rename",
        "tasks hide",
        "tasks field",
        "tasks measure",
        "watch",
        "privacy train",
        "raw list",
        "dataset card",
        "dataset dropped",
        "dataset restore",
        "dataset relabel",
        "dataset expand",
        "dataset export",
    },
    Role.AUDITOR: {
        "dashboard",
        "dataset card",
        "report",
        "status",
        "tail",
        "runs list",
        "runs diff",
        "route list",
        "subject record",
        "route show",
        "route explain",
        "shadow show",
        "config show",
        "config check",
        "doctor",
        "audit verify",
        "audit list",
        "raw list",
    },
    Role.ADMIN: {
        "dashboard",
        "dataset card",
        "report",
        "status",
        "tail",
        "runs list",
        "runs diff",
        "subject record",
        "route list",
        "route show",
        "route explain",
        "shadow show",
        "config show",
        "config check",
        "doctor",
        "config accept",
        "init",
        "backup",
        "publish",
        "store migrate",
        "keys create",
        "keys list",
        "keys revoke",
        "keys require",
        "keys rotate",
        "keys adopt",
        "retention",
        "raw list",
        "raw approve",
    },
    Role.ERASURE_OFFICER: {"erase", "subject export"},
}
"""Written out a second time on purpose: a change of rights has to be meant twice."""
FREE = {name for name, right in RIGHTS.items() if right is None}
WORDS: dict[str, list[str]] = {
    "import": ["nothing.jsonl"],
    "serve": ["--upstream", "nonsense"],
    "init": ["--upstream", "nonsense"],
    "doctor": ["--offline"],
    "backup": ["backup.tar"],
    "feedback": ["e", "--success"],
    "tail": ["--no-follow"],
    "route show": ["r"],
    "runs diff": ["a", "b"],
    "route verify": ["r"],
    "route recertify": ["r"],
    "route explain": ["c"],
    "shadow start": ["r"],
    "shadow show": ["r"],
    "export": ["r", "--to", "peft", "--out", "folder"],
    "route promote": ["r"],
    "route rollback": ["r"],
    "route close": ["r"],
    "tasks merge": ["a", "b"],
    "tasks split": ["a"],
    "tasks rename": ["a", "b"],
    "tasks hide": ["a"],
    "tasks field": ["a", "b", "free"],
    "tasks measure": ["t1", "words"],
    "keys create": ["--role", "ingest"],
    "keys revoke": ["k"],
    "keys require": ["on"],
    "keys adopt": ["."],
    "erase": ["--origin", "ann"],
    "subject export": ["--origin", "ann", "--out", "subject.json"],
    "raw ask": ["--purpose", "p"],
    "raw approve": ["x"],
    "raw export": ["x", "--out", "out.jsonl"],
    "watch": ["--once"],
    "privacy train": ["nothing.jsonl"],
    "dataset restore": ["a"],
    "dataset relabel": ["--model", "m"],
    "dataset expand": ["--model", "m", "--task", "t"],
    "dataset export": ["--out", "folder"],
}
"""What a command needs to get past its own parser; nothing of it exists, so that nothing happens beyond the check."""


@pytest.fixture(scope="module", autouse=True)
def taken_port() -> Iterator[None]:
    """A port that is in use, so that a command that would listen on it ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        WORDS["dashboard"] = WORDS["specialists serve"] = ["--port", str(taken.getsockname()[1])]
        yield


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
    free = {n for n in leaves() if n.split()[0] in ("completion", "demo", "models", "restore")} | {
        "privacy scan",
        "tasks discover",
    }
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


OF_ONE_TENANT = {
    "dashboard",
    "convert",
    "curate",
    "cluster",
    "select",
    "finetune",
    "evaluate",
    "report",
    "status",
    "feedback",
    "tail",
    "runs list",
    "runs diff",
    "route list",
    "route show",
    "route promote",
    "route rollback",
    "route close",
    "export",
    "shadow start",
    "tasks list",
    "dataset card",
    "dataset dropped",
    "dataset relabel",
    "dataset expand",
    "dataset export",
    "erase",
    "subject export",
    "raw ask",
    "raw approve",
    "raw export",
    "raw list",
}
"""What a key of one tenant may be used for, written out a second time on purpose."""
WITH_TENANT = sorted(
    n
    for n in OF_ONE_TENANT
    if n.split()[0] not in ("dashboard", "export", "route", "runs", "shadow", "tasks", "dataset", "raw")
)


@pytest.fixture(scope="module")
def shop_keys(keys: tuple[Path, dict[Role, str]]) -> tuple[Path, dict[Role, str]]:
    home = keys[0]
    made = ApiKeys(home, KeyRing.open(home))
    return home, {
        role: made.create(role.value, tenant="shop").text for role in Role if role is not Role.OWNER
    }


@pytest.mark.parametrize("role", ALLOWED, ids=lambda r: r.value)
def test_every_role_of_one_tenant_at_every_command(
    shop_keys: tuple[Path, dict[Role, str]],
    role: Role,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Its own tenant: what its role allows and is about one tenant. Another tenant, or the whole home: nothing."""
    home, texts = shop_keys
    monkeypatch.setenv("DEPUTIZE_KEY", texts[role])
    monkeypatch.chdir(tmp_path)
    got: set[str] = set()
    elsewhere: set[str] = set()
    for command in sorted(set(RIGHTS) - FREE):
        own = [
            *WORDS.get(command, []),
            *(["--tenant", "shop"] if command in (*WITH_TENANT, "raw ask") else []),
        ]
        if run(["--home", str(home), *command.split(), *own]) != 5:
            got.add(command)
        if command in (*WITH_TENANT, "raw ask"):
            others = [*WORDS.get(command, []), "--tenant", "bank"]
            if run(["--home", str(home), *command.split(), *others]) != 5:
                elsewhere.add(command)
    capsys.readouterr()
    assert got == (ALLOWED[role] & OF_ONE_TENANT) and not elsewhere


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


def test_every_right_is_needed_by_something() -> None:
    # by the gateway and the guarded store
    reached_otherwise = {Right.READ_RAW, Right.SEE_LINEAGE, Right.OVERRIDE_ROUTES}
    assert {r for r in RIGHTS.values() if r} | reached_otherwise == set(Right)
