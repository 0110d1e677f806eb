"""Recurring lines: what recurs is a line, what varies is a value, what one person says is neither."""

from __future__ import annotations

from deputize.core.records import Example, Request
from deputize.stages.cluster.recurring_lines import (
    PromptCall,
    UnitSplitter,
    find_recurring_lines,
    group_by_lines,
    prompt_call,
    recognise,
)
from deputize.stages.cluster.reply_profiles import read_reply


def calls(
    texts: list[str],
    *,
    reply: str = "yes",
    subjects: list[str] | None = None,
    replaced: tuple[str, ...] = (),
) -> list[PromptCall]:
    splitter = UnitSplitter(replaced)
    out: list[PromptCall] = []
    for i, text in enumerate(texts):
        response = {"role": "assistant", "content": reply}
        example = Example(
            call_id=f"c{i}",
            request=Request(messages=[{"role": "user", "content": text}]),
            response=response,
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"g{i}",
            origin=subjects[i] if subjects else "",
        )
        out.append(prompt_call(i, example, read_reply(response), splitter))
    return out


def test_fixed_lines_and_heads_of_varying_values_are_found() -> None:
    found = find_recurring_lines(
        calls([f"Sort this letter.\nCase: word{chr(97 + i % 26)}{i}" for i in range(40)])
    )
    assert found.lines == {"Sort this letter.", "Case: ⟨⟩"}
    found = find_recurring_lines(calls([f"Sort.\nCity: {'xyz'[i % 3] * (i + 2)}" for i in range(40)]))
    assert (found.lines, found.heads) == ({"Sort."}, {"City:"})


def test_a_line_that_only_de_identified_prompts_have_is_not_known_by() -> None:
    """The live request has the name that was replaced."""
    texts = [f"Sort this letter.\nThe user is Jill Shepard.\n{'ab' * (i + 1)} is it" for i in range(40)]
    assert "The user is Jill Shepard." in find_recurring_lines(calls(texts)).lines
    found = find_recurring_lines(calls(texts, replaced=("The user is Jill Shepard.",)))
    assert found.lines == {"Sort this letter."}


def test_a_task_of_few_calls_is_found_next_to_one_of_many() -> None:
    many = [f"Sort this letter.\n{'ab' * (i + 1)} is what they wrote" for i in range(900)]
    few = [f"Name the colour.\n{'cd' * (i + 1)} is the thing" for i in range(17)]
    found = find_recurring_lines(calls(many + few))
    assert {"Sort this letter.", "Name the colour."} <= found.lines


def test_a_long_line_recurs_in_fewer_openings_than_a_short_one() -> None:
    long = "Say whether the report below was written by a surveyor or by a lawyer."
    texts = [f"{'ab' * (i + 1)} is what they wrote" for i in range(60)]
    texts[:5] = [f"{long}\nIn short.\n{text}" for text in texts[:5]]
    assert find_recurring_lines(calls(texts)).lines == {long}


def test_lines_in_another_order_are_one_group() -> None:
    found = calls(["One line here.\nAnd another.", "And another.\nOne line here."] * 10)
    assert len(group_by_lines(found, find_recurring_lines(found))) == 1


def test_a_line_of_too_few_data_subjects_does_not_recur() -> None:
    texts = [f"Sort.\n{'I am Bob from Ulm' if i < 20 else 'hello'}\nx{'y' * i} z" for i in range(40)]
    owners = ["bob" if i < 20 else f"s{i}" for i in range(40)]
    assert "I am Bob from Ulm" in find_recurring_lines(calls(texts, subjects=owners)).lines
    found = find_recurring_lines(calls(texts, subjects=owners), 2)
    assert "I am Bob from Ulm" not in found.lines and {"Sort.", "hello"} <= found.lines


def test_of_an_agents_conversations_only_the_system_prompt_is_read() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    splitter = UnitSplitter()
    steps: list[PromptCall] = []
    for i in range(30):
        messages = [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": "Please help me."},
            {"role": "assistant", "content": "ok"},
        ]
        example = Example(
            call_id=f"c{i}",
            request=Request(messages=messages, tools=tools),
            response={"role": "assistant", "content": "done"},
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"g{i}",
        )
        steps.append(prompt_call(i, example, read_reply(example.response), splitter))
    assert find_recurring_lines(steps).lines == {"You are an agent."}


def test_calls_are_grouped_by_the_lines_they_have() -> None:
    some = calls(["Sort.\nanything", "Count.\nelse"] * 20)
    found = find_recurring_lines(some)
    groups = group_by_lines(some, found)
    assert [len(members) for members in groups.values()] == [20, 20]
    assert recognise(some[0].user, found)[0] == "Sort."
