"""Tasks are named after what differs between them, as a person would name them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deputize.core.records import Contract, Field
from deputize.core.subjects import Subjects
from deputize.stages.cluster.task_names import (
    MAX_NAME,
    NameClues,
    answer_words,
    names_of,
    site_name,
    typical_words,
)

YES_NO = Contract(kind="label", labels=["yes", "no"])
QUEUES = Contract(kind="label", labels=["billing", "shipping", "accounts"])
TEXT = Contract(kind="text")
HOUSE = [
    "You are part of the automated help desk of a furniture shop.",
    "Your job is to serve the customers of the shop. Please write politely.",
    "Never answer in another language.",
]
"""A preamble that all prompts of an agent share: it has a role, a duty and an imperative in it."""


def tools(*names: str) -> Contract:
    return Contract(kind="tool_call", tools=list(names))


def name_of(contract: Contract, *fixed: str, site: str = "") -> str:
    (name,) = names_of([NameClues(contract, fixed, site=site)])
    return name


def test_a_name_is_the_instruction() -> None:
    assert name_of(YES_NO, "Your job is to check the parcel. Be kind.") == "check the parcel"
    assert name_of(YES_NO, "You must classify each letter, please.") == "classify each letter"
    tasked = "You are an agent tasked with judging haikus according to the following rules."
    assert name_of(YES_NO, tasked) == "judge haikus"
    assert name_of(QUEUES, "Choose the queue for a ticket.") == "choose the queue for a ticket"
    agent = "You are a travel agent, named Alice, and you book flights."
    assert name_of(tools("a", "b"), agent) == "next step of the travel agent"
    assert name_of(TEXT, agent) == "answer as the travel agent"


def test_an_instruction_behind_a_label_a_name_or_a_value_is_found() -> None:
    """As in agents' prompts: a statement, a role with a name of its own, a value in the middle of what is asked."""
    assert (
        name_of(TEXT, "Statement: Write the ⟨⟩ part of the plan, WITHOUT ⟨⟩!")
        == "write the … part of the plan"
    )
    reviewer = "Role: You are an engineer, and your main task is to review and revise the code."
    assert name_of(TEXT, reviewer) == "review and revise the code"
    interpreter = "You are Code Interpreter, a world-class programmer that can complete any goal."
    assert name_of(tools("execute"), interpreter) == "next step of the world-class programmer"
    assert name_of(TEXT, 'instruction: str = ""') == "write a text", "code is no instruction"
    long = "Generate output and make sure that it follows the example, whatever it is"
    assert name_of(TEXT, long) == "generate output and make sure that it follows the example"


def test_what_few_tasks_were_asked_names_them_before_their_words_do() -> None:
    """What many were asked is a preamble; what two of seven were asked says more than the words of their texts."""
    shared = ["Rewrite the question as a query."]
    clues = [NameClues(TEXT, HOUSE, [f"letter about topic{n} and topic{n}"] * 3) for n in "abcde"]
    clues += [NameClues(TEXT, [*HOUSE, *shared], [f"letter on matter{n}"] * 3) for n in "fg"]
    names = names_of(clues)
    assert all(name.startswith("rewrite the question as a query (") for name in names[5:]), names
    assert all(name.startswith("write a text (") for name in names[:5]), names


def test_a_title_has_its_instruction_behind_it() -> None:
    lines = "JOB: policy check. Decide if the case is settled without a person signing it off."
    assert name_of(YES_NO, lines) == "policy check: decide if the case is settled without a person"
    assert name_of(YES_NO, "TASK: copy the case data out of a letter") == "copy the case data out of a letter"


def test_no_line_of_a_shared_preamble_is_a_name() -> None:
    own = [
        "Choose the queue for a ticket.",
        "Rate the letter from 1 to 5.",
        "Extract the order.",
        "Summarise the case.",
        "The letter stands below.",
    ]
    names = names_of([NameClues(QUEUES, [*HOUSE, line], ["rain sun"] * 3) for line in own])
    assert names[:4] == [
        "choose the queue for a ticket",
        "rate the letter from 1 to 5",
        "extract the order",
        "summarise the case",
    ]
    assert names[4] == "answer billing, shipping or accounts (rain, sun)"


