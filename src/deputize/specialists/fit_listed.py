"""Fits a `ListedPredictor` to the LLM's answers.

What a request's own group adds to a history is taken off before the request is trained on, so that the scorers learn
what a history is worth to a request that is not in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deputize.core.listed_tools import ListedArgument, ListedTool, content_words, split_list, tool_words
from deputize.core.records import Answer, Contract
from deputize.core.subjects import Subjects
from deputize.specialists.candidate_scorer import Floats, fit_scorer
from deputize.specialists.listed_answers import Histories, ListedPredictor, with_missing, written
from deputize.specialists.listed_features import (
    NO_HISTORY,
    ArgumentHistory,
    CallRates,
    fit_weights,
    tool_features,
    value_features,
)
from deputize.specialists.listed_values import ListedValue, PromptPieces

MIN_HOLDERS = 3
"""Groups and data subjects at least that a tool's rate, or a value, is kept for."""


class ListedExample(NamedTuple):
    """A request, its list, and what the LLM answered."""

    prompt: PromptPieces
    tools: list[ListedTool]
    called: int
    """Place of the called tool in the list; one past its end: none, several, or one that is not in the list."""
    arguments: dict[str, Any]
    group: str
    subject: str
    weight: float


def fit_listed(
    contract: Contract,
    texts: Sequence[str],
    answers: Sequence[Answer],
    *,
    groups: Sequence[str],
    subjects: Subjects,
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> ListedPredictor | None:
    """A predictor fitted to pruned prompts and answers; None where no prompt has a list, or no tool of one was ever
    called.

    Args:
        contract: of the task.
        texts: pruned prompts of train.
        answers: the LLM's.
        groups: what may not be torn apart.
        subjects: of the texts.
        weights: of the examples; equal where None.
        seed: of the scorers.
    """
    weights = [1.0] * len(texts) if weights is None else weights
    examples = [
        listed_example(contract, *row)
        for row in zip(texts, answers, groups, subjects.names, weights, strict=True)
    ]
    examples = [one for one in examples if one.tools]
    if not any(one.called < len(one.tools) for one in examples):
        return None
    lists = {tool: one.subject for one in examples for tool in map(_frozen, one.tools)}
    word_weights = fit_weights(
        [content_words(one.prompt.text) for one in examples] + [tool[2] for tool in lists],
        [one.subject for one in examples] + list(lists.values()),
        subjects.least,
    )
    kept = _Kept(examples, max(subjects.least, MIN_HOLDERS))
    tool_scorer = None
    if any(len(one.tools) > 1 or one.called for one in examples):
        rows = [
            tool_features(
                content_words(one.prompt.text), one.prompt, one.tools, word_weights, kept.rates_without(one)
            )
            for one in examples
        ]
        hits = [np.arange(len(one.tools) + 1) == one.called for one in examples]
        tool_scorer = fit_scorer(rows, hits, weights=[one.weight for one in examples], seed=seed)
    choices, right, value_weights = _value_rows(examples, kept)
    value_scorer = fit_scorer(choices, right, weights=value_weights, seed=seed)
    return ListedPredictor(contract, word_weights, tool_scorer, value_scorer, kept.histories)


def _frozen(tool: ListedTool) -> tuple[str, str, frozenset[str]]:
    return tool.name, tool.description, tool_words(tool)


def listed_example(
    contract: Contract, text: str, answer: Answer, group: str = "", subject: str = "", weight: float = 1.0
) -> ListedExample:
    """An example as it is fitted to."""
    asked, tools = split_list(text)
    called, arguments = len(tools), dict[str, Any]()
    if contract.kind == "json":
        if isinstance(answer, dict):
            called, arguments = 0, answer
    elif isinstance(answer, list) and len(answer) == 1:
        called = next((i for i, tool in enumerate(tools) if tool.name == answer[0]["name"]), len(tools))
        arguments = answer[0]["arguments"]
    if called < len(tools) and not arguments.keys() <= {a.name for a in tools[called].arguments}:
        called = len(tools)  # it has what no list names
    return ListedExample(PromptPieces(asked), tools, called, arguments, group, subject, weight)


@dataclass
class _Counted:
    """The groups and data subjects that had something."""

    groups: dict[Any, set[str]]
    subjects: dict[Any, set[str]]

    @classmethod
    def new(cls) -> _Counted:
        return cls(defaultdict(set), defaultdict(set))

    def add(self, thing: Any, one: ListedExample) -> None:
        self.groups[thing].add(one.group)
        self.subjects[thing].add(one.subject)

    def shared(self, least: int) -> list[Any]:
        return [
            thing
            for thing, who in self.groups.items()
            if len(who) >= MIN_HOLDERS and len(self.subjects[thing]) >= least
        ]


class _Kept:
    """The part of the examples that is kept, and what each group added to it."""

    def __init__(self, examples: Sequence[ListedExample], least: int) -> None:
        self._listed, self._called, self._filled = _Counted.new(), _Counted.new(), _Counted.new()
        self._sources, self._values = _Counted.new(), _Counted.new()
        for one in examples:
            for tool in one.tools:
                self._listed.add(tool.name, one)
            if one.called < len(one.tools):
                self._add_call(one)
        rates = {
            name: (len(self._listed.groups[name]), len(self._called.groups.get(name, ())))
            for name in self._listed.shared(least)
        }
        self.histories = Histories(CallRates(rates), self._of_arguments(least))

    def _add_call(self, one: ListedExample) -> None:
        tool = one.tools[one.called]
        self._called.add(tool.name, one)
        for argument in tool.arguments:
            place = (tool.name, argument.name)
            self._filled.add(place, one)
            wanted = _wanted(argument, one.arguments)
            found = with_missing(argument, one.prompt, NO_HISTORY)
            source = next((v.source for v in found if written(v) == wanted), "before")
            self._sources.add((place, source), one)
            self._values.add((place, wanted), one)

    def _of_arguments(self, least: int) -> dict[tuple[str, str], ArgumentHistory]:
        sources: dict[Any, dict[str, int]] = defaultdict(dict)
        values: dict[Any, dict[str, int]] = defaultdict(dict)
        for (place, source), who in self._sources.groups.items():
            sources[place][source] = len(who)
        for place, value in self._values.shared(least):
            values[place][value] = len(self._values.groups[place, value])
        return {
            place: ArgumentHistory(len(self._filled.groups[place]), sources[place], values[place])
            for place in self._filled.shared(least)
        }

    def rates_without(self, one: ListedExample) -> Callable[[str], list[float]]:
        """The features of a tool's rate as if one group had not been there."""
        rates = self.histories.rates

        def features(name: str) -> list[float]:
            own = (one.group in self._listed.groups[name], one.group in self._called.groups.get(name, ()))
            return rates.features(name, (int(own[0]), int(own[1])))

        return features

    def own(self, one: ListedExample, place: tuple[str, str]) -> Callable[[str, str], tuple[int, int, int]]:
        """The part of an argument's history that the group of an example added."""

        def added(source: str, value: str) -> tuple[int, int, int]:
            return (
                int(one.group in self._filled.groups.get(place, ())),
                int(one.group in self._sources.groups.get((place, source), ())),
                int(one.group in self._values.groups.get((place, value), ())),
            )

        return added

    def candidates(self, one: ListedExample, tool: ListedTool, argument: ListedArgument) -> list[ListedValue]:
        """The candidates of an argument as if the example's group had not been there."""
        place = (tool.name, argument.name)
        history = self.histories.of(tool, argument)
        others = {
            value: n
            for value, n in history.values.items()
            if n - (one.group in self._values.groups.get((place, value), ())) >= MIN_HOLDERS
        }
        return with_missing(argument, one.prompt, ArgumentHistory(history.n, history.sources, others))


def _wanted(argument: ListedArgument, arguments: dict[str, Any]) -> str:
    """The value of an argument in an answer, as `written` writes it."""
    if argument.name not in arguments:
        return "<absent>"
    return written(ListedValue(arguments[argument.name], "before"))


def _value_rows(
    examples: Sequence[ListedExample], kept: _Kept
) -> tuple[list[Floats], list[npt.NDArray[np.bool_]], list[float]]:
    """(features of the candidates, which of them are right, weight) of each argument of each call."""
    choices: list[Floats] = []
    right: list[npt.NDArray[np.bool_]] = []
    weights: list[float] = []
    for one in examples:
        if one.called >= len(one.tools):
            continue
        tool = one.tools[one.called]
        for argument in tool.arguments:
            found = kept.candidates(one, tool, argument)
            if len(found) == 1:
                continue
            names = [written(v) for v in found]
            hit = np.array([name == _wanted(argument, one.arguments) for name in names])
            if not hit.any():
                hit[-1] = True
            history = kept.histories.of(tool, argument)
            own = kept.own(one, (tool.name, argument.name))
            choices.append(value_features(tool, argument, found, names, one.prompt, history, own))
            right.append(hit)
            weights.append(one.weight)
    return choices, right, weights
