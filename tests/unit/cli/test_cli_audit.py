"""What each command leaves in the audit log: a row for every command, so that a new one is not forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.test_erase import House

from deputize.cli.main import run
from deputize.cli.rights import RIGHTS
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing

STAGE = {"keys.use", "read.raw"}
LEAVES: dict[str, tuple[list[str], set[str]]] = {
    "import": (["log.jsonl"], {"keys.use"}),
    "convert": (["--minutes", "0.001"], STAGE),
    "curate": ([], STAGE),
    "cluster": ([], STAGE),
    "select": ([], STAGE),
    "finetune": ([], STAGE),
    "evaluate": ([], STAGE),
    "backup": (["backup.tar"], {"backup"}),
    "feedback": (["a0", "--success"], {"keys.use", "read.raw"}),
    "status": ([], {"keys.use", "read.raw"}),
    "tail": (["--no-follow"], {"keys.use", "read.raw"}),
    "tasks list": ([], {"read.curated"}),
    "tasks rename": (["t", "new"], {"keys.use", "read.curated", "tasks.rename"}),
    "tasks hide": (["t"], {"keys.use", "read.curated", "tasks.hide", "route.close"}),
    "dataset dropped": ([], {"read.curated"}),
    "dataset export": (["--out", "folder"], {"export.curated"}),
    "dataset restore": (["a0"], {"dataset.restore"}),
    "route close": (["route-t"], {"route.close"}),
    "route rollback": (["route-t"], {"route.rollback"}),
    "keys create": (["--role", "ingest"], {"keys.create"}),
    "keys require": (["off"], {"keys.require"}),
    "config accept": ([], {"config.accept"}),
    "keys rotate": ([], {"keys.use", "keys.rotate"}),
    "erase": (["--origin", "ann.weber"], {"keys.use", "erase", "keys.rotate"}),
    "retention": ([], {"keys.use", "expire"}),
    "raw ask": (["--purpose", "p"], {"denied"}),
    "raw export": (["x", "--out", "out.jsonl"], {"keys.use"}),
}
"""Command -> what it needs, and the entries it has to leave; they are there even where the command fails afterwards."""
ELSEWHERE = {
    "publish": "file.write of the pointer: test_publish",
    "runs fetch": "run.fetch: test_shared_runs",
    "store migrate": "store.move, store.migrate: test_store_migration",
    "serve": "keys.use: tests of the gateway",
    "mcp": "mcp.serve: test_mcp",
    "specialists serve": "specialists.serve: test_host_process",
    "dashboard": "read.raw: test_call_reader",
    "watch": "read.raw, route.close, expire: test_watch",
    "tasks merge": "as rename",
    "tasks split": "as rename",
    "tasks field": "as rename",
    "tasks measure": "as rename",
    "route promote": "test_routes",
    "route recertify": "test_certified_is_served",
    "keys revoke": "below",
    "keys adopt": "test_key_adoption",
    "raw approve": "test_rights",
    "subject export": "test_subject",
    "route verify": "test_route_views",
    "route explain": "test_route_views",
    "shadow show": "test_shadow",
    "shadow start": "test_shadow",
    "export": "test_route_export",
    "dataset relabel": "test_relabelling",
    "dataset expand": "test_expansion",
}
NOTHING_TO_NOTE = {
    "completion",
    "restore",
    "demo",
    "report",
    "runs list",
    "runs diff",
    "route list",
    "dataset card",
    "models list",
    "models show",
    "models fetch",
    "models add",
    "privacy scan",
    "privacy train",
    "tasks discover",
    "keys list",
    "audit verify",
    "audit list",
    "raw list",
    "subject record",
    "route show",
    "config show",
    "config check",
    "doctor",
    "init",
}
"""No call, no curated text, no key of the store: files in clear, the user's own files, names of keys and requests."""


def test_every_command_has_a_row() -> None:
    assert {*LEAVES, *ELSEWHERE, *NOTHING_TO_NOTE} == set(RIGHTS)
    assert not set(LEAVES) & NOTHING_TO_NOTE


# one home a command would cost a minute; the trained stages go through the same two doors as curate and tasks rename
RUN = [name for name in LEAVES if name not in ("convert", "select", "finetune", "evaluate", "cluster")]


@pytest.mark.parametrize("command", RUN)
def test_what_a_command_leaves(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    house = House(tmp_path / "home")
    house.store.close()
    row = {"messages": [{"role": "user", "content": "x"}], "response": {"role": "assistant", "content": "y"}}
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
    (house.home / "config.toml").write_text("[retention]\ndefault = 3\n")
    log = AuditLog(house.home, KeyRing.open(house.home))
    before = len(list(log.entries()))
    words, wanted = LEAVES[command]
    run(["--home", str(house.home), *command.split(), *words])
    assert wanted <= {e.action for e in list(log.entries())[before:]}
    assert log.verify().ok


def test_a_revoked_key_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path), "--json"]
    assert run([*home, "keys", "create", "--role", "ingest"]) == 0
    made = json.loads(capsys.readouterr().out)["id"]
    assert run([*home, "keys", "revoke", made]) == 0
    entries = [(e.action, e.subject) for e in AuditLog(tmp_path, KeyRing.open(tmp_path)).entries()]
    # with the first key the settings of the moment are in force
    assert entries == [("config.accept", "config.toml"), ("keys.create", made), ("keys.revoke", made)]
