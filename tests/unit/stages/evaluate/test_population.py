"""The population of a task: what the live table would send it, raw, and what it was filed with besides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.stages.evaluate.conftest import LABEL, Recorded

from deputize.core.artifacts import Curated, Discovered, Withheld
from deputize.core.records import (
    Call,
    Decision,
    Example,
    KeySpace,
    Outcome,
    PromptLimits,
    PromptRecipe,
    Request,
    RequestLimits,
    Task,
    TextLimits,
)
from deputize.core.signature import signature
from deputize.core.template_key import TemplateKeys
from deputize.scoring.costs import load_prices
from deputize.stages.evaluate.population import (
    Population,
    PopulationCall,
    asked_request,
    read_population,
)

SORT, OTHER = "Sort the letter.", "Write a poem."


def call(id: str, system: str = SORT, reply: str = "refund", **given: Any) -> Call:
    return Call(
        id=id,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": f"letter {id}"}],
        response={"role": "assistant", "content": reply},
        **given,
    )


def example(call: Call, split: str = "calibration") -> Example:
    return Example(
        call_id=call.id,
        request=call.request(),
        response=call.response,
        audience="code",
        site="s",
        episode=f"e-{call.id}",
        group=f"g-{call.id}",
        split=split,  # type: ignore[arg-type]
    )


SPACE = KeySpace(signature=signature(call("x").request()), lines=[SORT])
KEY = TemplateKeys([SPACE]).key(call("x").request())
TASK = Task(id="t", name="sort", contract=LABEL, recipe=PromptRecipe(), keys=[KEY])


def population(
    raw: list[Call],
    examples: list[Example],
    withheld: tuple[Withheld, ...] = (),
    filed: tuple[str, ...] = (),
    min_origins: int = 1,
    space: KeySpace = SPACE,
    unread: tuple[str, ...] = (),
) -> Population:
    curated = Curated(
        examples=examples, sites=[], n_calls=len(raw), n_episodes=1, n_code_calls=1, withheld=list(withheld)
    )
    discovered = Discovered(
        tasks=[TASK], keyspaces=[space], assignment=dict.fromkeys(filed, "t"), min_origins=min_origins
    )
    return read_population(Recorded(raw), curated, discovered, load_prices(), unread_reserve=unread)


def asked(found: Population) -> dict[str, bool]:
    return {c.call_id: c.is_asked for c in found.of("t")}


def test_the_raw_request_decides_and_not_where_the_example_was_filed() -> None:
    """Curated text has the key, the raw one has not: nobody would be asked live. And the other way round."""
    lost, gained = call("lost", OTHER), call("gained")
    examples = [
        msgspec.structs.replace(example(lost), request=call("lost").request()),
        msgspec.structs.replace(example(gained), request=call("gained", OTHER).request()),
    ]
    found = population([lost, gained], examples, filed=("lost",))
    assert asked(found) == {"lost": False, "gained": True}
    assert asked(population([lost], examples[:1])) == {}, "of no task at all"


def test_withheld_calls_are_in_it_with_their_place_in_the_split() -> None:
    held = Withheld(call_id="odd", reason="quarantined: EMAIL", group="g", episode="e", split="test")
    (one,) = population([call("odd")], [], (held,)).of("t")
    assert (one.split, one.group, one.episode, one.is_asked) == ("test", "g", "e", True)
    elsewhere = msgspec.structs.replace(held, split="train")
    assert asked(population([call("odd")], [], (elsewhere,))) == {}


def test_the_reserve_is_calibration_where_nobody_has_read_it_and_validation_elsewhere() -> None:
    """Withheld calls too: which are withheld may depend on the answer."""
    raw = [call("a"), call("odd")]
    held = Withheld(call_id="odd", reason="quarantined: EMAIL", group="g", episode="e", split="reserve")
    for unread, split in ((("t",), "calibration"), (("other",), "validation"), ((), "validation")):
        found = population(raw, [example(raw[0], "reserve")], (held,), unread=unread)
        assert {c.split for c in found.of("t")} == {split} and len(found.of("t")) == 2


def test_training_calls_are_not_in_it_and_a_contract_broken_by_the_llm_is() -> None:
    raw = [call("a"), call("b", reply="I do not know")]
    found = population(raw, [example(raw[0], "train"), example(raw[1])])
    assert asked(found) == {"b": True}


def test_what_the_router_takes_for_a_changed_prompt_is_not_asked() -> None:
    """Also where curation withheld the call, so that it was filed nowhere."""
    limits = PromptLimits(user=TextLimits(n_unknown=[0]))
    strict = msgspec.structs.replace(SPACE, prompt_limits={KEY: limits})
    assert TemplateKeys([strict]).match(call("x").request()) == ("", True, KEY)
    held = Withheld(call_id="odd", reason="quarantined: EMAIL", group="g", episode="e", split="test")
    assert asked(population([call("odd")], [], (held,), space=strict)) == {"odd": False}


def test_what_only_an_llm_can_answer_is_not_asked() -> None:
    several = call("several", params={"n": 3})
    assert asked_request(several) is None and asked_request(call("one", params={"n": 1})) is not None
    assert asked_request(call("later", params={"previous_response_id": "r"})) is None
    assert asked_request(msgspec.structs.replace(call("empty"), messages=[])) is None, (
        "the gateway refuses it"
    )
    assert asked(population([several], [example(several)])) == {"several": False}


def test_calls_outside_the_limits_of_calibration_are_not_asked() -> None:
    """They are left out of what counts as served, since the gateway leaves them to the LLM."""
    sent = {"temperature": 0}
    raw = [call(f"c{i}", params=sent, model="gpt-4o", source="gateway") for i in range(3)]
    person = call("person", params=sent, model="gpt-4o", source="gateway", audience="human")
    warm = call("warm", params={"temperature": 1.5}, model="gpt-4o", source="gateway")
    other = call("other", params=sent, model="o3-pro", source="gateway")
    places = [
        *(example(c) for c in raw),
        example(person),
        example(warm, "test"),
        example(other, "validation"),
    ]
    found = population([*raw, person, warm, other], places)
    assert [id for id, is_asked in asked(found).items() if not is_asked] == ["person", "warm", "other"]
    reasons = {c.call_id: c.not_asked for c in found.of("t") if not c.is_asked}
    assert reasons["warm"] == "params:temperature" and reasons["person"] == "audience"
    limits = found.limits_of("t")
    assert limits.models == ["gpt-4o"] and limits.ranges == {"temperature": (0.0, 0.0)}
    assert found.limits_of("no task") == RequestLimits()


def test_limits_hold_nothing_that_the_calls_of_one_person_alone_have() -> None:
    """People are told apart by origin; where a call has none, by its group."""
    raw = [call(f"c{i}", source="gateway", model="gpt-4o", origin=f"p{i}") for i in range(3)]
    own = [call(f"o{i}", source="gateway", model="tuned for anna", origin="anna") for i in range(9)]
    unnamed = [call(f"u{i}", source="gateway", model="small") for i in range(2)]
    every = [*raw, *own, *unnamed]
    found = population(every, [example(c) for c in every], min_origins=2)
    assert found.limits_of("t").models == ["gpt-4o", "small"]
    assert {id for id, is_asked in asked(found).items() if not is_asked} == {c.id for c in own}


def test_the_request_is_formed_as_the_gateway_forms_it() -> None:
    odd = call("odd", tools=[], response_format=None, agent="shop", site="desk")
    request = asked_request(odd)
    assert request == Request(messages=odd.messages, agent="shop", site="desk")


def test_calls_without_a_route_are_drawn_like_those_of_the_route() -> None:
    """All of them have the LLM's answer, of the others only the tenth that was audited: the traffic has as many of
    both."""
    audit = Decision(reason="audit", route_id="route-t", audit_share=0.1)
    unrouted = Decision(reason="no_route")
    raw = [call(f"c{i}", decision=unrouted if i % 11 else audit, model=f"m{i % 11}") for i in range(1100)]
    found = population(raw, [example(c) for c in raw])
    kinds = [bool(int(c.call_id[1:]) % 11) for c in found.of("t")]
    assert kinds.count(False) == 100 and kinds.count(True) == pytest.approx(100, abs=30)
    assert len(found.limits_of("t").models) == 11 and found.n_missing_from_store == 0


def test_what_has_left_the_store_is_counted() -> None:
    raw = [call("a"), call("b")]
    assert population(raw[:1], [example(c) for c in raw]).n_missing_from_store == 1


def test_texts_come_one_by_one_with_repeated_samples_and_none_for_what_is_gone() -> None:
    raw = [call("a"), call("again", reply="cancel")]
    facts = PopulationCall(
        call_id="a",
        episode="e",
        group="g",
        audience="code",
        split="test",
        is_asked=True,
        llm_usd=0.0,
        is_commonest=False,
        repeated=("again", "gone"),
    )
    gone = msgspec.structs.replace(facts, call_id="gone", repeated=())
    first, second = Population({"t": [facts, gone]}, Recorded(raw)).texts([facts, gone])
    assert first is not None and first.call == raw[0] and first.repeated == [raw[1]] and second is None


def test_the_commonest_answer_of_training_is_known_of_each_call() -> None:
    raw = [call("a"), call("b", reply="cancel"), call("c")]
    examples = [example(raw[0], "train"), example(raw[1]), example(raw[2])]
    found = population(raw, examples, filed=("a", "b", "c"))
    assert {c.call_id: c.is_commonest for c in found.of("t")} == {"b": False, "c": True}


def test_what_is_known_of_the_right_answer_comes_with_a_call() -> None:
    """A failed episode says that its only call was answered wrongly, and nothing of any where it has two."""
    right = {"role": "assistant", "content": "refund"}
    bad = Outcome(success=False)
    raw = [
        call("told", correction=right),
        call("alone", outcome=bad),
        call("first", outcome=bad),
        call("second", outcome=bad),
        call("good", outcome=Outcome(success=True)),
        call("routed", outcome=bad, decision=Decision(route_id="r", reason="low_confidence")),
    ]
    examples = [example(one) for one in raw]
    examples[3] = msgspec.structs.replace(examples[3], episode=examples[2].episode)
    found = {c.call_id: c for c in population(raw, examples).of("t")}
    assert found["told"].label == right and not found["told"].is_llm_wrong
    assert [id for id, c in found.items() if c.is_llm_wrong] == ["alone"]
    assert all(c.label is None for id, c in found.items() if id != "told")
