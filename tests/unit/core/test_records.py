"""Records: a JSON round trip, and the part of a call that a specialist reads."""

from __future__ import annotations

import msgspec
import pytest

from deputize.core.records import (
    BranchClassifier,
    Call,
    Example,
    KeySpace,
    PromptLimits,
    Request,
    RouteFile,
    TextLimits,
    decode,
    encode,
)

SYSTEM = {"role": "system", "content": "Be brief."}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def example(i: int, origin: str = "") -> Example:
    return Example(
        call_id=f"c{i}",
        request=Request(
            messages=[dict(SYSTEM), {"role": "user", "content": "x"}],
            tools=msgspec.json.decode(msgspec.json.encode(TOOLS)),
        ),
        response={"role": "assistant", "content": "y"},
        audience="code",
        site="s",
        episode="e",
        group="g",
        origin=origin,
    )


def test_a_record_comes_back_from_its_json_and_another_kind_does_not() -> None:
    classifier = BranchClassifier(
        branches=["0", "1"], weights={"a": [0.5, -0.5]}, bias=[0.0, 0.1], margin=1.0
    )
    limits = PromptLimits(user=TextLimits(n_unknown=[2], n_new_words=[None], n_instructions=0))
    space = KeySpace(
        signature="s", lines=["x"], prompt_limits={"k": limits}, branch_classifiers={"k": classifier}
    )
    file = RouteFile(run_id="r", keyspaces=[space])
    assert decode(encode(file), RouteFile) == file
    assert b"\n" not in encode(file) and b"branch_classifiers" in encode(file)
    with pytest.raises(msgspec.ValidationError):
        decode(encode(space), RouteFile)


def test_what_a_specialist_reads_of_a_call() -> None:
    call = Call(
        id="c",
        messages=[SYSTEM],
        response={},
        tools=TOOLS,
        tool_choice="auto",
        agent="a",
        site="s",
        model="m",
    )
    assert call.request() == Request(messages=[SYSTEM], tools=TOOLS, tool_choice="auto", agent="a", site="s")


def test_the_data_subject_is_the_end_user_else_the_job() -> None:
    assert (example(1, origin="ann").subject, example(1).subject) == ("ann", "g")
