"""Conversion, import and reports as functions: settings from the home, records as results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.web.conftest import sample_report

from deputize.core.errors import BadInput, UsageError
from deputize.core.report_schema import Report
from deputize.home import Home
from deputize.library import convert, convert_all, import_logs, read_report, run_settings
from deputize.web.page import write_report

ROW = {
    "messages": [{"role": "user", "content": "Paid? yes or no"}],
    "response": {"role": "assistant", "content": "yes"},
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    path.write_text("\n".join(json.dumps({**ROW, "id": f"c{n}", "run_id": f"r{n}"}) for n in range(3)))
    return path


def test_given_settings_win_over_those_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[convert]\nepsilon = 0.1\nseed = 3\n[audience]\ndesk = "human"\n')
    got = run_settings(Home(tmp_path), seed=4, audience={"shop": "code"})
    assert (got.epsilon, got.seed, got.audience) == (0.1, 4, {"desk": "human", "shop": "code"})
    assert run_settings(Home(tmp_path), {"epsilon": 0.2}).epsilon == 0.2, "of an earlier run"
    with pytest.raises(UsageError, match="epsilom"):
        run_settings(Home(tmp_path), epsilom=0.1)


def test_a_log_is_imported_once_and_by_what_the_home_keeps(tmp_path: Path, log: Path) -> None:
    with Home(tmp_path / "home") as home:
        assert import_logs(home, [log], agent="shop", audience="code").n_calls == 3
        assert import_logs(home, [str(log)]).n_duplicates == 3
        assert {(c.agent, c.audience) for c in home.store.calls()} == {("shop", "code")}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text('[recording]\ndefault = "off"\n')
    with Home(tmp_path / "other") as home:
        assert import_logs(home, [log]).n_not_kept == 3


def test_a_log_without_enough_calls_gives_a_report_that_says_so(tmp_path: Path, log: Path) -> None:
    with Home(tmp_path / "home") as home:
        config = run_settings(home, methods=("linear",))
        report = convert(home, config, paths=[log])
        assert isinstance(report, Report) and report.total.n_routes == 0
        assert read_report(home) == report == convert_all(home, config)[0], "the same run goes on"
        assert not home.routes().routes


def test_the_newest_report_is_read_or_that_of_a_run_or_tenant(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for run_id, tenant in (("0001-a", "alpha"), ("0002-b", "beta")):
        write_report(home.runs_path / run_id, {**sample_report(), "run_id": run_id, "tenant": tenant})
    assert read_report(home).run_id == "0002-b"
    assert read_report(home, "0001-a").run_id == read_report(home, tenant="alpha").run_id == "0001-a"
    with pytest.raises(BadInput, match="no finished run of the tenant gamma"):
        read_report(home, tenant="gamma")


def test_a_damaged_report_of_another_tenant_is_no_business_of_this_one(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name, tenant in (("0001-a", "alpha"), ("0002-b", "beta"), ("0003-c", "beta")):
        write_report(home.runs_path / name, {**sample_report(), "run_id": name, "tenant": tenant})
    (home.runs_path / "0003-c" / "report.json").write_text("{")
    (home.runs_path / "0002-b" / "report.json").write_text('{"tenant": "beta"}')
    assert read_report(home, tenant="alpha").run_id == "0001-a"
    with pytest.raises(BadInput, match="0002-b"):
        read_report(home, tenant="beta")
    with pytest.raises(BadInput, match="0003-c"):
        read_report(home)
