"""status: counts, routes, saving and the next step."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests import postgres_cluster
from tests.unit.cli.test_routes import CERTIFICATE, with_versions

from deputize.cli.main import run
from deputize.core.records import Decision, Usage
from deputize.gateway.evidence_file import write_evidence
from deputize.home import Home
from deputize.stages.refine.route_evidence import RouteEvidence, with_audit
from deputize.store.recording.recorder import Recorder
from deputize.testing import call


def test_an_empty_home_is_left_empty_and_told_how_to_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path / "new"), "status"]) == 0
    assert "deputize serve --upstream URL" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


def test_sites_routes_and_saving(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_versions(tmp_path)
    evidence = RouteEvidence(route_id="r1", specialist="runs/x")
    for result in "s...":
        evidence = with_audit(evidence, result, CERTIFICATE)  # type: ignore[arg-type]
    with Home(tmp_path) as home:
        write_evidence(tmp_path, {("r1", "runs/x"): evidence}, home.evidence_seal)
    decision = Decision(served_by="slm", reason="live", route_id="r1", specialist_ms=1.0)
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0)
    with Home(tmp_path) as home:
        home.store.append(
            [
                call(
                    f"c{i}",
                    reply=f"{i % 2}",
                    site="triage",
                    agent="desk",
                    episode=f"e{i}",
                    timestamp=home.now(),
                    decision=decision if i % 2 else None,
                    model="gpt-4o",
                    usage=usage,
                )
                for i in range(30)
            ]
        )
    assert run(["--home", str(tmp_path), "--json", "status"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_calls"] == 30 and told["n_episodes"] == 30
    assert told["sites"][0]["verdict"].startswith("30 of 111 episodes")
    (route,) = (r for r in told["routes"] if r["id"] == "r1")
    assert route["agreement"] == 0.75 and route["n_compared"] == 4
    assert route["today"]["n_served"] == 15 and route["today"]["saved_usd"] > 0
    assert told["today"]["n_calls"] == 30
    assert run(["--home", str(tmp_path), "status"]) == 0
    text = capsys.readouterr().out
    assert "desk/triage" in text and "75 % of 4" in text and "15 of 30 calls by specialists" in text
    assert "Next: " in text


def test_what_a_machine_is_behind_is_said_though_its_store_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home(tmp_path) as home:
        recorder = Recorder(home.store, home.keyring, tmp_path)  # not started: nothing is moved
        recorder.record_now(call("c1", reply="1"))
        config = 'kind = "postgres"\n[store.options]\nurl = "postgresql://a@127.0.0.1:1/x"\n'
        (tmp_path / "config.toml").write_text(f"[store]\n{config}")
        assert run(["--home", str(tmp_path), "status"]) == 1
        said = capsys.readouterr().err
        assert "In journals of this machine: 1 file of 0.0 MB" in said and "cannot be reached" in said
        (tmp_path / "config.toml").unlink()
        assert run(["--home", str(tmp_path), "status"]) == 0
        assert "In journals of this machine: 1 file" in capsys.readouterr().out
        recorder.close_now()


def test_a_server_that_stands_still_is_named_within_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = postgres_cluster.options_for(tmp_path)
    lines = "\n".join(f'{name} = "{value}"' for name, value in options.items())
    (tmp_path / "config.toml").write_text(f'[store]\nkind = "postgres"\n[store.options]\n{lines}\n')
    with Home(tmp_path) as home:
        home.store.append([call("c", timestamp=home.now())])
    assert run(["--home", str(tmp_path), "status"]) == 0
    assert run(["--home", str(tmp_path), "--json", "doctor"]) in (0, 1)
    assert "store" in capsys.readouterr().out
    cluster = postgres_cluster.cluster()
    cluster.signal_all(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert run(["--home", str(tmp_path), "status"]) == 1
        assert time.monotonic() - began < 5.5, "it waits once, for three seconds"
        assert "cannot be reached" in capsys.readouterr().err
        began = time.monotonic()
        assert run(["--home", str(tmp_path), "--json", "doctor"]) == 1
        assert time.monotonic() - began < 10.0
        rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
        assert rows["store"]["verdict"] == "problem" and "cannot be reached" in rows["store"]["found"]
    finally:
        cluster.signal_all(signal.SIGCONT)


def test_where_the_calls_cannot_be_read_the_routes_are_shown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_versions(tmp_path)
    with Home(tmp_path) as home:
        home.store.append([call("c", timestamp=home.now())])
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system can only be mounted by root")
    try:
        shutil.copytree(tmp_path, disk / "home", ignore=shutil.ignore_patterns("disk"))
        with pytest.raises(OSError, match="No space left"), (disk / "fill").open("wb") as file:
            while True:
                file.write(bytes(1024))
                file.flush()
        assert run(["--home", str(disk / "home"), "status"]) == 1
        said = capsys.readouterr()
        assert "r1" in said.out and "full" in said.err
        assert run(["--home", str(disk / "home"), "--json", "status"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert "full" in told["problem"] and "r1" in {r["id"] for r in told["routes"]}
        assert {r["today"] for r in told["routes"]} == {None}
    finally:
        subprocess.run(["umount", disk], check=True)
