"""A conversion of a log with right answers: certified against them, computed again from the store, and told from
agreement."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest
from tests import tiny_model
from tests.integration.pipeline.served_traffic import PHRASES, Letters

from deputize.cli.main import run
from deputize.core.config import Convert
from deputize.core.records import Call
from deputize.home import Home
from deputize.pipeline.certificate_check import check_certificate, summary_of
from deputize.pipeline.conversion import convert
from deputize.routes_file import read_routes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def labelled(n: int, seed: int) -> list[Call]:
    """Letters; a drawn half comes with the right answer: the kind that was written about first, which the LLM misses
    at times."""
    letters, rng = Letters(seed), random.Random(seed)
    out = []
    for _ in range(n):
        call = letters.next()
        text = str(call.messages[-1]["content"])
        place = {
            kind: text.find(phrase) for kind, some in PHRASES.items() for phrase in some if phrase in text
        }
        right = min(place, key=lambda kind: place[kind])
        label = {"role": "assistant", "content": right} if rng.random() < 0.5 else None
        out.append(msgspec.structs.replace(call, correction=label))
    return out


def test_right_answers_certify_what_agreement_with_a_mistaken_llm_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_model.installed(tmp_path / "models", tmp_path)
    path = tmp_path / "home"
    path.mkdir()
    (path / "config.toml").write_text('[routes]\nstart = "live"\n')
    config = Convert(models=(tiny_model.NAME,), methods=("linear",), epsilon=0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
        with Home(path) as home:
            home.store.append(labelled(2000, seed=3))
            (by_llm,) = convert(home, config)["tasks"]
            (by_labels,) = convert(
                home, config.model_copy(update={"reference": "labels", "labels_at_random": True})
            )["tasks"]
        made = by_labels["certificate"]
        assert made is not None, by_labels["refusal_reason"]
        assert made["kind"] == "not_worse_on_labels" and made["labels"]["at_random"]
        assert made["labels"]["n_specialist_better"] > made["labels"]["n_llm_better"]
        assert made["share_served"] > (by_llm["certificate"] or {"share_served": 0.0})["share_served"] + 0.1
        (route,) = read_routes(path / "routes.json").routes
        assert route.certificate is not None
        with Home(path) as home:
            found = check_certificate(home, route)
            assert found.is_equal, summary_of(found)
        capsys.readouterr()
        assert run(["--json", "--home", str(path), "route", "verify", route.id]) == 0
        assert json.loads(capsys.readouterr().out)["equal"] is True
        weights = next(p for p in (path / route.specialist).iterdir() if p.suffix == ".npz")
        weights.write_bytes(weights.read_bytes() + b"\n")
        assert run(["--home", str(path), "route", "verify", route.id]) == 1
        assert "not the file that was certified" in capsys.readouterr().out