def test_without_an_instruction_of_its_own_a_task_is_named_after_its_place_or_its_answers() -> None:
    def clues(contract: Contract, site: str = "") -> NameClues:
        return NameClues(contract, HOUSE, site=site)

    fields = Contract(
        kind="json", fields=[Field(name=n, type="value") for n in ("order", "date", "sku", "x")]
    )
    assert names_of([clues(YES_NO, "policy_check"), clues(fields), clues(tools("find", "book"))]) == [
        "policy check",
        "fill in order, date, sku and 1 more",
        "call find or book",
    ]
    assert names_of([clues(tools("find")), clues(tools("book", "pay", "ask", "end", "x"))]) == [
        "call find",
        "call book, pay, ask or 2 more",
    ]


def test_two_tasks_with_one_instruction_differ_in_what_tells_them_apart() -> None:
    line = "Sort the letter."
    rain, snow = ["rain rain cloud"] * 5, ["snow snow frost"] * 5
    # the same sentence in both says nothing of either
    assert names_of([NameClues(YES_NO, [line], rain), NameClues(YES_NO, [line], snow)]) == [
        "answer yes or no (cloud, rain)",
        "answer yes or no (frost, snow)",
    ]
    job = "Job: sorting."
    other = "Task: sorting."
    assert names_of([NameClues(YES_NO, [job]), NameClues(QUEUES, [other])]) == [
        "sorting (answer yes or no)",
        "sorting (answer billing, shipping or accounts)",
    ]
    # unless nearly all calls with it are of one
    assert names_of([NameClues(YES_NO, [line], rain, n_calls=99), NameClues(YES_NO, [line], snow)]) == [
        "sort the letter",
        "answer yes or no (frost, snow)",
    ]
    assert names_of([NameClues(TEXT, []), NameClues(TEXT, [])]) == ["write a text", "write a text (2)"]


def test_what_a_caller_calls_a_site_is_told_from_what_was_made_up() -> None:
    assert site_name("desk/policy_check") == "policy_check"
    assert site_name("desk · tools") == site_name("desk") == ""


def test_answers_are_a_phrase() -> None:
    assert answer_words(YES_NO) == "answer yes or no"
    assert answer_words(Contract(kind="label", labels=[f"intent_{i}" for i in range(20)])) == (
        "choose one of 20 labels"
    )
    assert answer_words(Contract(kind="json", fields=[Field(name="order", type="value")])) == "fill in order"


def test_typical_words_are_those_that_other_tasks_have_not() -> None:
    found = typical_words(
        [NameClues(TEXT, [], ["rain sun cloud"] * 5), NameClues(TEXT, [], ["money rain"] * 5)]
    )
    assert found[0][:2] == ["cloud", "sun"] and found[1][0] == "money"


def test_a_word_of_too_few_people_is_in_no_name() -> None:
    texts = ["rain zobafel"] * 4 + ["rain"] * 4
    clues = NameClues(TEXT, [], texts, Subjects(["zoe"] * 4 + list("abcd"), 2))
    assert names_of([clues]) == ["write a text (rain)"]


LINES = st.lists(st.text("abc .:JOBob", max_size=90), max_size=3)


@given(st.lists(st.tuples(LINES, st.sampled_from([YES_NO, QUEUES, TEXT, tools("a" * 70)])), max_size=6))
def test_names_are_distinct_and_short_whatever_the_prompts(found: list[tuple[list[str], Contract]]) -> None:
    names = names_of([NameClues(contract, lines) for lines, contract in found])
    assert len({name.casefold() for name in names}) == len(found)
    assert all(0 < len(name) <= MAX_NAME and name == name.strip() for name in names)
