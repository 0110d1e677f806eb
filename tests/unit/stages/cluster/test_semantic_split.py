"""The semantic split: several jobs under one template become several tasks, one job stays one."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from deputize.core.records import Example, Request
from deputize.core.template_key import branch_of
from deputize.stages.cluster.merge import Fragment
from deputize.stages.cluster.recurring_lines import PromptCall, UnitSplitter, prompt_call
from deputize.stages.cluster.reply_profiles import read_reply
from deputize.stages.cluster.semantic_split import is_heterogeneous, shape_class, split_by_meaning

pytest.importorskip("graspologic_native")

JOBS = {
    "weather": ("will it rain in {} tomorrow", "weather forecast for {}", "is it sunny in {}, will it rain"),
    "money": ("send money to {}", "transfer some money from my account to {}", "pay {} from my account"),
}


def calls(n: int, jobs: tuple[str, ...], n_stray: int = 0) -> tuple[list[PromptCall], list[str]]:
    """The last `n_stray` transfers of money are answered with a word."""
    r = random.Random(0)
    splitter = UnitSplitter()
    out: list[PromptCall] = []
    truth = [r.choice(jobs) for _ in range(n)]
    stray = [i for i, job in enumerate(truth) if job == "money"][-n_stray:] if n_stray else []
    for i, job in enumerate(truth):
        text = r.choice(JOBS[job]).format(f"{r.choice('abcdefgh')}x{r.randint(0, 10**6)}")
        is_transfer = job == "money" and i not in stray
        reply = json.dumps({"amount": i, "to": "x"}) if is_transfer else ("yes", "no", "perhaps")[i % 3]
        response = {"role": "assistant", "content": reply}
        request = Request(messages=[{"role": "user", "content": text}])
        example = Example(
            call_id=f"c{i}",
            request=request,
            response=response,
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"g{i}",
        )
        out.append(prompt_call(i, example, read_reply(response), splitter))
    return out, truth


def test_two_jobs_are_split_and_the_classifier_leads_to_them() -> None:
    members, truth = calls(200, ("weather", "money"))
    fragment = Fragment.of(members, ((), ()))
    assert is_heterogeneous(fragment)
    parts, classifier = split_by_meaning(fragment, models_dir=Path("/nonexistent"), seed=0)
    assert classifier is not None and len(parts) == 2
    assert [{truth[call.index] for call in part} for part in parts] in (
        [{"weather"}, {"money"}],
        [{"money"}, {"weather"}],
    )
    for branch, part in enumerate(parts):
        assert all(branch_of(classifier, call.opening[1])[0] == str(branch) for call in part)


def test_stray_replies_of_another_kind_stay_with_their_job() -> None:
    members, truth = calls(400, ("weather", "money"), n_stray=12)
    parts, classifier = split_by_meaning(Fragment.of(members, ((), ())), models_dir=None, seed=0)
    assert classifier is not None
    assert len(parts) == 2 and all(len({truth[call.index] for call in part}) == 1 for part in parts)


def test_one_job_is_not_split() -> None:
    members, _ = calls(200, ("money",))
    assert not is_heterogeneous(Fragment.of(members, ((), ())))
    assert split_by_meaning(Fragment.of(members, ((), ())), models_dir=None, seed=0) == ([members], None)


def test_a_word_is_another_kind_of_reply_than_text() -> None:
    shapes = [
        shape_class(read_reply({"content": text}))
        for text in ("yes", "a short reply of six words", '{"a": 1}')
    ]
    assert shapes == ["word", "text", "json:a"]


def test_jobs_without_answers_are_split_by_their_instructions() -> None:
    members, truth = calls(200, ("weather", "money"))
    mute = [replace(call, reply=read_reply({"role": "assistant", "content": ""})) for call in members]
    parts, classifier = split_by_meaning(Fragment.of(mute, ((), ())), models_dir=None, seed=0)
    assert classifier is not None and len(parts) >= 2
    pure = [Counter(truth[call.index] for call in part).most_common(1)[0][1] for part in parts]
    assert sum(pure) >= 0.95 * len(members)
