"""A request's body with placeholders: every place of every value, in every protocol's form, and back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.errors import BadInput
from deputize.gateway.restored_response import restored_value
from deputize.privacy.masking.masker import MAX_PIECE_CHARS, mask_fields, texts_of
from deputize.privacy.scan.ensemble import Finding

FOUND = [
    Finding("PERSON", "Anna Miller", 0.85),
    Finding("EMAIL_ADDRESS", "anna@example.com", 1.0),
    Finding("CREDIT_CARD", "4111 1111 1111 1111", 1.0),
    Finding("NATIONAL_ID", "123456789", 0.9),
    Finding("PASSWORD", "4821", 0.9),
]
LEFT = ("Anna", "ANNA", "Miller", "anna@", "anna%40", "4111", "123456789")


def masked(fields: dict[str, Any], found: list[Finding] = FOUND) -> tuple[dict[str, Any], Any]:
    texts = texts_of(fields, passes_attachments=False)
    made, placeholders = mask_fields(fields, texts, found, passes_attachments=False)
    return made, restored_value(made, placeholders)


CHAT = {
    "model": "m",
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "mail",
                "description": "Mail to anna@example.com",
                "parameters": {"properties": {"to": {"enum": ["anna@example.com", "ops"]}}},
            },
        }
    ],
    "messages": [
        {"role": "system", "content": "Anna Miller is the user."},
        {
            "role": "user",
            "name": "Anna",
            "content": [{"type": "text", "text": "I am ANNA MILLER, card 4111-1111-1111-1111."}],
        },
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {
                        "name": "mail",
                        "arguments": '{"to":"anna\\u0040example.com","id":123456789,"n":3}',
                    },
                }
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "call_1",
            "content": '{"link": "https://x/?m=anna%40example.com", "pin": 4821}',
        },
    ],
}
MESSAGES = {
    "system": [{"type": "text", "text": "Anna is here", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "ok", "signature": "c2ln"},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "find",
                    "input": {"who": "Anna Miller", "id": 123456789},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "found: anna@example.com"}],
                }
            ],
        },
    ],
}
RESPONSES = {
    "instructions": "Help Anna.",
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "4111 1111 1111 1111"}],
        },
        {"type": "reasoning", "encrypted_content": "xyz", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": ["Anna Miller"]}'},
        {"type": "function_call_output", "call_id": "c1", "output": "Anna Miller"},
    ],
    "text": {"format": {"type": "json_schema", "name": "s", "schema": {"const": "anna@example.com"}}},
}


@pytest.mark.parametrize("fields", [CHAT, MESSAGES, RESPONSES], ids=["chat", "messages", "responses"])
def test_no_value_is_left_and_all_come_back(fields: dict[str, Any]) -> None:
    made, back = masked(fields)
    assert not [value for value in LEFT if value in json.dumps(made)]
    back["messages"], meant = (
        _plain(back.get("messages")),
        {**fields, "messages": _plain(fields.get("messages"))},
    )
    assert back == meant


def _plain(messages: Any) -> Any:
    """Messages with their JSON texts decoded, which may have other white space, and short numbers, which become texts."""
    if messages == 4821:
        return "4821"
    if isinstance(messages, str) and messages[:1] == "{":
        return _plain(json.loads(messages))
    if isinstance(messages, list):
        return [_plain(one) for one in messages]
    return {k: _plain(v) for k, v in messages.items()} if isinstance(messages, dict) else messages


def test_tool_arguments_stay_json_with_numbers_and_ids_stay_as_they_are() -> None:
    made, _ = masked(CHAT)
    call = made["messages"][2]["tool_calls"][0]
    arguments = json.loads(call["function"]["arguments"])
    assert isinstance(arguments["id"], int) and len(str(arguments["id"])) == 9 and arguments["n"] == 3
    assert json.loads(made["messages"][3]["content"])["pin"].startswith("PASSWORD_")
    assert call["id"] == made["messages"][3]["tool_call_id"] == "call_1"


def test_an_id_that_is_made_of_a_value_is_replaced_wherever_it_stands() -> None:
    call = {"id": "call_Anna-Miller", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    fields = {
        "messages": [
            {"role": "user", "id": "123456789x", "content": "I am Anna Miller."},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "done"},
        ]
    }
    made, back = masked(fields, FOUND[:1])
    asked, answered = made["messages"][1]["tool_calls"][0]["id"], made["messages"][2]["tool_call_id"]
    assert asked == answered and "Miller" not in asked and re.fullmatch(r"[\w-]+", asked, re.ASCII)
    assert back == fields
    assert texts_of({"messages": [{"role": "user", "id": "Anna"}]}, passes_attachments=False) == []


@pytest.mark.parametrize(
    "form", ["015123456789", "0151 / 23 45 67 89", "151 23456789", "004915123456789", "4915123456789"]
)
def test_a_telephone_number_in_other_forms_is_the_same_number(form: str) -> None:
    found = [Finding("PHONE_NUMBER", "+49 151 23456789", 1.0)]
    made, back = masked({"prompt": f"+49 151 23456789, ticket {form}, order 7715123456789"}, found)
    assert "23456789," not in made["prompt"] and "789, order" not in made["prompt"]
    assert made["prompt"].endswith("7715123456789"), "another number"
    assert back["prompt"].count(form)


def test_a_name_keeps_its_number_in_all_forms_and_through_the_conversation() -> None:
    made, _ = masked(CHAT)
    assert made["messages"][0]["content"] == "PERSON_2a is the user."
    assert made["messages"][1]["name"] == "PERSON_2b"
    assert made["messages"][1]["content"][0]["text"].startswith("I am PERSON_2c, card CREDIT_CARD_3a")
    longer = {**CHAT, "messages": [*CHAT["messages"], {"role": "user", "content": "Bob Hill"}]}
    again, _ = masked(longer, [*FOUND, Finding("PERSON", "Bob Hill", 0.9)])
    assert again["messages"][:4] == made["messages"]


def test_everyday_words_stay() -> None:
    found = [
        Finding("PERSON", "Will", 0.3),
        Finding("PERSON", "I am", 0.75),
        Finding("STREET_ADDRESS", " in", 0.75),
        Finding("PERSON", "Is Grace", 0.75),
    ]
    text = "Will it rain? I am in Rome. Is Grace here? It will, as with any act of grace."
    made, _ = masked({"messages": [{"role": "user", "content": text}]}, found)
    assert made["messages"][0]["content"] == text.replace("Grace", "PERSON_1a")


def test_a_request_without_findings_is_the_same_object() -> None:
    assert masked(CHAT, [])[0] is CHAT


def test_short_values_are_looked_at_with_the_name_of_their_field() -> None:
    texts = texts_of(MESSAGES, passes_attachments=False)
    assert {"who: Anna Miller", "id: 123456789", "Anna is here"} <= set(texts)
    assert "ok" not in texts and "c2ln" not in texts


def test_an_attachment_is_refused_unless_it_may_pass() -> None:
    part = {
        "type": "input_file",
        "filename": "Anna Miller.pdf",
        "file_data": "data:application/pdf;base64,AAAA",
    }
    fields = {"input": [{"role": "user", "content": [part]}]}
    with pytest.raises(BadInput, match="attachment"):
        texts_of(fields, passes_attachments=False)
    texts = texts_of(fields, passes_attachments=True)
    made, _ = mask_fields(fields, texts, FOUND, passes_attachments=True)
    assert made["input"][0]["content"][0] == {**part, "filename": "PERSON_1a.pdf"}


def test_long_texts_with_many_values_take_no_quadratic_time_and_no_value_is_cut() -> None:
    numbers = [f"{2125550000 + n}" for n in range(800)]
    found = [Finding("PHONE_NUMBER", number, 0.9) for number in numbers]
    for between in ("\n", " "):
        text = between.join(f"call {number[:3]} {number[3:]} now" for number in numbers)
        made, back = masked({"messages": [{"role": "user", "content": text}]}, found)
        assert "call 2" not in made["messages"][0]["content"]
        assert back["messages"][0]["content"] == text


def test_a_value_over_two_lines_is_one_value() -> None:
    found = [Finding("API_KEY", "-----BEGIN KEY-----\nabc def\n-----END KEY-----", 0.9)]
    text = f"key:\n{found[0].value}\nabc def stays"
    made, back = masked({"messages": [{"role": "user", "content": text}]}, found)
    assert made["messages"][0]["content"] == "key:\nAPI_KEY_1a\nabc def stays"
    assert back["messages"][0]["content"] == text


def test_one_word_that_is_all_of_a_message_is_looked_at_and_keys_are_not() -> None:
    fields = {"messages": [{"role": "user", "content": "de89370400440532013000", "name": "shop"}]}
    assert texts_of(fields, passes_attachments=False) == ["de89370400440532013000"]
    assert texts_of({"input": ["kim.hill"]}, passes_attachments=False) == ["kim.hill"]


def test_a_word_of_the_application_that_looks_like_a_placeholder_is_none() -> None:
    fields = {
        "tools": [{"type": "function", "function": {"name": "person_1a"}}],
        "messages": [{"role": "user", "content": "Anna"}],
    }
    made, back = masked(fields)
    assert made["messages"][0]["content"] == "PERSON_2a" and back == fields


def test_a_name_in_the_name_of_an_account_a_file_or_a_tool_is_replaced() -> None:
    fields = {
        "tools": [{"type": "function", "function": {"name": "mail_anna_miller"}}],
        "messages": [{"role": "user", "content": "/home/anna.miller/x, https://x.example/u/anna-miller?a=1"}],
    }
    made, back = masked(fields)
    assert "miller" not in json.dumps(made) and back == fields


def test_a_whole_number_with_a_point_is_a_value_too() -> None:
    text = '{"card": 4111111111111111.0, "n": 5.0}'
    made, _ = masked({"messages": [{"role": "user", "content": text}]})
    assert "4111" not in str(made) and json.loads(made["messages"][0]["content"])["n"] == 5.0


@pytest.mark.parametrize("n_before", range(MAX_PIECE_CHARS - 30, MAX_PIECE_CHARS + 1, 7))
def test_no_value_is_lost_where_a_long_line_is_cut(n_before: int) -> None:
    key = "k9" * 2600
    found = [*FOUND, Finding("API_KEY", key, 1.0)]
    for text, value in (
        ("x" * n_before + "%20anna%40example.com%20" + "y" * 5000, "anna"),
        (f"{'a ' * 400}key={key};", "k9k9"),
    ):
        made, back = masked({"messages": [{"role": "user", "content": text}]}, found)
        assert value not in str(made) and back["messages"][0]["content"] == text


WRITTEN = [
    "Anna Miller",
    "ANNA MILLER",
    "Miller",
    "anna@example.com",
    "ANNA@example.com",
    "anna%40example.com",
    "4111-1111-1111-1111",
    "4111111111111111",
    "123456789",
    "4821",
    "PERSON_1a",
    "email_2a@masked.invalid",
    "\\n",
    '{"a": "',
]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(WRITTEN), st.text("aZ1 .,\n_%@é王", max_size=4)), max_size=10))
def test_any_text_comes_back_as_it_was(parts: list[str]) -> None:
    text = "".join(parts)
    made, back = masked({"messages": [{"role": "user", "content": text}]})
    assert back["messages"][0]["content"] == text
    assert "anna@example" not in made["messages"][0]["content"]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("I am Anna Miller. anna here, call anna.", "I am PERSON_1a. PERSON_1b here, call PERSON_1b."),
        (
            "anna miller is ANNA MILLER, is Anna, is miller",
            "PERSON_1a is PERSON_1b, is PERSON_1c, is PERSON_1d",
        ),
        ("Anna Miller came by annandale with joanna", "PERSON_1a came by annandale with joanna"),
    ],
)
def test_a_word_that_is_hardly_anything_but_a_name_is_masked_in_any_case(said: str, sent: str) -> None:
    made, back = masked({"messages": [{"role": "user", "content": said}]}, FOUND[:1])
    assert made["messages"][0]["content"] == sent and back["messages"][0]["content"] == said


def test_a_name_that_is_an_everyday_word_stays_where_it_is_one() -> None:
    found = [Finding("PERSON", "Rose Will", 0.85), Finding("PERSON", "Mei Li", 0.85)]
    said = "Rose Will asks: will a rose be sent? Mei Li says li is no word."
    made, back = masked({"messages": [{"role": "user", "content": said}]}, found)
    sent = made["messages"][0]["content"]
    assert "will a rose be sent" in sent and "Rose" not in sent and "Mei" not in sent
    assert back["messages"][0]["content"] == said
