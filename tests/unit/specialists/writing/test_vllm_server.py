"""How a vLLM server is started, watched, given adapters and ended, with a program that stands in for it.

Its answers are tested against a real vLLM in tests/contracts/test_engines.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import stand_in_vllm, tiny_specialist

from deputize.core.config import EngineSettings
from deputize.core.errors import BadInput, MissingExtra, UpstreamError
from deputize.gateway.addresses import free_port
from deputize.specialists.catalogue import model_path
from deputize.specialists.predictor import load, unload
from deputize.specialists.prompt_tokenizer import PromptTokenizer, slot_ids
from deputize.specialists.specialist_card import write_card
from deputize.specialists.tuned_model import ADAPTER_FOLDER
from deputize.specialists.writing import vllm_server
from deputize.specialists.writing.completions_server import JsonApi

Tiny = tuple[Path, str]
ENGINE = EngineSettings(
    kind="vllm", command=(sys.executable, stand_in_vllm.__file__), options=("--dtype", "half")
)


@pytest.fixture
def log(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    words = PromptTokenizer.of_folder(model_path(tiny[1], tiny[0]))
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("STAND_IN_ANSWER", " ".join(map(str, slot_ids(words, "yes"))))
    yield tmp_path / "log"
    vllm_server.stop_servers()


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines()


def test_a_server_is_started_given_the_adapter_and_started_again_when_it_dies(
    tiny: Tiny, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder", "label")
    requests = tiny_specialist.requests(2, "label")
    predictor = load(stored.folder, tiny[0], engine=ENGINE)
    found = predictor.predict(requests)
    assert [(p.answer, p.engine) for p in found] == [("yes", "vllm half")] * 2
    first, loaded, pattern, *asked = lines(log)
    pid, name = int(first.split()[1]), loaded.split()[1]
    assert first.split()[2:] == ["serve", str(model_path(tiny[1], tiny[0]))]
    assert loaded.startswith("load_lora_adapter label-decoder-")
    # before the first call, which would wait for what vLLM makes of it
    assert pattern.startswith(f"pattern {name} ' (")
    # the choices, in the order of the schema
    assert len(asked) == 2 and all(one.startswith(f"completions {name} ' (") for one in asked)
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    with pytest.raises(UpstreamError, match="not started again yet"):
        predictor.predict(requests)
    monkeypatch.setattr(vllm_server.server_of(model_path(tiny[1], tiny[0]), ENGINE), "_next_try_s", 0.0)
    assert predictor.predict(requests[:1])[0].answer == "yes"
    assert [one.split()[0] for one in lines(log)[5:]] == [
        "pid",
        "load_lora_adapter",
        "pattern",
        "completions",
    ]
    again = int(lines(log)[5].split()[1])
    unload(predictor)
    assert lines(log)[-1] == f"unload_lora_adapter {name}"
    vllm_server.stop_servers()
    with pytest.raises(ProcessLookupError):
        os.kill(again, 0)


def test_what_vllm_cannot_do_is_refused_and_a_missing_program_named(tiny: Tiny, tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder", "label")
    with pytest.raises(MissingExtra, match="no-such-vllm is not installed"):
        load(stored.folder, tiny[0], engine=EngineSettings(kind="vllm", command=("no-such-vllm",)))
    vllm_server.stop_servers()
    with pytest.raises(
        UpstreamError, match=r"vLLM ended before it answered. To see why, run: false serve \S+ --host"
    ):
        load(stored.folder, tiny[0], engine=EngineSettings(kind="vllm", command=("false",)))
    vllm_server.stop_servers()
    silent = EngineSettings(kind="vllm", command=("sh", "-c", "sleep 60"), start_s=0.1)
    with pytest.raises(
        UpstreamError, match=r"vLLM did not answer within 0.1 s \(start_s\). To see why, run: sh -c 'sleep"
    ):
        load(stored.folder, tiny[0], engine=silent)
    vllm_server.stop_servers()
    config = stored.folder / ADAPTER_FOLDER / "adapter_config.json"
    for change, why in (({"use_dora": True}, "DoRA"), ({"r": 512}, "rank")):
        config.write_text(json.dumps(json.loads(config.read_text()) | change))
        stored.card.checksums.pop(f"{ADAPTER_FOLDER}/adapter_config.json", None)
        write_card(stored.folder, stored.card)
        with pytest.raises(BadInput, match=why):
            load(stored.folder, tiny[0], engine=ENGINE)
        config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": False}))


def test_a_running_server_is_asked_at_its_address(tiny: Tiny, tmp_path: Path, log: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder", "label")
    address = vllm_server.server_of(model_path(tiny[1], tiny[0]), ENGINE).ensure()
    attached = EngineSettings(
        kind="vllm", base_url=address, api_key_env=vllm_server.KEY_VARIABLE, served_precision="bf16"
    )
    predictor = load(stored.folder, tiny[0], engine=attached)
    (found,) = predictor.predict(tiny_specialist.requests(1, "label"))
    assert (found.answer, found.engine) == ("yes", "vllm bf16")
    unload(predictor)
    assert [one.split()[0] for one in lines(log)] == [
        "pid",
        "load_lora_adapter",
        "pattern",
        "completions",
        "unload_lora_adapter",
    ]


def test_a_server_that_somebody_started_again_is_given_the_adapter_again(
    tiny: Tiny, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder", "label")
    requests = tiny_specialist.requests(6, "label")
    environ = {**os.environ, "VLLM_API_KEY": "k"}
    monkeypatch.setenv("KEY_OF_STAND_IN", "k")
    command = [sys.executable, stand_in_vllm.__file__, "serve", "x", "--port", str(free_port())]
    address = f"http://127.0.0.1:{command[-1]}/v1"

    def started() -> subprocess.Popen[bytes]:
        server, api = subprocess.Popen(command, env=environ), JsonApi(address)
        while not api.is_up():
            assert server.poll() is None
            time.sleep(0.1)
        api.close()
        return server

    server = started()
    try:
        attached = EngineSettings(
            kind="vllm", base_url=address, api_key_env="KEY_OF_STAND_IN", served_precision="bf16", at_once=4
        )
        predictor = load(stored.folder, tiny[0], engine=attached)
        assert predictor.predict(requests[:1])[0].answer == "yes"
        server.kill()
        server.wait()
        server = started()
        assert [found.answer for found in predictor.predict(requests)] == ["yes"] * 6, "four threads at once"
        assert sum(line.startswith("load_lora_adapter") for line in lines(log)) == 2, "once for each start"
        unload(predictor)
    finally:
        server.kill()
        server.wait()
