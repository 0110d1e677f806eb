"""Only sentences for a person that no code was seen to use may go uncompared."""

from __future__ import annotations

import json
import random

import pytest

from deputize.core.records import Example, Message, Request
from deputize.stages.cluster.prose import EpisodeTexts, is_natural_language, is_prose

R = random.Random(1)
PROSE = {
    "english": "The answer names the {0} and explains why it is late; nothing is missing but the date.",
    "german": "Der Kunde fragt nach dem {0} und möchte wissen, wann es endlich bei ihm ankommt.",
    "french": "La réponse parle du {0} mais elle ne dit pas quand le client sera livré.",
    "spanish": "La respuesta habla del {0} pero no dice cuándo llega a la casa del cliente.",
}
NO_PROSE = {
    "sql": "SELECT name, total FROM orders WHERE customer_id = {1} AND total > 9 ORDER BY total DESC LIMIT 3",
    "small sql": "select name from {0} where a is not null and b in (select c from d) order by e.",
    "url": "https://api.example.com/v2/customers/{1}/orders?from=2026-01-10&limit=50&sort=desc",
    "shell": "find . -name '{0}' -exec rm -f it and then run the tests of the package again.",
    "python": "for x in the_list:\n    print(x) if x is not {1} else do_it()",
    "plan": "1. RecordedTest the {0} up in the shop.\n2. Send the customer a link to it.\n3. Close the case for now.",
    "keywords": "{0}, parcel, late delivery, refund, shop, warehouse, customer, urgent, north, {1}",
    "identifiers": "Set order_id and then call close_case with it, so that {0} is in the list.",
    "short": "{0} is late.",
}


def values(form: str, n: int = 60) -> list[str]:
    things = ["lamp", "chair", "table", "shelf"]
    return [form.format(things[i % 4], R.randrange(10**6)) for i in range(n)]


@pytest.mark.parametrize("language", PROSE)
def test_sentences_are_natural_language(language: str) -> None:
    assert is_natural_language(values(PROSE[language]))


@pytest.mark.parametrize("form", NO_PROSE)
def test_what_code_reads_is_not(form: str) -> None:
    assert not is_natural_language(values(NO_PROSE[form]))


def test_a_few_values_prove_nothing_and_a_tenth_of_code_is_too_much() -> None:
    assert not is_natural_language(values(PROSE["english"], 19))
    assert not is_natural_language([*values(PROSE["english"], 90), *values(NO_PROSE["sql"], 10)])


def example(i: int, *messages: Message, reply: str = "") -> Example:
    return Example(
        call_id=f"c{i}-{len(messages)}",
        request=Request(messages=list(messages)),
        response={"role": "assistant", "content": reply},
        audience="code",
        site="s",
        episode=f"e{i}",
        group=f"e{i}",
        split="train",
    )


@pytest.mark.parametrize("use", ["", "history", "request", "tool result", "tool argument"])
def test_what_a_later_request_or_a_tool_call_holds_is_used_by_code(use: str) -> None:
    pairs, log = [], []
    for i, value in enumerate(values(PROSE["english"])):
        text = f'{value[:-1]}, and that is "{i}".'
        first = example(i, {"role": "user", "content": f"q {i}"}, reply=json.dumps({"why": text}))
        call = {"function": {"name": "note", "arguments": json.dumps({"text": text})}}
        later: dict[str, Message] = {
            "": {"role": "user", "content": "and now?"},
            "history": {"role": "assistant", "content": json.dumps({"why": text})},
            "request": {"role": "user", "content": f"Summarise this:\n{text}"},
            "tool result": {"role": "tool", "content": json.dumps({"kept": text})},
            "tool argument": {"role": "assistant", "content": None, "tool_calls": [call]},
        }
        log += [first, example(i, {"role": "user", "content": f"q {i}"}, later[use])]
        pairs.append((first, text))
    assert is_prose(pairs, EpisodeTexts(log)) == (use in ("", "history"))


def test_objects_and_lists_are_never_prose() -> None:
    pairs = [(example(i), [text]) for i, text in enumerate(values(PROSE["english"]))]
    assert not is_prose(pairs, EpisodeTexts([]))
