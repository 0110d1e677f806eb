"""Which calls are trained on, and what makes a new run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Curated
from deputize.core.config import Convert, Privacy
from deputize.core.errors import BadInput
from deputize.core.progress import silent
from deputize.core.records import Call, Decision
from deputize.home import Home
from deputize.pipeline.conversion import open_run
from deputize.pipeline.curation import curate, episode_links, learnable, paraphrasing_model, privacy_now
from deputize.pipeline.run import artifact_of
from deputize.stages.curate.traffic_sample import traffic_sample
from deputize.testing import call


def test_only_whole_answers_of_the_llm_are_trained_on() -> None:
    good = call("a")
    assert learnable(good) and learnable(msgspec.structs.replace(good, decision=Decision(served_by="llm")))
    wrong: dict[str, Any]
    for wrong in (
        {"decision": Decision(served_by="slm")},
        {"decision": Decision(reason="audit_repeat")},
        {"response": {}},
        {"aborted": True},
        {"status": 500},
        {"protocol": "tool"},
    ):
        assert not learnable(msgspec.structs.replace(good, **wrong)), wrong


def test_an_empty_answer_that_the_gateway_saw_is_an_answer() -> None:
    """Calibration counts a specialist's answer in its place as an error; an import without a reply says nothing."""
    empty = msgspec.structs.replace(call("a"), response={})
    assert learnable(msgspec.structs.replace(empty, source="gateway")) and not learnable(empty)
    assert not learnable(msgspec.structs.replace(empty, source="gateway", status=502))
    assert not learnable(msgspec.structs.replace(empty, source="gateway", protocol="embeddings"))


def test_an_audit_is_of_the_episode_of_its_call(tmp_path: Path) -> None:
    """Steps are linked by their histories, in which the specialist's answer stands and not the LLM's."""

    def step(n: int, **more: Any) -> Call:
        history = [
            m for i in range(n) for m in (asked(i), {"role": "assistant", "content": f"{i} by the SLM"})
        ]
        served = {"id": f"s{n}", "response": {"role": "assistant", "content": f"{n} by the SLM"}}
        return Call(**{**served, "messages": [*history, asked(n)], "timestamp": 100.0 + n, **more})

    def asked(n: int) -> dict[str, str]:
        return {"role": "user", "content": f"What is next after {n}, please tell me?"}

    slm = Decision(served_by="slm", reason="live", route_id="r")
    audit = Decision(reason="audit", route_id="r", audit_of="s1", audit_share=0.5)
    by_llm = {"role": "assistant", "content": "what the LLM says"}
    calls = [
        *(step(n, decision=slm) for n in range(3)),
        step(1, id="s1-audit", decision=audit, response=by_llm),
        step(3, decision=Decision(reason="below_threshold", route_id="r"), response=by_llm),
    ]
    with Home(tmp_path) as home:
        home.store.append(calls)
        run = open_run(home, Convert(), silent)
        links = episode_links(run, traffic_sample(run.calls()))
    assert len(set(links.episode_of.values())) == 1
    assert set(links.episode_of) == {"s0", "s1", "s2", "s3", "s1-audit"}


def test_settings_of_privacy_are_told_apart_without_their_terms(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert privacy_now(home) == {"tagger": "default", "detectors": []}
    home.config_path.write_text('[privacy]\nsensitive = ["heron"]\n')
    first = privacy_now(home)
    home.config_path.write_text('[privacy]\nsensitive = ["egret"]\n')
    assert first != privacy_now(home) and "heron" not in str(first)


@pytest.mark.parametrize(
    "line", ['confirmed = ["heron"]', 'pseudonyms = "tenant"', 'unmeasured = "quarantine"']
)
def test_settings_that_change_what_is_replaced_make_another_run(tmp_path: Path, line: str) -> None:
    home = Home(tmp_path)
    before = privacy_now(home)
    home.config_path.write_text(f"[privacy]\n{line}\n")
    assert privacy_now(home) != before and "heron" not in str(privacy_now(home))
    Privacy.model_validate(privacy_now(home))


def test_confirmed_values_pseudonyms_and_languages_reach_the_curation(tmp_path: Path) -> None:
    """Two episodes, so two pseudonyms by default; a desk's own address stays."""
    texts = []
    for pseudonyms in ("episode", "tenant"):
        with Home(tmp_path / pseudonyms) as home:
            (tmp_path / pseudonyms / "config.toml").parent.mkdir(exist_ok=True)
            home.config_path.write_text(
                f'[privacy]\npseudonyms = "{pseudonyms}"\nconfirmed = ["desk@example-air.com"]\n'
            )
            for n in range(20):
                asked = f"Write to jane.doe@corp.com, not to desk@example-air.com, about order {n}."
                one = call(f"c{n}", origin=f"o{n}")
                one = msgspec.structs.replace(
                    one, messages=[{"role": "user", "content": asked}], episode=f"e{n}"
                )
                home.store.append([msgspec.structs.replace(one, group=f"e{n}", audience="code")])
            run = open_run(home, Convert(min_origins=1), silent)
            artifact = artifact_of(home, run.state.run_id, "curate", Curated)
            curate(run, artifact)
            examples = run.load_curated().examples
        texts.append([e.request.messages[-1]["content"] for e in examples])
    found = [{re.findall(r"to (\S+),", text)[0] for text in one} for one in texts]
    assert len(found[0]) > 1 and len(found[1]) == 1 and "jane.doe@corp.com" not in found[0] | found[1]
    assert all("desk@example-air.com" in text for one in texts for text in one)


def test_a_paraphraser_that_lacks_something_is_said() -> None:
    assert paraphrasing_model(Privacy()) is None
    with pytest.raises(BadInput, match="which model"):
        paraphrasing_model(Privacy(paraphraser={"base_url": "http://localhost:1"}))
    with pytest.raises(BadInput, match=r"\[privacy\] paraphraser"):
        paraphrasing_model(Privacy(paraphraser={"model": "m", "base": "x"}))


def test_a_run_without_a_detector_of_places_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deputize.privacy.standard_detectors.model_path", lambda: None)
    said: list[str] = []
    with Home(tmp_path) as home:
        home.store.append(
            [call(f"c{n}", reply="ab"[n % 2], episode=f"e{n}", audience="code") for n in range(8)]
        )
        run = open_run(home, Convert(privacy="strict"), lambda what, done, total=None: said.append(what))
        curate(run, artifact_of(home, run.state.run_id, "curate", Curated))
    assert any(line.startswith("NO LANGUAGE MODEL") and "pip install" in line for line in said)
