"""Answers of a server with OpenAI's completions API: a real one, which llama.cpp brings; and replies that are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.config import EngineSettings
from deputize.core.errors import BadInput, UpstreamError, UpstreamTimeout
from deputize.specialists.export_forms.tuned_copy import predictor_around
from deputize.specialists.predictor import SpecialistPredictor, load, unload
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tuned_model import merged_model
from deputize.specialists.writing import completions_server
from deputize.specialists.writing.completions_server import JsonApi, tokens_of
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf

Served = tuple[StoredSpecialist, LlamaCppEngine]


@pytest.fixture(autouse=True)
def closing_all() -> Iterator[None]:
    yield
    for one in _open:
        unload(one)
    _open.clear()


_open: list[SpecialistPredictor] = []


def closing(one: SpecialistPredictor) -> SpecialistPredictor:
    """The same, let go at the end of the test."""
    _open.append(one)
    return one


@pytest.fixture(scope="module", params=["values", "label"])
def served(
    request: pytest.FixtureRequest, tiny: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    folder = tmp_path_factory.mktemp("served")
    stored = tiny_specialist.make(tiny, folder / "s", "decoder", request.param)
    write_gguf(merged_model(stored), folder / "m.gguf", name="m", precision="f32")
    yield stored, LlamaCppEngine(folder / "m.gguf", context=400)


@pytest.mark.parametrize("prompt", ["tokens", "text"])
def test_a_real_server_answers_within_the_grammar(
    served: Served, monkeypatch: pytest.MonkeyPatch, prompt: str
) -> None:
    stored, server = served
    monkeypatch.setenv("SERVER_KEY", server.key)
    # with random weights a choice may be anywhere in the vocabulary
    monkeypatch.setattr(completions_server, "N_LISTED", 400)
    engine = EngineSettings.model_validate(
        {
            "kind": "openai",
            "base_url": f"{server.address}/v1/",
            "api_key_env": "SERVER_KEY",
            "constraint": "grammar",
            "prompt": prompt,
            "served_precision": "f32",
        }
    )
    there = closing(load(stored.folder, stored.models_dir, engine=engine))
    assert there.engine == f"openai f32 at {server.address}/v1"
    task = stored.card.task_id
    own = predictor_around(stored, merged_model(stored), "", stored.folder).predict(
        tiny_specialist.texts(8, task)
    )
    its = there.predict(tiny_specialist.requests(8, task))
    same = [(a, b) for a, b in zip(own, its, strict=True) if a.answer == b.answer]
    assert len(same) >= 6
    for a, b in same:
        assert b.confidence == pytest.approx(
            stored.settings.calibration.confidence(a.raw_confidence), abs=0.05
        )


def test_without_a_constraint_what_is_no_answer_is_none(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, server = served
    monkeypatch.setenv("SERVER_KEY", server.key)
    engine = EngineSettings(kind="openai", base_url=f"{server.address}/v1", api_key_env="SERVER_KEY")
    requests = tiny_specialist.requests(3, stored.card.task_id)
    found = closing(load(stored.folder, stored.models_dir, engine=engine)).predict(requests)
    # random weights write no label, and no line break that ends a slot
    assert [(p.answer, p.confidence) for p in found] == [(None, 0.0)] * 3
    monkeypatch.setenv("SERVER_KEY", "wrong")
    with pytest.raises(BadInput, match=r"refuses /completions \(401\)"):
        closing(load(stored.folder, stored.models_dir, engine=engine)).predict(requests[:1])


class _Says(BaseHTTPRequestHandler):
    """Answers with a status and a text."""

    protocol_version = "HTTP/1.1"

    def __init__(self, status: int, text: str, *args: object) -> None:
        self.status, self.text = status, text
        super().__init__(*args)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *args: object) -> None: ...


def said(status: int, text: str) -> dict[str, object]:
    with HTTPServer(("127.0.0.1", 0), partial(_Says, status, text)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = JsonApi(f"http://127.0.0.1:{server.server_port}/v1")
        try:
            return api.post("/completions", {})
        finally:
            api.close()
            server.shutdown()


def test_a_server_that_fails_is_told_from_one_that_refuses_and_is_not_quoted() -> None:
    assert said(200, '{"choices": []}') == {"choices": []}
    with pytest.raises(UpstreamError, match=r"fails \(503\)"):
        said(503, "busy with the prompt of Ann")
    with pytest.raises(BadInput, match=r"refuses /completions \(400\)\.$"):
        said(400, "I do not understand: the prompt of Ann")
    assert said(200, "done") == {}


def test_a_server_that_is_not_there_or_says_nothing(tmp_path: Path) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        api = JsonApi(f"http://127.0.0.1:{port}/v1", timeout_s=0.2)
        with pytest.raises(UpstreamError, match="cannot be reached"):
            api.post("/completions", {})
        assert not api.is_up()
        silent.listen()
        with pytest.raises(UpstreamTimeout, match="says nothing"):
            api.post("/completions", {})


def test_log_probabilities_are_read_in_both_forms() -> None:
    chat = {
        "content": [
            {"token": " a", "logprob": -1.0, "top_logprobs": [{"token": " a", "logprob": -1.0, "id": 7}]},
            {"token": "b", "id": 3, "logprob": -2.0},
        ]
    }
    assert tokens_of(chat) == [(" a", -1.0, {7: -1.0}), (3, -2.0, {})]
    legacy = {
        "tokens": [" a", "token_id:5"],
        "token_logprobs": [-1, -2],
        "top_logprobs": [{"token_id:9": -3}, None],
    }
    assert tokens_of(json.loads(json.dumps(legacy))) == [(" a", -1.0, {9: -3.0}), (5, -2.0, {})]
    with pytest.raises(BadInput, match="no log-probabilities"):
        tokens_of(None)
