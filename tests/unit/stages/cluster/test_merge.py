"""The merge step: optional lines and other words are one task, other answers are not."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.records import Example, Request
from deputize.stages.cluster.merge import Fragment, cosine, joinable, merge
from deputize.stages.cluster.recurring_lines import LineSet, PromptCall, UnitSplitter, prompt_call
from deputize.stages.cluster.reply_profiles import read_reply

SPLITTER = UnitSplitter()


def fragment(
    lines: tuple[str, ...], replies: Sequence[str], first: int = 0, system: tuple[str, ...] = ()
) -> Fragment:
    calls: list[PromptCall] = []
    for i, reply in enumerate(replies, first):
        response = {"role": "assistant", "content": reply}
        example = Example(
            call_id=f"c{i}",
            request=Request(messages=[{"role": "user", "content": "\n".join((*lines, f"thing {i}"))}]),
            response=response,
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"g{i}",
        )
        calls.append(prompt_call(i, example, read_reply(response), SPLITTER))
    return Fragment.of(calls, (system, lines))


YES_NO = ["yes", "no"] * 20
COLOURS = ["red", "green", "blue", "grey"] * 10
FIELDS = ['{"order": 1, "name": "a"}'] * 40
PROSE = [f"A longer sentence about thing number {i}, which nobody else wrote before." for i in range(40)]


def test_an_optional_line_is_one_task_and_other_fields_are_another() -> None:
    plain, polite = (
        fragment(("Copy the fields.",), FIELDS),
        fragment(("Copy the fields.", "Be kind."), FIELDS, 40),
    )
    assert joinable(plain, polite)
    assert not joinable(plain, fragment(("Copy the fields.",), ['{"colour": 1, "size": 2}'] * 40, 40))
    assert not joinable(plain, fragment(("Copy the fields.",), YES_NO, 40))


def test_an_instruction_is_no_option() -> None:
    """With the same system prompt, calls that are told what to do are not those whose user says it."""
    desk = ("You help the people of a large town with their letters.",)
    told, free = fragment(("Sum it up.",), PROSE, 0, desk), fragment((), PROSE, 40, desk)
    assert not joinable(told, free)
    assert joinable(told, fragment(("Sum it up.",), PROSE, 40, desk))


def test_mixtures_in_other_words_are_not_one_task() -> None:
    mixture = [reply for pair in zip(YES_NO, FIELDS, strict=True) for reply in pair]
    one = fragment(("Do what the customer asks for.",), mixture)
    other = fragment(("Do what this customer asks for.",), mixture, 80)
    assert not joinable(one, other)
    assert joinable(one, fragment(("Do what the customer asks for.",), mixture, 80))


def test_small_groups_with_other_kinds_of_reply_are_not_joined_by_their_lines() -> None:
    lines = ("RecordedTest at the letter.", "RecordedTest at the stamp.", "RecordedTest at the date.")
    large = fragment(("Name the colour.",), COLOURS)
    fields, words = (
        fragment(lines, FIELDS[:5], 100, ("P one",)),
        fragment(lines, YES_NO[:5], 200, ("P one", "Q")),
    )
    groups = {(tuple(f.system), tuple(f.user)): f.members for f in (large, fields, words)}
    assert [f.n for f in merge(groups)] == [40, 5, 5]
    same = fragment(lines, FIELDS[:5], 300, ("P one", "Q"))
    groups = {(tuple(f.system), tuple(f.user)): f.members for f in (large, fields, same)}
    assert [f.n for f in merge(groups)] == [40, 10]


def test_small_groups_join_the_task_whose_lines_they_have() -> None:
    large, other = fragment(("Name the colour.",), COLOURS), fragment(("Is it late?",), YES_NO, 100)
    small = fragment(("Name the colour.", "An extra line."), ["red", "blue"], 200)
    groups: dict[tuple[LineSet, LineSet], list[PromptCall]] = {
        ((), tuple(f.user)): f.members for f in (large, other, small)
    }
    merged = merge(groups)
    assert sorted(f.n for f in merged) == [40, 42]
    assert {call.index for call in max(merged, key=lambda f: f.n).members} >= {200, 201}


def test_similarity_of_wordings() -> None:
    assert cosine(["Name the colour"], ["name the colour"]) > 0.999
    assert cosine(["Name the colour"], ["Summarise this letter"]) == 0.0
    assert cosine([], ["x y"]) == 0.0


def test_of_one_job_whose_lists_vary_a_line_of_the_user_parts_nothing() -> None:
    line = "Note that the functions below are written in Python."
    with_line, without = fragment((line,), ["called"] * 20), fragment((), ["called"] * 20, 20)
    groups: dict[tuple[LineSet, LineSet], list[PromptCall]] = {
        ((), (line,)): with_line.members,
        ((), ()): without.members,
    }
    assert [f.n for f in merge(groups)] == [20, 20]
    assert [f.n for f in merge(groups, is_one_job=True)] == [40]


def test_few_calls_with_one_long_line_are_a_task_and_others_are_kept_together() -> None:
    odd = [
        ("Rewrite the code so that a reviewer finds nothing to say.", 5),
        ("Name three colours.", 3),
        ("Sing.", 2),
    ]
    groups: dict[tuple[LineSet, LineSet], list[PromptCall]] = {}
    big = "Sum up what the surveyor wrote about the house in the valley."
    groups[(), (big,)] = fragment((big,), PROSE).members
    first = 40
    for line, n in odd:
        groups[(), (line,)] = fragment((line,), YES_NO[:n], first).members
        first += n
    assert sorted(f.n for f in merge(groups)) == [5, 5, 40]


def test_calls_that_fit_no_template_are_parted_by_their_form_of_reply() -> None:
    big = "Sum up what the surveyor wrote about the house in the valley."
    groups: dict[tuple[LineSet, LineSet], list[PromptCall]] = {((), (big,)): fragment((big,), PROSE).members}
    reviews = ["## Review: one\n\nIt is fine as it stands here.", "## Review: two\n\nIt wants another name."]
    odd = {
        "fields": FIELDS[:2],
        "others": ['{"colour": 1, "size": 2}'] * 2,
        "code": ["```python\nx = 1\n```"] * 2,
        "review": [review.replace(": one", "").replace(": two", "") for review in reviews],
        "words": PROSE[:2],
        "heading": ["# The apple\n\nA text about an apple that hangs in a tree."],
        "short": ["perhaps"],
    }
    first = 40
    for line, replies in odd.items():
        groups[(), (line,)] = fragment((line,), replies, first).members
        first += len(replies)
    found = [{call.opening[1].split("\n")[0] for call in f.members} for f in merge(groups)]
    assert sorted(map(sorted, found[1:])) == [
        ["code"],
        ["fields"],
        ["heading", "short", "words"],
        ["others"],
        ["review"],
    ], "a form that comes once, and what is short or long by chance, say nothing"


def test_without_answers_the_system_prompt_alone_parts_calls() -> None:
    """The semantic split finds the jobs of one agent."""
    desk, bank = ("You help the people of a large town with their letters.",), ("You work for a small bank.",)
    one, other = fragment(("Sum it up.",), [""] * 20, 0, desk), fragment(("Translate.",), [""] * 20, 20, desk)
    assert joinable(one, other)
    assert not joinable(one, fragment(("Sum it up.",), [""] * 20, 20, bank))
