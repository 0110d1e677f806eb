"""What was calibrated is what runs: claims hold for raw requests, and a live gateway does what the run recorded."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import openai
import pytest
from tests import tiny_model
from tests.integration.gateway.upstream import LoopbackUpstream, loopback_upstream
from tests.integration.pipeline.letters import letters, parcels

from deputize.cli.main import run
from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.contracts import answer_of
from deputize.core.prompt import prune
from deputize.core.records import Call, Decision, Prediction, Request, Split
from deputize.core.task_results import CalibrationCall, Evaluated
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home
from deputize.locations import models_path
from deputize.pipeline.certificate_check import check_certificate, summary_of
from deputize.pipeline.certify_on_engine import answer_digest
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import Run, latest_run, read_state
from deputize.router.table import RouteTable
from deputize.routes_file import read_routes
from deputize.specialists import catalogue
from deputize.specialists.predictor import SpecialistPredictor, load

pytestmark = pytest.mark.timeout(900)  # the slow log takes minutes to convert on two busy cores

N_CALLS = 1000
SLM, N_PARCELS, N_ASKED = "SmolLM2-135M-Instruct", 200, 40
ROUNDING = 1e-4
"""What the confidence of a language model may differ by, asked alone or with others."""
ODD = "kQ7zL2mX9vB4nR8tW3yP6cD"
"""The verification pass quarantines calls with this."""


class InProcess:
    """Specialists in this process, one request at a time."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._loaded: dict[str, SpecialistPredictor] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        return self.predict_now(specialist_path, request)

    def predict_now(self, specialist_path: str, request: Request) -> Prediction:
        found = self._loaded.get(specialist_path)
        if found is None:
            found = self._loaded[specialist_path] = load(self._home / specialist_path, models_path())
        return found.predict([request])[0]


def log_of(field: str) -> list[Call]:
    """The letters; every twentieth holds an address that curation cannot replace."""
    return [
        msgspec.structs.replace(
            call,
            messages=[
                call.messages[0],
                {"role": "user", "content": f"{call.messages[1]['content']} Or ask {ODD}."},
            ],
        )
        if i % 20 == 0
        else call
        for i, call in enumerate(letters(field, N_CALLS))
    ]


@pytest.fixture(scope="module", params=["email", pytest.param("customer", marks=pytest.mark.slow)])
def converted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Call]]:
    folder = tmp_path_factory.mktemp("home")
    tiny_model.installed(folder / "models", folder)
    calls = log_of(request.param)
    (folder / "home").mkdir()
    (folder / "home" / "config.toml").write_text('[routes]\nstart = "live"\n')
    with pytest.MonkeyPatch.context() as patch, Home(folder / "home") as home:
        patch.setenv("DEPUTIZE_MODELS", str(folder / "models"))
        home.store.append(calls)
        convert(home, Convert(models=(tiny_model.NAME,), methods=("linear",), epsilon=0.05))
    return folder / "home", calls


def artifacts(path: Path) -> tuple[Curated, Discovered, Evaluated]:
    with Home(path) as home:
        run = Run(home, read_state(home, latest_run(home) or ""))
        return run.load("curate", Curated), run.load("cluster", Discovered), run.load("evaluate", Evaluated)


def splits(curated: Curated) -> dict[str, Split]:
    """Call id -> split, of withheld calls too."""
    found: dict[str, Split] = {e.call_id: e.split for e in curated.examples}
    return found | {w.call_id: w.split for w in curated.withheld}


def test_the_claim_holds_for_raw_requests_and_so_does_the_share(converted: tuple[Path, list[Call]]) -> None:
    path, calls = converted
    curated, _, evaluated = artifacts(path)
    (result,) = evaluated.results
    table, specialists = RouteTable.build(read_routes(path / "routes.json")), InProcess(path)
    split_of = splits(curated)
    asked = [c for c in calls if split_of[c.id] in ("calibration", "test")]
    assert result.certificate is not None, result.refusal_reason
    assert result.held_out is not None
    served = wrong = 0
    for call in asked:
        route = table.match(call.request()).route
        if route is None:
            continue
        prediction = specialists.predict_now(route.specialist, call.request())
        if prediction.answer is not None and prediction.confidence >= route.threshold:
            served += 1
            wrong += prediction.answer != answer_of(call.response, route.contract)
    assert wrong / len(asked) <= 0.05, "the loss that the certificate names"
    assert served / len(asked) == pytest.approx(result.certificate.share_served, abs=0.05)
    assert result.held_out.share_served == pytest.approx(result.certificate.share_served, abs=0.1)


