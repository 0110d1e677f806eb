"""Signatures, keys and short prompts: from the request alone, and closed to whatever has changed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.records import BranchClassifier, KeySpace, Message, PromptRecipe, Request
from deputize.core.templates import (
    TemplateKeyReader,
    branch_of,
    clip,
    fork_words,
    head_of,
    normalise,
    opening,
    prune,
    signature,
    template_key,
    units,
)

SYSTEM = "You sort letters.\nToday is 2024-05-15.\nAnswer with one word: yes or no"


def tool(name: str = "pay", description: str = "Pays.", **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties or {"amount": {"type": "number"}}}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def request(user: str = "Case: 1", system: str = SYSTEM, **more: Any) -> Request:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return Request(messages=[*messages, {"role": "user", "content": user}], **more)


def space(r: Request, lines: list[str], **more: Any) -> KeySpace:
    return KeySpace(signature=signature(r), lines=lines, **more)


class TestUnits:
    def test_numbers_quotes_and_ids_are_masked(self) -> None:
        assert normalise('Order AB-12345 of "Bob"  on 2024-05-01') == "Order ⟨⟩ of ⟨⟩ on ⟨⟩"
        assert normalise("id 123e4567-e89b-12d3-a456-426614174000.") == "id ⟨⟩."

    def test_apostrophes_are_not_quotes(self) -> None:
        assert normalise("don't touch the user's mail") == "don't touch the user's mail"

    @given(st.text())
    def test_masking_never_fails_and_leaves_no_digit(self, text: str) -> None:
        assert not any("0" <= c <= "9" for c in normalise(text))

    def test_long_lines_are_cut_into_sentences(self) -> None:
        line = "A first sentence that goes on. " * 8
        assert units(line) == ["A first sentence that goes on."] * 8
        assert units("Short. Line.\n\n  next  ") == ["Short. Line.", "next"]

    @pytest.mark.parametrize(
        ("unit", "head"),
        [
            ("Topic: dogs", "Topic:"),
            ("- **Order number:** 5", "Order number:"),
            ('"name": "x"', "name:"),
            ("see https://x.y", ""),
            ("one two three four five six: x", ""),
            ("no head here", ""),
            ("Key = 5", "Key:"),
        ],
    )
    def test_heads(self, unit: str, head: str) -> None:
        assert head_of(unit) == head


class TestSignature:
    def test_order_of_tools_and_keys_does_not_matter(self) -> None:
        a = request(tools=[tool("a"), tool("b")])
        b = request(tools=[json.loads(json.dumps(tool("b"), sort_keys=True)), tool("a")])
        assert signature(a) == signature(b)

    def test_any_change_of_a_schema_does(self) -> None:
        seen = {
            signature(request(**change))
            for change in (
                {},
                {"tools": [tool()]},
                {"tools": [tool(amount={"type": "string"})]},
                {"tools": [tool(description="x")]},
                {"tools": [tool()], "tool_choice": "required"},
                {"response_format": {"type": "json_object"}},
                {"system": ""},
            )
        }
        assert len(seen) == 7

    def test_what_means_nothing_changes_nothing(self) -> None:
        assert signature(request(response_format={"type": "text"})) == signature(request())
        assert signature(request(tools=[tool()], tool_choice="auto")) == signature(request(tools=[tool()]))
        assert signature(request("other text", "other prompt")) == signature(request())
        assert signature(request(agent="a", site="b")) == signature(request())

    def test_an_agents_turns_share_one_signature_and_a_chats_do_not(self) -> None:
        later: list[Message] = [{"role": "assistant", "content": "ok"}, {"role": "user", "content": "go"}]
        chat, agent = request(), request(tools=[tool()])
        assert signature(chat) != signature(Request(messages=[*chat.messages, *later]))
        assert signature(agent) == signature(Request(messages=[*agent.messages, *later], tools=[tool()]))

    def test_pictures_are_another_signature(self) -> None:
        parts = [{"type": "text", "text": "Case: 1"}]
        text = Request(messages=[{"role": "user", "content": parts}])
        picture = Request(messages=[{"role": "user", "content": [*parts, {"type": "image_url"}]}])
        assert signature(text) == signature(request(system=""))
        assert signature(picture) != signature(text)


class TestKey:
    lines = ("You sort letters.", "Today is ⟨⟩.", "Answer with one word: yes or no")

    def test_values_do_not_change_the_key_and_lines_do(self) -> None:
        ks = space(request(), list(self.lines), heads=["Case:"])
        key = template_key(request("Case: 1"), ks)
        assert key == template_key(request("Case: 2\nfree text"), ks)
        assert key == template_key(request("Case: 2", SYSTEM.replace("05-15", "06-01")), ks)
        assert key != template_key(request("no head"), ks)
        assert key != template_key(request("Case: 1", SYSTEM.replace("letters", "parcels")), ks)
        assert key != template_key(request("Case: 1", "\n".join(reversed(SYSTEM.splitlines()))), ks)

    def test_an_added_line_of_the_system_prompt_closes_the_key(self) -> None:
        free = space(request(), list(self.lines))
        key = template_key(request(), free)
        ks = space(request(), list(self.lines), max_new_lines={key: 0})
        assert template_key(request(), ks) == key
        assert template_key(request(system=SYSTEM + "\nAnswer in French."), ks) == ""

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
        assert template_key(first, ks) == template_key(later, ks)

    def test_the_signature_salts_the_key(self) -> None:
        a, b = KeySpace(signature="a", lines=["x"]), KeySpace(signature="b", lines=["x"])
        assert template_key(request("x"), a) != template_key(request("x"), b)

    @given(st.lists(st.text(max_size=30), max_size=6), st.text(max_size=200))
    def test_keys_are_the_same_every_time(self, lines: list[str], user: str) -> None:
        ks = KeySpace(signature="s", lines=lines)
        assert (
            TemplateKeyReader(ks).key(request(user))
            == TemplateKeyReader(ks).key(request(user))
            == template_key(request(user), ks)
        )

    def test_a_fork_leads_by_its_words_or_not_at_all(self) -> None:
        base = template_key(request("x"), KeySpace(signature="s"))
        fork = BranchClassifier(
            branches=["0", "1"], weights={"pay": [2.0, 0.0], "ship": [0.0, 2.0]}, bias=[0.0, 0.0], margin=1.0
        )
        ks = KeySpace(signature="s", forks={base: fork})
        assert template_key(request("please pay"), ks) == f"{base}~0"
        assert template_key(request("SHIP it"), ks) == f"{base}~1"
        assert template_key(request("pay and ship"), ks) == ""
        assert branch_of(fork, "ship") == ("1", 2.0)
        assert fork_words("Pay 12 now") == ["pay", "0", "now", "pay 0", "0 now"]

    def test_a_long_fixed_prompt_costs_little(self) -> None:
        system = "\n".join(
            f"Rule number {i}: be kind to customers and never invent a value" for i in range(300)
        )
        ks = space(request(system=system), units(system), max_new_lines={})
        reader = TemplateKeyReader(ks)
        requests = [request(f"Case: {i}\n" + "free words of a letter\n" * 40, system) for i in range(200)]
        reader.key(requests[0])
        best = min(_timed(reader, requests) for _ in range(5))
        # about 20 us on a quiet machine; room for a busy one
        assert best / len(requests) < 1e-3

    def test_two_megabytes_of_text_are_read_in_part(self) -> None:
        text = "x " * 1_000_000
        system, user = opening(request(text))
        assert len(user) < 25_000 and system == SYSTEM
        assert template_key(request(text), space(request(), list(self.lines)))


def _timed(reader: TemplateKeyReader, requests: list[Request]) -> float:
    began = time.perf_counter()
    for r in requests:
        reader.key(r)
    return time.perf_counter() - began


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
        recipe = PromptRecipe(constant_lines=units(fixed + " x" * 60)[:2])
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
