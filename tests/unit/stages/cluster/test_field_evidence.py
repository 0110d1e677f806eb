"""Copied or chosen: decided by where the values of validation stand, not by how many there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deputize.core.records import Example, Request
from deputize.stages.cluster.field_evidence import FieldEvidence, field_evidence, stands_in_request

NAMES = [f"{a} {b}" for a in ("Alba", "Luna", "Nova") for b in ("lamp", "chair", "shelf", "table")]


def evidence(ask: Callable[[int, str], str], names: list[str] = NAMES, n: int = 200) -> FieldEvidence:
    pairs = []
    for i in range(n):
        value = names[i % len(names)]
        pairs.append(
            (
                Example(
                    call_id=f"c{i}",
                    request=Request(messages=[{"role": "user", "content": ask(i, value)}]),
                    response={},
                    audience="code",
                    site="s",
                    episode=f"e{i}",
                    group=f"e{i}",
                    split="validation" if i % 5 == 0 else "train",
                ),
                value,
            )
        )
    return field_evidence(pairs)


def test_a_value_that_stands_in_its_request_alone_is_copied() -> None:
    found = evidence(lambda i, value: f"My {value[0].lower()}{value[1:]} of {i} is broken.")
    assert found == FieldEvidence(40, 1.0, 0.0, 1.0) and found.is_copied


@pytest.mark.parametrize("order", [1, -1])
def test_a_list_of_all_labels_in_the_request_is_no_evidence_of_copying(order: int) -> None:
    found = evidence(lambda i, _: f"Case {i}. Choose one of: {', '.join(NAMES[::order])}.")
    assert found.copied == 1.0 and found.elsewhere == 1.0 and not found.is_copied


def test_a_closed_set_that_covers_more_is_preferred() -> None:
    assert not evidence(lambda i, value: f"The {value}" if i % 7 else "The usual one").is_copied


def test_new_values_on_validation_speak_against_a_closed_set() -> None:
    found = evidence(lambda i, _: f"q {i}", [f"id-{i}" for i in range(200)])
    assert found.covered == 0.0


@pytest.mark.parametrize(
    ("value", "text", "stands"),
    [
        ("no", "I know nothing", False),
        ("no", "Oh no!", True),
        (12, "order 12.", True),
        (12, "order 123", False),
        (True, "True", False),
        (None, "None", False),
        ("a(b", "x a(b y", True),
    ],
)
def test_a_value_stands_as_words_of_its_own(value: object, text: str, stands: bool) -> None:
    example = Example(
        call_id="c",
        request=Request(messages=[{"role": "user", "content": text}]),
        response={},
        audience="code",
        site="s",
        episode="e",
        group="e",
    )
    assert stands_in_request(example, value) == stands
