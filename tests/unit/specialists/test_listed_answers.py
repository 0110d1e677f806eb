"""What a specialist for lists does at the edges: no list, no argument that can be filled in."""

from __future__ import annotations

import numpy as np
from tests.simulated_lists import RECIPE, tool

from deputize.core.contracts import DEFER
from deputize.core.listed_tools import ANY, ListedArgument, ListedTool
from deputize.core.prompt import prune
from deputize.core.records import Contract, Request
from deputize.specialists.listed_answers import Histories, ListedPredictor, with_missing, written
from deputize.specialists.listed_features import N_BUCKETS, ArgumentHistory, CallRates, WordWeights
from deputize.specialists.listed_values import MISSING, ListedValue, pieces_of

WEIGHTS = WordWeights(np.ones(N_BUCKETS, np.float32))
NOTHING = Histories(CallRates({}), {})


def test_without_a_list_it_answers_nothing() -> None:
    asked = [prune(Request(messages=[{"role": "user", "content": "Hello"}]), RECIPE), "Hello", ""]
    mixed = ListedPredictor(Contract(kind="tool_call", may_defer=True), WEIGHTS, None, None, NOTHING)
    assert [p.answer for p in mixed.predict(asked)] == [DEFER] * 3
    code = ListedPredictor(Contract(kind="tool_call"), WEIGHTS, None, None, NOTHING)
    assert [p.answer for p in code.predict(asked)] == [None] * 3


def test_an_argument_that_cannot_be_filled_in_is_no_answer() -> None:
    request = Request(messages=[{"role": "user", "content": "Find a flight"}], tools=[tool("find", "flight")])
    made = ListedPredictor(Contract(kind="tool_call"), WEIGHTS, None, None, NOTHING)
    assert made.predict([prune(request, RECIPE)])[0].answer is None


def test_values_of_training_are_candidates_and_the_last_one_stands_for_none() -> None:
    history = ArgumentHistory(9, {}, {'"red"': 5, "<absent>": 4})
    found = with_missing(ListedArgument("colour", "string", True), pieces_of("x"), history)
    assert ListedValue("red", "before") in found and found[-1] is MISSING
    assert with_missing(ListedArgument("o", ANY, True), pieces_of("x"), history) == [MISSING]
    assert [written(v) for v in (found[0], MISSING)] == ['"red"', "<missing>"]
    assert NOTHING.of(ListedTool("f", "", []), ListedArgument("a", "string", True)).n == 0