def test_quarantined_calls_are_calibrated_on(converted: tuple[Path, list[Call]]) -> None:
    curated, _, evaluated = artifacts(converted[0])
    held = {w.call_id: w for w in curated.withheld if w.reason.startswith("quarantined")}
    assert len(held) == N_CALLS // 20 and all(w.split and w.group for w in held.values())
    (result,) = evaluated.results
    table = RouteTable.build(read_routes(converted[0] / "routes.json"))
    by_id = {c.id: c for c in converted[1]}
    # a route may also refuse their like: then they are none of its calls
    wanted = {
        id
        for id, w in held.items()
        if w.split == "calibration" and table.match(by_id[id].request()).route is not None
    }
    assert wanted <= {c.call_id for c in result.calibration}


def test_calibration_is_asked_through_the_detector(converted: tuple[Path, list[Call]]) -> None:
    path, calls = converted
    _, _, evaluated = artifacts(path)
    (result,) = evaluated.results
    if result.certificate is None:
        pytest.skip(f"refused: {result.refusal_reason}")
    (route,) = RouteTable.build(read_routes(path / "routes.json")).routes
    specialist = load(path / route.specialist, path)
    assert specialist.ood_detector is not None and specialist.specialist.ood_detector is not None
    assert result.certificate.ood_power == pytest.approx(specialist.specialist.ood_detector.power, abs=1e-4)
    by_id = {c.id: c for c in calls}
    recipe = specialist.specialist.task.recipe
    texts = [prune(by_id[o.call_id].request(), recipe) for o in result.calibration]
    p_values = specialist.ood_detector.p_values(texts)
    least = specialist.settings.out_of_distribution_p
    unlike = [o for o, p in zip(result.calibration, p_values, strict=True) if p < least]
    assert unlike and all(o.confidence is None and not o.served for o in unlike), "no confidence: not served"
    n = len(result.calibration)
    assert len(unlike) <= 0.15 * n, "raw values are no sign of another kind of request"
    assert sum(o.confidence is not None for o in result.calibration) >= 0.8 * n
    live = specialist.predict([by_id[o.call_id].request() for o in unlike])
    assert {(p.confidence, p.out_of_distribution) for p in live} == {(0.0, True)}


def test_nothing_of_the_raw_calls_is_in_what_the_run_wrote(converted: tuple[Path, list[Call]]) -> None:
    path, calls = converted
    curated, discovered, evaluated = artifacts(path)
    split_of = splits(curated)
    values = {
        next(iter(json.loads(c.response["content"]).values()))
        for c in calls
        if split_of[c.id] == "calibration"
    }
    # what detectors overlook in the examples is measured elsewhere: here it is about what is asked raw
    withheld = msgspec.structs.replace(curated, examples=[])
    written = [msgspec.json.encode(record).decode() for record in (withheld, discovered, evaluated)]
    files = [p for p in (path / "runs").rglob("*") if p.is_file()]
    written += [p.read_bytes().decode("utf-8", "replace") for p in files]
    assert len(values) > 100 and len(files) > 5
    assert not [v for v in values for text in written if v in text]
    assert not [text for text in written if ODD in text]


