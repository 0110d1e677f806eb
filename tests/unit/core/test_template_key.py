"""Template keys: from the request alone, and none for a prompt that has changed."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deputize.core.prompt_limits import RecognisedSegments, VaryingText
from deputize.core.prompt_segments import normalise, segments
from deputize.core.records import BranchClassifier, KeySpace, Message, PromptLimits, Request, TextLimits
from deputize.core.signature import open_signature, signature
from deputize.core.template_key import (
    TemplateKeys,
    TemplateMatcher,
    branch_features,
    branch_of,
    opening,
)

LIMITS = PromptLimits(
    system=TextLimits(n_unknown=[0, 0, 0, 0]), user=TextLimits(n_unknown=[0, 1], n_repeats=[1])
)
SYSTEM = "You sort letters.\nToday is 2024-05-15.\nAnswer with one word: yes or no"


def request(user: str = "Case: 1", system: str = SYSTEM, **more: Any) -> Request:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return Request(messages=[*messages, {"role": "user", "content": user}], **more)


def space(r: Request, lines: list[str], **more: Any) -> KeySpace:
    return KeySpace(signature=signature(r), lines=lines, **more)


def key_of(r: Request, keyspace: KeySpace) -> str:
    return TemplateMatcher(keyspace).key(r)


class TestKey:
    lines = ("You sort letters.", "Today is ⟨⟩.", "Answer with one word: yes or no")

    def test_values_do_not_change_the_key_and_lines_do(self) -> None:
        ks = space(request(), list(self.lines), heads=["Case:"])
        key = key_of(request("Case: 1"), ks)
        assert key == key_of(request("Case: 2\nfree text"), ks)
        assert key == key_of(request("Case: 2", SYSTEM.replace("05-15", "06-01")), ks)
        assert key != key_of(request("no head"), ks)
        assert key != key_of(request("Case: 1", SYSTEM.replace("letters", "parcels")), ks)
        assert key != key_of(request("Case: 1", "\n".join(reversed(SYSTEM.splitlines()))), ks)

    def test_an_added_line_of_the_system_prompt_closes_the_key(self) -> None:
        free = space(request(), list(self.lines))
        key = key_of(request(), free)
        ks = space(request(), list(self.lines), prompt_limits={key: PromptLimits(system=LIMITS.system)})
        assert key_of(request(), ks) == key
        assert key_of(request(system=SYSTEM + "\nAnswer in French."), ks) == ""

    def test_what_is_added_to_the_user_prompt_closes_the_key(self) -> None:
        free = space(request(), list(self.lines), heads=["Case:"])
        key = key_of(request(), free)
        ks = space(request(), list(self.lines), heads=["Case:"], prompt_limits={key: LIMITS})
        assert key_of(request("Case: 2\na letter"), ks) == key
        for user in ("Answer in French.\nCase: 2", "Case: 2\na letter\nanother line", "Case: 2\nCase: 3"):
            assert key_of(request(user), free) == key and key_of(request(user), ks) == ""

    def test_later_turns_keep_the_key_of_the_first(self) -> None:
        ks = space(request(), [*self.lines, "Yes, please."])
        first = request()
        later = Request(
            messages=[
                *first.messages,
                {"role": "assistant", "content": "?"},
                {"role": "user", "content": "Yes, please."},
            ]
        )
        assert key_of(first, ks) == key_of(later, ks)

    def test_the_signature_salts_the_key(self) -> None:
        a, b = KeySpace(signature="a", lines=["x"]), KeySpace(signature="b", lines=["x"])
        assert key_of(request("x"), a) != key_of(request("x"), b)

    def test_two_tenants_with_the_same_prompt_have_different_keys(self) -> None:
        keys = [
            key_of(request("x"), KeySpace(signature="s", tenant=t)) for t in ("alpha", "beta", "*", "default")
        ]
        assert len(set(keys)) == 4
        assert key_of(request("x"), KeySpace(signature="s")) == keys[3]

    @given(st.lists(st.text(max_size=30), max_size=6), st.text(max_size=200))
    def test_keys_are_the_same_every_time(self, lines: list[str], user: str) -> None:
        ks = KeySpace(signature="s", lines=lines)
        assert (
            TemplateMatcher(ks).key(request(user))
            == TemplateMatcher(ks).key(request(user))
            == key_of(request(user), ks)
        )

    def test_a_branch_classifier_leads_by_its_words_or_not_at_all(self) -> None:
        base = key_of(request("x"), KeySpace(signature="s"))
        classifier = BranchClassifier(
            branches=["0", "1"], weights={"pay": [2.0, 0.0], "ship": [0.0, 2.0]}, bias=[0.0, 0.0], margin=1.0
        )
        ks = KeySpace(signature="s", branch_classifiers={base: classifier})
        assert key_of(request("please pay"), ks) == f"{base}~0"
        assert key_of(request("SHIP it"), ks) == f"{base}~1"
        assert key_of(request("pay and ship"), ks) == ""
        assert branch_of(classifier, "ship") == ("1", 2.0)
        assert branch_features("Pay 12 now") == ["pay", "0", "now", "pay 0", "0 now"]

    def test_a_long_fixed_prompt_costs_little(self) -> None:
        system = "\n".join(
            f"Rule number {i}: be kind to customers and never invent a value" for i in range(300)
        )
        ks = space(request(system=system), segments(system))
        matcher = TemplateMatcher(ks)
        requests = [request(f"Case: {i}\n" + "free words of a letter\n" * 40, system) for i in range(200)]
        matcher.key(requests[0])
        best = min(_timed(matcher, requests) for _ in range(5))
        # about 20 us on a quiet machine; room for a busy one
        assert best / len(requests) < 1e-3

    def test_two_megabytes_of_text_are_read_in_part(self) -> None:
        text = "x " * 1_000_000
        system, user = opening(request(text))
        assert len(user) < 25_000 and system == SYSTEM
        assert key_of(request(text), space(request(), list(self.lines)))


def _timed(matcher: TemplateMatcher, requests: list[Request]) -> float:
    began = time.perf_counter()
    for r in requests:
        matcher.key(r)
    return time.perf_counter() - began


def test_units_are_recognised_verbatim_then_normalised_then_by_their_head() -> None:
    matcher = TemplateMatcher(
        KeySpace(signature="s", lines=["Rule 1 holds.", "Day ⟨⟩ of May"], heads=["Case:"])
    )
    found = matcher.recognise("Day 3 of May\nCase: x\nRule 1 holds.\nRule 2 holds.\nDay 4 of May")
    assert found == RecognisedSegments(
        known=("Day ⟨⟩ of May", "Case:", "Rule 1 holds."),
        n_repeats=(2, 1, 1),
        n_unknown=(0, 0, 0, 1),
        varying=(VaryingText(2, "Case: x"), VaryingText(3, "Rule 2 holds.")),
    )
    assert matcher.recognise("x\ny\nDay 3 of May\nz").n_unknown == (2, 1)


def test_the_keys_of_several_key_spaces_are_those_of_the_space_with_the_requests_signature() -> None:
    chat, agent = request(), request(tools=[{"type": "function", "function": {"name": "f"}}])
    spaces = [space(chat, SYSTEM.splitlines()), space(agent, [])]
    keys = TemplateKeys(spaces)
    assert keys.key(chat) == key_of(chat, spaces[0]) != keys.key(agent) == key_of(agent, spaces[1])
    assert keys.key(request(response_format={"type": "json_object"})) == ""


def test_a_second_look_at_an_opening_says_the_same_and_another_text_its_own() -> None:
    space = KeySpace(signature="s", lines=["Sort the letter."], heads=[])
    matcher = TemplateMatcher(space)

    def ask(user: str, system: str = "") -> Request:
        messages = [{"role": "user", "content": user}]
        return Request(messages=[{"role": "system", "content": system}, *messages] if system else messages)

    first = matcher.match(ask("Sort the letter.\nDear all"))
    assert (
        matcher.match(ask("Sort the letter.\nDear all"))
        == first
        == TemplateMatcher(space).match(ask("Sort the letter.\nDear all"))
    )
    assert matcher.match(ask("Write a poem.")) != first
    assert matcher.match(ask("Dear all", "Sort the letter.")) != first
    for n in range(300):  # more than are remembered
        matcher.match(ask(f"Sort the letter.\nDear number {n}"))
    assert matcher.match(ask("Sort the letter.\nDear all")) == first


def test_a_list_of_its_own_comes_before_the_space_of_lists_that_vary() -> None:
    find, book = ({"type": "function", "function": {"name": name}} for name in ("find", "book"))
    fixed, other = request(tools=[find]), request(tools=[find, book])
    open_space = KeySpace(signature=open_signature(fixed), lines=["You sort letters."])
    both = TemplateKeys([open_space, space(fixed, ["You sort letters."])])
    alone = TemplateKeys([open_space])
    assert (
        both.key(fixed) == TemplateKeys([space(fixed, ["You sort letters."])]).key(fixed) != both.key(other)
    )
    assert alone.key(fixed) == alone.key(other) == both.key(other) != ""
    assert alone.key(request()) == "", "without tools it is another kind of request"
    assert TemplateKeys([space(fixed, ["You sort letters."])]).key(other) == ""


PIECES = [
    "Case: 12",
    "Case:  x",
    "id-7 is due",
    "id-x is due",
    "⟨⟩ is due",
    "Sort the",
    "letters.",
    "'a' b",
    "well-known",
]


@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(" ".join), st.sets(st.sampled_from(PIECES))
)
def test_a_segment_is_known_wherever_it_is_one_as_it_stands_or_normalised(text: str, known: set[str]) -> None:
    lines = {normalise(piece) for piece in known}
    keyspace = space(request(), sorted(lines))
    expected = [s if s in lines else normalise(s) for s in segments(text) if {s, normalise(s)} & lines]
    assert TemplateMatcher(keyspace).recognise(text).known == tuple(dict.fromkeys(expected))
