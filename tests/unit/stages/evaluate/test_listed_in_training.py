"""Which tools were in training, and so what a certificate may be about."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.simulated_lists import CONTRACT, RECIPE, TOOLS, call_of, example_of
from tests.unit.stages.evaluate.conftest import Recorded

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.listed_tools import digests
from deputize.core.records import Call, KeySpace, Task
from deputize.core.signature import open_signature
from deputize.core.template_key import TemplateKeys
from deputize.scoring.costs import load_prices
from deputize.stages.evaluate.listed_in_training import is_about_unseen, least_unseen
from deputize.stages.evaluate.population import Population, asked_request, read_population

OLD, NEW = TOOLS[:10], TOOLS[40:50]


def population(calls: list[Call], min_origins: int = 1) -> Population:
    """The first half is of train, the rest of calibration."""
    half = len(calls) // 2
    made = [example_of(c, "train" if i < half else "calibration") for i, c in enumerate(calls)]
    space = KeySpace(signature=open_signature(calls[0].request()))
    key = TemplateKeys([space]).key(calls[0].request())
    task = Task(id="t", name="call a tool", contract=CONTRACT, recipe=RECIPE, keys=[key])
    curated = Curated(examples=made, sites=[], n_calls=len(made), n_episodes=1, n_code_calls=1)
    discovered = Discovered(
        tasks=[task],
        keyspaces=[space],
        assignment=dict.fromkeys([e.call_id for e in made], "t"),
        min_origins=min_origins,
    )
    return read_population(Recorded(calls), curated, discovered, load_prices(), least_unseen=20)


def test_calls_with_an_unseen_tool_are_not_asked_where_calibration_holds_few() -> None:
    calls = [call_of(i, OLD) for i in range(110)] + [call_of(i, [*NEW, *OLD]) for i in range(200, 210)]
    found = population(calls)
    known = found.limits_of("t").listed
    assert known is not None and set(known) == {d for c in calls[:60] for d in digests(c.request())}
    for one, call in zip(found.of("t"), calls[60:], strict=True):
        assert one.is_asked == set(digests(call.request())).issubset(known) and not one.is_unseen
    assert 0 < sum(not one.is_asked for one in found.of("t")) <= 10


def test_where_most_of_calibration_is_unseen_the_certificate_is_about_both() -> None:
    calls = [call_of(i, OLD) for i in range(60)] + [call_of(i, NEW if i % 4 else OLD) for i in range(60, 120)]
    found = population(calls)
    assert found.limits_of("t").listed is None and all(one.is_asked for one in found.of("t"))
    assert [one.is_unseen for one in found.of("t")] == [bool(i % 4) for i in range(60, 120)]


def test_a_tool_of_too_few_people_is_not_known() -> None:
    calls = [call_of(i, OLD) for i in range(30)]
    by_one = [structs.replace(c, origin="o") for c in calls]
    assert population(by_one, min_origins=2).limits_of("t").listed == []


def test_requests_that_list_the_same_have_no_such_limit() -> None:
    found = population([call_of(i, OLD) for i in range(4)])
    assert found.limits_of("no task").listed is None
    assert asked_request(call_of(1, OLD)) is not None


@pytest.mark.parametrize(
    ("n_groups", "n_unseen", "expected"), [(100, 62, False), (100, 63, True), (200, 99, False), (0, 0, False)]
)
def test_unseen_ones_must_be_enough_for_a_test_of_their_own_and_most(
    n_groups: int, n_unseen: int, expected: bool
) -> None:
    assert least_unseen(Convert()) == 63
    assert is_about_unseen(n_groups, n_unseen, 63) == expected