def test_the_certificate_can_be_computed_again(converted: tuple[Path, list[Call]]) -> None:
    path, _ = converted
    (route,) = read_routes(path / "routes.json").routes
    assert route.certificate is not None
    with Home(path) as home:
        found = check_certificate(home, route)
        assert found.is_equal, summary_of(found)
        assert (found.n_asked, found.n_served) == (
            route.certificate.n_calibration,
            route.certificate.n_served,
        )
        claimed = msgspec.structs.replace(route.certificate, n_errors=route.certificate.n_errors + 1)
        lied = check_certificate(home, msgspec.structs.replace(route, certificate=claimed))
        assert not lied.is_equal and any("n_errors" in d for d in lied.differences)
        assert any("served and wrong" in d for d in lied.differences)
        name = sorted(p for p in (path / route.specialist).iterdir() if p.name != "specialist.json")[0]
        before = name.read_bytes()
        try:
            name.write_bytes(before + b"\n")
            changed = check_certificate(home, route)
        finally:
            name.write_bytes(before)
        assert any("not the file that was certified" in d for d in changed.differences)


async def test_a_live_gateway_does_with_each_calibration_call_what_the_run_recorded(
    converted: tuple[Path, list[Call]],
) -> None:
    path, calls = converted
    _, _, evaluated = artifacts(path)
    (result,) = evaluated.results
    assert result.certificate is not None, result.refusal_reason
    by_id = {c.id: c for c in calls}
    table = RouteTable.build(read_routes(path / "routes.json"))
    calibrated = {id for id, split in splits(artifacts(path)[0]).items() if split == "calibration"}
    asked = {id for id in calibrated if table.match(by_id[id].request()).route is not None}
    assert asked <= {o.call_id for o in result.calibration} <= calibrated, "every call of the route"
    differ = await served_otherwise(path, result.calibration, by_id)
    assert not differ and any(o.served for o in result.calibration)


class Elsewhere(InProcess):
    """An engine of a package, whose answers are another engine's."""

    def __init__(self, home: Path, models_dir: Path) -> None:
        super().__init__(home)

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        return msgspec.structs.replace(self.predict_now(specialist_path, request), engine="elsewhere f32")


