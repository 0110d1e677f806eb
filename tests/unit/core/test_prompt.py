"""Pruned prompts: what varies, as written, within the limit."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deputize.core.prompt import clip, prune
from deputize.core.prompt_segments import segments
from deputize.core.records import Message, PromptRecipe, Request
from deputize.core.signature import signature
from deputize.core.template_key import opening

SYSTEM = "You sort letters.\nToday is 2024-05-15.\nAnswer with one word: yes or no"


def request(user: str = "Case: 1", system: str = SYSTEM, **more: Any) -> Request:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return Request(messages=[*messages, {"role": "user", "content": user}], **more)


class TestSlots:
    def test_only_what_varies_is_left_values_as_written(self) -> None:
        recipe = PromptRecipe(
            constant_lines=["You sort letters.", "Answer with one word: yes or no", "Today is ⟨⟩."]
        )
        pruned = prune(request("Case:  AB-1\n\n  They wrote:  hello   there", SYSTEM), recipe)
        assert pruned == "Case:  AB-1\nThey wrote:  hello   there"

    def test_a_constant_line_with_a_value_only_goes_as_it_stands(self) -> None:
        recipe = PromptRecipe(constant_lines=["Order: 5"])
        assert prune(request("Order: 5", ""), recipe) == ""
        assert prune(request("Order: 6", ""), recipe) == "Order: 6"

    def test_slots_inside_a_paragraph_are_kept_without_the_paragraph(self) -> None:
        fixed = "This sentence never changes at all and is rather long. And neither does this one here, which is long too."
        recipe = PromptRecipe(constant_lines=segments(fixed + " x" * 60)[:2])
        pruned = prune(
            request(
                f"{fixed} The name is Bob and he lives in Ulm, a town on the Danube, where it rains.", ""
            ),
            recipe,
        )
        assert pruned == "The name is Bob and he lives in Ulm, a town on the Danube, where it rains."

    @given(st.lists(st.text(), max_size=5), st.integers(10, 500))
    def test_never_longer_than_asked(self, texts: list[str], max_chars: int) -> None:
        messages: list[Message] = [{"role": "user", "content": text} for text in texts]
        for mode in ("slots", "dialogue"):
            assert (
                len(prune(Request(messages=messages), PromptRecipe(mode=mode, max_chars=max_chars)))
                <= max_chars
            )

    @given(st.text(max_size=300), st.integers(1, 50))
    def test_clipping_keeps_both_ends(self, text: str, n: int) -> None:
        cut = clip(text, n)
        assert len(cut) <= max(n, 0)
        if len(text) <= n:
            assert cut == text


def call(name: str, **arguments: Any) -> Message:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": function}]}


class TestDialogue:
    recipe = PromptRecipe(mode="dialogue", constant_lines=["You are an agent."], max_chars=800)
    messages: tuple[Message, ...] = (
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": "Cancel my flight."},
        {"role": "assistant", "content": "Who are you?"},
        {"role": "user", "content": "I am mia_li_3668"},
        call("look_up", user="mia_li_3668"),
        {"role": "tool", "content": '{"payment": "card_4421", "orders": ["ZFA04Y"], "city": "Ulm"}'},
        call("get_order", order="ZFA04Y"),
        call("get_order", order="ZFA05Y"),
        {"role": "tool", "content": "[1, 2]"},
        {"role": "assistant", "content": "Shall I cancel?"},
        {"role": "user", "content": "Yes"},
    )

    def test_the_digest(self) -> None:
        assert prune(Request(messages=list(self.messages)), self.recipe).splitlines() == [
            "ask: Cancel my flight.",
            "ids: ZFA04Y mia_li_3668 card_4421",
            "did: look_up, get_order x2",
            'call: get_order {"order":"ZFA05Y"}',
            "result: [1,2]",
            "agent: Shall I cancel?",
            "user: Yes",
        ]

    def test_events_stand_in_their_order(self) -> None:
        digest = prune(Request(messages=list(self.messages[:6])), self.recipe).splitlines()
        names = [line.partition(":")[0] for line in digest]
        assert names == ["ask", "did", "agent", "user", "call", "result"]
        assert digest[-1] == "result: {payment:card_4421,orders:[ZFA04Y],city:Ulm}"

    def test_a_result_that_is_too_long_loses_its_middle(self) -> None:
        long: Message = {"role": "tool", "content": "start " + "x " * 50_000 + " end"}
        digest = prune(Request(messages=[*self.messages[:5], long]), self.recipe)
        assert len(digest) <= 800
        assert "result: start" in digest and digest.endswith("end")

    def test_room_that_short_parts_leave_goes_to_the_long_ones(self) -> None:
        long: Message = {"role": "tool", "content": "y" * 5000}
        digest = prune(Request(messages=[*self.messages[:5], long]), self.recipe)
        assert len(digest) > 650

    def test_the_first_turn_is_the_request_alone(self) -> None:
        assert prune(Request(messages=list(self.messages[:2])), self.recipe) == "ask: Cancel my flight."

    def test_odd_messages_are_no_trouble(self) -> None:
        odd: list[Message] = [
            {},
            {
                "role": "assistant",
                "tool_calls": [None, {"function": None}, {"function": {"name": 5, "arguments": {"a": 1}}}],
            },
            {"role": "tool", "content": None},
            {"role": "user", "content": [{"type": "text", "text": 5}]},
            {"role": None},
        ]
        prune(Request(messages=odd), self.recipe)
        prune(Request(messages=odd), PromptRecipe())
        signature(Request(messages=odd))
        opening(Request(messages=odd))
