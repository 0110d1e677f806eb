"""Memory of models, and what a machine can do with them."""

from __future__ import annotations

import msgspec
import pytest

from deputize.specialists import catalogue
from deputize.specialists import model_memory as memory
from deputize.specialists.catalogue import Model, Shape
from deputize.specialists.hardware import Accelerator, Hardware

SMOL = "SmolLM2-135M-Instruct"


def machine(memory_gb: float, *cards: float) -> Hardware:
    return Hardware(
        cpu="c",
        architecture="x86_64",
        features=[],
        n_cores=2,
        memory_gb=memory_gb,
        free_gb=memory_gb,
        accelerators=[Accelerator(name="card", memory_gb=gb) for gb in cards],
    )


def test_weights_take_their_bytes_and_embeddings_stay_at_16_bits() -> None:
    smol = catalogue.find(SMOL)
    assert memory.weights_gb(smol, "fp32") == pytest.approx(0.538)
    assert memory.weights_gb(smol, "bf16") == pytest.approx(0.269)
    embeddings = 49152 * 576 / 1e9
    assert memory.weights_gb(smol, "int4") == pytest.approx(2 * embeddings + 0.5625 * (0.1345 - embeddings))


def test_memory_grows_with_parameters_and_with_precision() -> None:
    models = sorted(catalogue.catalogue().values(), key=lambda m: m.params_m)
    in_bf16 = [memory.weights_gb(m, "bf16") for m in models]
    assert in_bf16 == sorted(in_bf16)
    for model in models:
        by_precision = [memory.weights_gb(model, p) for p in ("int4", "int8", "bf16", "fp32")]
        assert by_precision == sorted(by_precision) and by_precision[0] > 0, model.name
        wider = msgspec.structs.replace(model, params_m=model.params_m * 1.5)
        for precision in memory.PRECISIONS:
            assert memory.weights_gb(wider, precision) > memory.weights_gb(model, precision)
            assert memory.training_gb(wider, precision) > memory.training_gb(model, precision)


def test_the_cache_is_computed_from_the_shape() -> None:
    assert memory.kv_cache_gb(catalogue.find(SMOL)) == pytest.approx(2 * 30 * 3 * 64 * 2 * 1000 / 1e9)
    windowed = catalogue.find("gemma-3-270m-it")
    short, long = memory.kv_cache_gb(windowed, 512), memory.kv_cache_gb(windowed, 1024)
    assert short is not None and long is not None and short < long < 1.2 * short, (
        "15 of 18 layers keep 512 tokens"
    )
    hybrid = memory.kv_cache_gb(catalogue.find("LFM2.5-350M"))
    assert hybrid == pytest.approx(2 * 6 * 8 * 64 * 2 * 1000 / 1e9), "ten layers keep nothing"
    assert memory.kv_cache_gb(catalogue.find("all-MiniLM-L6-v2")) == 0
    assert memory.kv_cache_gb(catalogue.find("Hymba-1.5B-Instruct")) is None


def test_a_machine_gets_the_best_precision_that_fits() -> None:
    model = catalogue.find("Qwen3-8B")
    assert memory.fit(model, machine(64)).train == "bf16"
    narrow = memory.fit(model, machine(24))
    assert (
        (narrow.train, narrow.serve) == ("int4", "bf16")
        and narrow.train_gb <= narrow.budget_gb
        and narrow.why == ""
    )
    assert memory.fit(model, machine(8, 80)).train == "bf16", "the card counts where it has more"
    served = memory.fit(model, machine(12))
    assert (served.train, served.serve) == ("", "int4") and "to train it takes about" in served.why
    none = memory.fit(model, machine(4))
    assert (none.train, none.serve) == ("", "") and "to serve it takes about" in none.why
    assert memory.fit(catalogue.find("RETRO-7.5B"), machine(999)).why == "it has no public weights"


def test_a_row_without_a_shape_has_estimates_too() -> None:
    bare = Model(name="x", params_m=1000, context=10, licence="mit", source="", hub="a/b", shape=Shape())
    assert memory.counted_params_m(bare) is None
    assert memory.fit(bare, machine(16)).train == "bf16"
