"""One suite over every engine that answers for specialists."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests import tiny_specialist, tiny_tasks
from tests.a_users_engine import InProcessEngine
from tests.contracts.conftest import Install
from tests.scripted_hosts import publish_pinned, until_ready

from deputize.core.config import EngineSettings, ServingSettings
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Prediction, Request
from deputize.gateway.route_watcher import versions_of
from deputize.home import Home
from deputize.hosting.host_process import running_host
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.specialists.predictor import load
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.serving.host_messages import PURPOSE
from deputize.specialists.serving.hosts_engine import HostsEngine
from deputize.specialists.serving.registry import make_engine
from deputize.specialists.specialist_card import read_card, settings_of
from deputize.specialists.tuned_model import merged_model
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf
from deputize.testing import check_engine

Tiny = tuple[Path, str]
ROOT = Path(__file__).resolve().parents[2]
SLM = "SmolLM2-135M-Instruct"
SPECIALIST = "specialists/label-linear"
REQUESTS = [tiny_tasks.example("label", i, "test").request for i in (1, 2, 3, 5)]


@pytest.fixture(scope="module")
def home(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    tiny_tasks.train(folder, *tiny, ("label",), ("linear",), n=40)
    return folder


DECODER = "specialists/values"
WRITTEN = tiny_specialist.requests(3, "values")


@pytest.fixture(scope="module")
def written_home(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    tiny_specialist.make(tiny, folder / DECODER, "decoder", "values")
    return folder


async def test_local_keeps_the_contract(home: Path, tiny: Tiny) -> None:
    await check_engine(lambda: make_engine(EngineSettings(), home, tiny[0]), SPECIALIST, REQUESTS)


@pytest.mark.parametrize("kind", ["linear", "decoder"])
async def test_hosts_keep_the_contract_and_answer_bit_for_bit_as_in_this_process(
    kind: str, home: Path, written_home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tiny[0]))
    folder, name, requests = (
        (home, SPECIALIST, REQUESTS) if kind == "linear" else (written_home, DECODER, WRITTEN)
    )
    publish_pinned(folder, name)
    secret, versions = Home(folder).keyring.derive(PURPOSE), versions_of(Home(folder).routes())
    async with running_host(Home(folder)) as address:
        await until_ready(address)
        settings = ServingSettings(hosts=(address,), check_timeout_s=10.0)
        await check_engine(lambda: HostsEngine(settings, secret, lambda: versions), name, requests)
        engine = HostsEngine(settings, secret, lambda: versions)
        await engine.start()
        found = [await engine.predict(name, request, 60.0) for request in requests]
        await engine.stop()
    here = load(folder / name, tiny[0])
    alone = [here.predict([request])[0] for request in requests]
    assert [replace(one, latency_ms=0.0) for one in found] == [replace(one, latency_ms=0.0) for one in alone]


async def test_llamacpp_keeps_the_contract_for_what_is_written_and_for_what_is_not(
    home: Path, written_home: Path, tiny: Tiny
) -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    settings = EngineSettings(kind="llamacpp", precision="f32", threads=1)
    await check_engine(lambda: make_engine(settings, written_home, tiny[0]), DECODER, WRITTEN)
    engine = make_engine(settings, home, tiny[0])
    await engine.start()
    try:
        found = await engine.predict(SPECIALIST, REQUESTS[0], 60.0)
    finally:
        await engine.stop()
    assert found.engine == "local", "a linear model needs no llama.cpp"


async def test_openai_keeps_the_contract_with_a_real_server(
    written_home: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is the one that llama.cpp brings, with its API of OpenAI's form."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    card = read_card(written_home / DECODER)
    stored = StoredSpecialist(written_home / DECODER, card, settings_of(card), tiny[0])
    write_gguf(merged_model(stored), tmp_path / "m.gguf", name="m", precision="f32")
    server = LlamaCppEngine(tmp_path / "m.gguf", context=400)
    monkeypatch.setenv("SERVER_KEY", server.key)
    settings = EngineSettings(
        kind="openai", base_url=f"{server.address}/v1", api_key_env="SERVER_KEY", constraint="grammar"
    )
    await check_engine(lambda: make_engine(settings, written_home, tiny[0]), DECODER, WRITTEN)


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_vllm_keeps_the_contract(tmp_path: Path) -> None:
    """Against a real vLLM, started and ended by the engine: of `make vllm`, or the program that VLLM_PROGRAM names."""
    own = ROOT / ".env-vllm"
    ours = str(own / "bin" / "vllm") if (own / "ready").exists() else "vllm"
    program = os.environ.get("VLLM_PROGRAM") or ours
    if shutil.which(program) is None:
        pytest.skip("vLLM is not installed (make vllm; VLLM_PROGRAM names another program)")
    if not catalogue.is_fetched(SLM, models_path()):
        # on a CPU it has no attention for heads as narrow as those of the tiny model
        pytest.skip(f"{SLM} is not fetched: deputize models fetch {SLM}")
    tiny_specialist.make((models_path(), SLM), tmp_path / DECODER, "decoder", "values")
    settings = EngineSettings(
        kind="vllm",
        command=(program,),
        # in 16 bits an answer of random weights may differ with its company
        options=("--enforce-eager", "--max-model-len", "1024", "--dtype", "float32"),
    )
    await check_engine(
        lambda: make_engine(settings, tmp_path, models_path()), DECODER, WRITTEN, timeout_s=600.0
    )


async def test_a_users_engine_is_reached_by_its_name_and_keeps_the_contract(
    home: Path, tiny: Tiny, install: Install
) -> None:
    with pytest.raises(UsageError, match=r"'in-process'.* Known: local"):
        make_engine(EngineSettings(kind="in-process"), home, tiny[0])
    install({"deputize.engines": {"in-process": "tests.a_users_engine:InProcessEngine"}})
    assert isinstance(make_engine(EngineSettings(kind="in-process"), home, tiny[0]), InProcessEngine)
    await check_engine(
        lambda: make_engine(EngineSettings(kind="in-process"), home, tiny[0]), SPECIALIST, REQUESTS
    )


def test_an_entry_point_that_cannot_be_imported_is_bad_input(tmp_path: Path, install: Install) -> None:
    install({"deputize.engines": {"gone": "tests.a_users_engine:gone"}})
    with pytest.raises(BadInput, match="gone"):
        make_engine(EngineSettings(kind="gone"), tmp_path, tmp_path)


class AlwaysThere(InProcessEngine):
    """Answers before it is started."""

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        await self.start()
        return await super().predict(specialist_path, request, timeout_s)


class Patient(InProcessEngine):
    """Never gives up."""

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        return await super().predict(specialist_path, request, 1e9)


class Mixed(InProcessEngine):
    """Gives answers to whoever asks next."""

    last: Prediction | None = None

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        mine = await super().predict(specialist_path, request, timeout_s)
        await asyncio.sleep(0)
        given, self.last = self.last or mine, mine
        return given


class Inventive(InProcessEngine):
    """Answers for specialists that are not there."""

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        return await super().predict(SPECIALIST, request, timeout_s)


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        (AlwaysThere, "not started"),
        (Patient, "in time"),
        (Mixed, "change"),
        (Inventive, "not there"),
    ],
)
async def test_a_wrong_engine_fails(
    wrong: type[InProcessEngine], promise: str, home: Path, tiny: Tiny
) -> None:
    with pytest.raises(AssertionError, match=promise):
        await check_engine(lambda: wrong(home, tiny[0]), SPECIALIST, REQUESTS)
