"""doctor: what is wrong, and what mends it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from deputize.cli import doctor
from deputize.cli.main import run
from deputize.specialists.hardware import Hardware


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def small() -> Hardware:
        return Hardware(cpu="c", architecture="x86_64", features=[], n_cores=2, memory_gb=8.0, free_gb=4.0)

    monkeypatch.setattr("deputize.specialists.hardware.hardware", small)


def looked_at(
    home: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, dict[str, str]]]:
    code = run(["--home", str(home), "--json", "doctor", "--offline", *words])
    return code, {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_models_that_are_missing_are_a_problem_with_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    code, found = looked_at(tmp_path / "home", capsys)
    assert code == 1 and found["models"]["verdict"] == "problem"
    assert found["models"]["mend"] == "deputize models fetch --recommended"
    assert found["config"]["verdict"] == "note" and found["config"]["mend"] == "deputize init"
    assert not (tmp_path / "home").exists(), "a look makes nothing"


def test_memory_names_the_largest_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = looked_at(tmp_path, capsys)
    assert found["memory"]["verdict"] == "ok" and "tunes up to" in found["memory"]["found"]


def test_a_port_in_use_and_a_full_disk_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deputize.cli.doctor.shutil.disk_usage", lambda _: SimpleNamespace(free=1e9))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        _, found = looked_at(tmp_path, capsys, "--port", str(taken.getsockname()[1]))
    assert found["port"]["verdict"] == "note" and "in use" in found["port"]["found"]
    assert found["disk"]["verdict"] == "note" and "1.0 GB free" in found["disk"]["found"]


def test_mistakes_in_the_settings_are_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text("[convert]\nepsilo = 1\n")
    code, found = looked_at(tmp_path, capsys)
    assert code == 1 and "epsilo" in found["config"]["found"]


def test_an_extra_that_is_missing_says_what_is_lost() -> None:
    rows = list(doctor._extras(lambda module: None))
    assert [row.verdict for row in rows] == ["note"] * len(doctor.EXTRAS)
    assert rows[0].mend == "pip install 'deputize[train]'" and "neither trained nor served" in rows[0].found


def test_a_server_that_is_not_there_cannot_be_reached() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert doctor.reachable(f"http://127.0.0.1:{port}", timeout_s=2)
