"""Features of tools and values: shared words count by their weight, and a request's own group is taken off a history."""

from __future__ import annotations

import numpy as np
from tests.simulated_lists import call_of

from deputize.core.listed_tools import content_words, listed_tools
from deputize.specialists.listed_features import (
    N_VALUE_FEATURES,
    NO_HISTORY,
    ArgumentHistory,
    CallRates,
    fit_weights,
    tool_features,
    value_features,
)
from deputize.specialists.listed_values import candidates, pieces_of

TOOLS = listed_tools(call_of(1, [("find", "flight"), ("book", "hotel"), ("cancel", "taxi")]).request())
TEXT = "Please book a hotel for Anna, 7 of them."


def test_rare_words_weigh_more_and_words_of_few_subjects_as_unseen() -> None:
    documents = [["a", "b"], ["a"], ["a"], ["a", "c"], ["a", "c"], ["a", "c"]]
    weights = fit_weights(documents, ["x", "y", "z", "x", "y", "z"], 1)
    assert weights.sum(["a"]) < weights.sum(["c"]) or weights.sum(["a"]) == weights.sum(["c"])
    assert weights.sum(["b"]) == weights.sum(["never seen"]) > weights.sum(["a"])
    assert weights.part(["a"], ["a"]) == 1.0 and weights.part([], []) == 0.0


def test_the_last_row_stands_for_none_of_the_tools() -> None:
    weights = fit_weights([["a"]], ["x"], 1)
    x = tool_features(content_words(TEXT), pieces_of(TEXT), TOOLS, weights, CallRates({}).features)
    assert x.shape[0] == 4 and x[:, 0].tolist() == [0, 0, 0, 1]
    names = [tool.name for tool in TOOLS]
    assert int(np.argmax(x[:3, 1])) == names.index("book_hotel"), (
        "the share of the name's words in the prompt"
    )


def test_what_its_own_group_adds_is_taken_off() -> None:
    rates = CallRates({"f": (10, 4)})
    assert rates.features("f")[1] == 5 / 12 and rates.features("f", (1, 1))[1] == 4 / 11
    assert rates.features("g")[0] == 0.0
    tool, argument = TOOLS[0], TOOLS[0].arguments[0]
    found = candidates(argument, pieces_of(TEXT))
    names = [repr(one.value) for one in found]
    history = ArgumentHistory(5, {"span": 5}, {names[0]: 3})

    def features(own: tuple[int, int, int]) -> np.ndarray:
        return value_features(tool, argument, found, names, pieces_of(TEXT), history, lambda s, v: own)

    assert features((0, 0, 0)).shape == (len(found), N_VALUE_FEATURES)
    assert not np.array_equal(features((0, 0, 0)), features((1, 1, 1)))
    assert NO_HISTORY.n == 0