async def test_another_engine_serves_nothing_until_the_certificate_is_measured_on_it(
    converted: tuple[Path, list[Call]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, calls = tmp_path / "home", converted[1]
    shutil.copytree(converted[0], path)
    (package := tmp_path / "site" / "elsewhere-1.0.dist-info").mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[deputize.engines]\nelsewhere = {__name__}:Elsewhere\n")
    monkeypatch.syspath_prepend(str(package.parent))
    (path / "config.toml").write_text('[routes]\nstart = "live"\n\n[engine]\nkind = "elsewhere"\n')
    (route,) = read_routes(path / "routes.json").routes
    served = [c for c in artifacts(path)[2].results[0].calibration if c.served][:2]
    by_id = {c.id: c for c in calls}
    assert route.certificate is not None and route.certificate.engine == "local"

    async def reasons() -> set[str]:
        async with loopback_upstream() as upstream:
            engine = Elsewhere(path, path)
            live = await asked_live(path, upstream, [by_id[c.call_id] for c in served], engine)
        return {call.decision.reason for call in live if call.decision is not None}

    assert await reasons() == {"other_engine"}
    assert run(["--home", str(path), "route", "recertify", route.id, "--reason", "a test"]) == 0
    assert "elsewhere f32, before on local" in capsys.readouterr().err
    (now,) = read_routes(path / "routes.json").routes
    assert now.certificate is not None and (now.state, now.certificate.engine) == ("shadow", "elsewhere f32")
    assert now.certificate.id != route.certificate.id and now.threshold == now.certificate.threshold
    assert now.certificate.test_level < route.certificate.test_level / 4, "the second test on the same calls"
    with Home(path) as home:
        assert check_certificate(home, now).is_equal
        assert [e.detail["reason"] for e in home.audit.entries() if e.action == "route.recertify"] == [
            "a test"
        ]
    assert run(["--home", str(path), "route", "promote", route.id, "--to", "live"]) == 0
    assert await reasons() == {"live"}
    # and back, with all routes at once: a third test on the same calls, whatever becomes of it
    (path / "config.toml").write_text('[routes]\nstart = "live"\n')
    code = run(["--home", str(path), "route", "recertify", "--all"])
    (back,) = read_routes(path / "routes.json").routes
    assert back.certificate is not None
    assert (back.certificate.engine == "local") == (code == 0)
    said = capsys.readouterr().out
    assert ("certified on local" if code == 0 else f"{route.id}: nothing was changed.") in said


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(3600)
async def test_a_language_model_serves_alone_what_it_answered_in_batches(tmp_path: Path) -> None:
    """Live a request is answered by itself; calibration asked many at once."""
    if not catalogue.is_fetched(SLM, models_path()):
        pytest.skip(f"{SLM} is not fetched: deputize models fetch {SLM}")
    calls, path = list(parcels(N_PARCELS)), tmp_path / "home"
    path.mkdir()
    (path / "config.toml").write_text('[routes]\nstart = "live"\n')
    with Home(path) as home:
        home.store.append(calls)
        convert(home, Convert(models=(SLM,), methods=("lora",), epsilon=0.1, minutes=25))
    (result,) = artifacts(path)[2].results
    if result.certificate is None and result.refusal_reason.startswith("lora leaks: "):
        pytest.skip(
            f"the leak test refused the specialist, so there is nothing to serve ({result.refusal_reason})"
        )
    assert result.certificate is not None, result.refusal_reason
    asked = result.calibration[:N_ASKED]
    differ = await served_otherwise(path, asked, {c.id: c for c in calls}, tolerance=ROUNDING)
    # the threshold is the confidence of a calibration call, which rounding may put below it
    threshold = result.certificate.threshold
    assert not [o for o, _ in differ if o.confidence is None or abs(o.confidence - threshold) > ROUNDING]
    assert sum(o.served for o in asked) >= N_ASKED / 2


async def served_otherwise(
    path: Path, calibration: Sequence[CalibrationCall], by_id: dict[str, Call], *, tolerance: float = 1e-6
) -> list[tuple[CalibrationCall, Decision]]:
    """The calibration calls with which a live gateway does something else than the run recorded.

    Args:
        path: the home.
        calibration: what was recorded.
        by_id: the calls of the log.
        tolerance: of the confidence.
    """
    async with loopback_upstream() as upstream:
        live = await asked_live(path, upstream, [by_id[o.call_id] for o in calibration])
    with Home(path) as home:
        digest = answer_digest(home.keyring.derive("answers"))
    (route,) = RouteTable.build(read_routes(path / "routes.json")).routes
    differ = []
    for outcome, call in zip(calibration, live, strict=True):
        assert call.decision is not None
        same = (call.decision.served_by == "slm") == outcome.served
        if outcome.confidence is not None:
            same = same and call.decision.confidence == pytest.approx(outcome.confidence, abs=tolerance)
        if outcome.served:
            same = same and digest(answer_of(call.response, route.contract)) == outcome.answer
        if not same:
            differ.append((outcome, call.decision))
    return differ


async def asked_live(
    path: Path, upstream: LoopbackUpstream, calls: Sequence[Call], engine: InProcess | None = None
) -> list[Call]:
    """The calls once more, through a gateway; as they were recorded, in the order of `calls`."""
    with Home(path) as home:
        known = {c.id for c in home.store.calls()}
    # what the upstream says is no answer: audits would roll the route back
    settings = settings_for(path, upstream.base_url).model_copy(update={"audit_share": 0.0})
    async with (
        running_gateway(path, settings=settings, specialists=engine or InProcess(path)) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="sk-client", max_retries=0) as client,
    ):
        for call in calls:
            await client.chat.completions.create(
                model=call.model,
                messages=call.messages,  # type: ignore[arg-type]
                extra_headers={"x-deputize-agent": call.agent, "x-deputize-episode": f"again-{call.id}"},
            )
        await asyncio.sleep(1.0)
    with Home(path) as home:
        made = [c for c in home.store.calls() if c.id not in known]
        found = {
            c.episode: c for c in made if c.decision is None or not c.decision.reason.startswith("audit")
        }
    return [found[f"again-{call.id}"] for call in calls]
