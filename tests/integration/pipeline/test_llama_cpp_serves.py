"""A specialist from its training to live calls on another engine: trained, written as GGUF, certified in llama.cpp,
served there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.integration.gateway.upstream import loopback_upstream
from tests.integration.pipeline.letters import parcels
from tests.integration.pipeline.test_certified_is_served import asked_live

from deputize.cli.main import run
from deputize.core.config import Convert
from deputize.core.contracts import answer_of
from deputize.core.records import Call, Route
from deputize.core.task_results import CalibrationCall, Evaluated
from deputize.home import Home
from deputize.locations import models_path
from deputize.pipeline.certificate_check import RECERTIFIED, check_certificate
from deputize.pipeline.certify_on_engine import answer_digest
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import Run, latest_run, read_state
from deputize.routes_file import read_routes
from deputize.specialists import catalogue
from deputize.specialists.serving.registry import make_engine

SLM, N_PARCELS, N_ASKED = "SmolLM2-135M-Instruct", 260, 20
LATE = "Say whether the parcel is late. Answer with yes or no."
ENGINE = '[routes]\nstart = "live"\n\n[engine]\nkind = "llamacpp"\nprecision = "f16"\nthreads = 1\n'


def traffic() -> Iterator[Call]:
    """Two calls for each parcel: the line, which a language model has to write, and a question that a linear model
    answers."""
    for call in parcels(N_PARCELS):
        yield call
        user = call.messages[1]
        late = "yes" if any(w in user["content"] for w in ("overdue", "lost", "not moving")) else "no"
        yield msgspec.structs.replace(
            call,
            id=f"{call.id}-late",
            messages=[{"role": "system", "content": LATE}, user],
            response={"role": "assistant", "content": late},
        )


def results_of(path: Path, name: str) -> dict[str, list[CalibrationCall]]:
    """Route's specialist -> what a measurement recorded of each calibration call."""
    with Home(path) as home:
        run_ = Run(home, read_state(home, latest_run(home) or ""))
        found = run_.artifact(name, Evaluated).read()
    return {result.task_id: result.calibration for result in found.results}


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(3600)
async def test_what_was_trained_here_is_certified_and_served_in_llama_cpp(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    if not catalogue.is_fetched(SLM, models_path()):
        pytest.skip(f"{SLM} is not fetched: deputize models fetch {SLM}")
    calls, path = list(traffic()), tmp_path / "home"
    path.mkdir()
    (path / "config.toml").write_text('[routes]\nstart = "live"\n')
    settings = Convert(models=(SLM,), methods=("linear", "lora"), epsilon=0.1, minutes=25, scope="all-routes")
    with Home(path) as home:
        home.store.append(calls)
        convert(home, settings)
    before = {r.task_name: r for r in read_routes(path / "routes.json").routes}
    written = [r for r in before.values() if r.contract.kind == "text"]
    if not written:
        pytest.skip("the specialist that writes earned no certificate here, so there is nothing to serve")
    (line,) = written
    assert line.certificate is not None and line.certificate.engine.startswith("local ")

    (path / "config.toml").write_text(ENGINE)
    assert run(["--home", str(path), "route", "recertify", line.id]) == 2, "all were certified together"
    assert "--all" in capsys.readouterr().err
    code = run(["--home", str(path), "route", "recertify", "--all", "--reason", "llama.cpp"])
    print(said := capsys.readouterr().out)  # noqa: T201 - figures for docs/results.md
    routes = {r.id: r for r in read_routes(path / "routes.json").routes}
    now = routes[line.id]
    assert now.certificate is not None
    if now.certificate.engine != "llamacpp f16":
        pytest.skip(f"the second test on the same calls is a stricter one and was not passed: {said}")
    assert code == 0 and now.certificate.id != line.certificate.id and now.state == "shadow"
    assert now.certificate.n_together == len(before), "the claims of all routes hold together, as before"
    with Home(path) as home:
        assert check_certificate(home, now).is_equal

    assert run(["--home", str(path), "route", "promote", now.id, "--to", "live"]) == 0
    await served_as_certified(path, now, {c.id: c for c in calls})


async def served_as_certified(path: Path, route: Route, by_id: dict[str, Call]) -> None:
    """Asks a gateway, with its worker and llama.cpp in it, calibration calls again: what was recorded is what is
    served."""
    recorded = [c for c in results_of(path, RECERTIFIED)[route.task_id] if c.call_id in by_id][:N_ASKED]
    with Home(path) as home:
        engine = make_engine(home.engine_settings(), path, models_path())
        digest = answer_digest(home.keyring.derive("answers"))
    async with loopback_upstream() as upstream:
        live = await asked_live(path, upstream, [by_id[c.call_id] for c in recorded], engine)  # type: ignore[arg-type]
    n_served = 0
    for one, call in zip(recorded, live, strict=True):
        assert call.decision is not None
        if call.decision.served_by == "slm":
            n_served += 1
            assert digest(answer_of(call.response, route.contract)) == one.answer
        assert (call.decision.served_by == "slm") == one.served, call.decision
    assert n_served >= len(recorded) / 2
    print(f"{n_served} of {len(recorded)} calls served by llama.cpp, each with the certified answer")  # noqa: T201
