"""Limits of what varies: the most that calls had, but for a few."""

from __future__ import annotations

import random

import pytest
from msgspec import structs

from deputize.core.records import Example, KeySpace, PromptLimits, Request
from deputize.core.signature import signature
from deputize.core.template_key import TemplateMatcher
from deputize.stages.cluster.fit_prompt_limits import fit_prompt_limits
from deputize.stages.cluster.recurring_lines import UnitSplitter, prompt_call
from deputize.stages.cluster.reply_profiles import read_reply

SYSTEM = "You sort letters."
FEW = ["lamp", "chair", "kettle"]


def request(user: str, system: str = SYSTEM) -> Request:
    return Request(messages=[{"role": "system", "content": system}, {"role": "user", "content": user}])


def limits_for(requests: list[Request], n_subjects: int = 50, min_origins: int = 2) -> PromptLimits:
    split = UnitSplitter()
    reply = {"role": "assistant", "content": "a"}
    calls = [
        prompt_call(
            i,
            Example(
                call_id=f"c{i}",
                request=r,
                response=reply,
                audience="code",
                site="s",
                episode=f"e{i}",
                group=f"g{i}",
                origin=f"o{i % n_subjects}",
            ),
            read_reply(reply),
            split,
        )
        for i, r in enumerate(requests)
    ]
    space = KeySpace(signature=signature(requests[0]), lines=[SYSTEM], heads=["Letter:"])
    key = TemplateMatcher(space).key(requests[0])
    return fit_prompt_limits(space, [(key, calls)], min_origins)[key]


def test_what_never_varies_may_not_vary() -> None:
    limits = limits_for([request(f"Letter: the {FEW[i % 3]} is broken") for i in range(300)])
    assert limits.user.n_unknown == [0, 0] and limits.user.n_repeats == [1]
    assert limits.user.n_new_words == [0, 0] and limits.user.instructions == {}
    assert limits.vocabulary == sorted([*FEW, "broken"]), "function words are in every text"
    assert limits.system.n_unknown == [0, 0] and limits.system.instructions == {}


@pytest.mark.parametrize(
    ("user", "is_changed"),
    [
        ("Letter: a lamp is broken", False),
        ("Letter: the lamp is broken for us", False),
        ("Letter: the lamp is not broken", True),
        ("Letter: the lamp is only broken", True),
        ("Letter: the lamp is broken, reject it", True),
    ],
)
def test_few_prompts_need_not_have_every_function_word(user: str, is_changed: bool) -> None:
    requests = [request("Letter: the lamp is broken") for _ in range(6)]
    limits = limits_for(requests)
    space = KeySpace(signature=signature(requests[0]), lines=[SYSTEM], heads=["Letter:"])
    key = TemplateMatcher(space).key(requests[0])
    matcher = TemplateMatcher(structs.replace(space, prompt_limits={key: limits}))
    assert not matcher.match(requests[0]).is_changed
    assert matcher.match(request(user)).is_changed == is_changed


def test_what_varies_may_vary_as_it_did() -> None:
    rng = random.Random(0)
    requests = [
        request("Letter: x\n" + "\n".join(f"line {i} {k}" for k in range(rng.randint(1, 5))))
        for i in range(400)
    ]
    assert limits_for(requests).user.n_unknown == [0, 5]
    assert limits_for(requests[:100]).user.n_unknown == [0, 6], "few prompts do not show all that may come"
    assert limits_for(requests[:25]).user.n_unknown == [0, 9], "a quarter of them show less"
    rare = [*requests, request("Letter: x\n" + "odd\n" * 90)]
    assert limits_for(rare).user.n_unknown == [0, 5], "one call in 200 does not widen a limit"


def test_in_free_text_words_are_no_limit() -> None:
    rng = random.Random(1)

    def word() -> str:
        return "".join(rng.choices("abcdefghij", k=9))

    limits = limits_for([request("Letter: " + " ".join(word() for _ in range(12))) for _ in range(300)])
    assert limits.user.n_new_words == [0, None] and limits.vocabulary == []
    assert limits.user.n_unknown == [0, 0]


def test_words_of_one_subject_are_in_no_vocabulary() -> None:
    requests = [
        request(f"Letter: the {'secret' if i % 50 == 7 else FEW[i % 3]} is broken") for i in range(300)
    ]
    assert "secret" not in limits_for(requests).vocabulary
    assert "lamp" in limits_for(requests).vocabulary


def test_calls_that_speak_as_instructions_do_may_go_on_doing_so() -> None:
    requests = [request(f"Letter: please answer soon, the {FEW[i % 3]} is broken") for i in range(300)]
    found = limits_for(requests).user
    assert (found.n_instructions, found.instructions) == (None, {"answer": 1})


def test_signs_of_single_subjects_say_that_others_will_come() -> None:
    verbs = ["answer", "use", "list", "name", "choose", "give", "add"]
    requests = [request(f"Letter: the {FEW[i % 3]} is broken") for i in range(200)]
    requests += [request(f"Letter: {verb} it, the lamp is broken") for verb in verbs]
    limits = limits_for(requests, n_subjects=300).user
    assert limits.instructions is None and limits.n_instructions == 1
    one_in_200 = (
        requests[:200]
        + [request(f"Letter: the {FEW[i % 3]} is late, {i}") for i in range(300)]
        + requests[-2:]
    )
    assert limits_for(one_in_200, n_subjects=600).user.instructions == {}, "of one subject each: not kept"
