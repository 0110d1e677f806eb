"""Answers to requests that list their own tools, or the schema of their reply: which tool, then a value for each of its
arguments.

Both are chosen by features that the request and the list share (listed_features), so that a tool that was never in
training can be called too. A value is one that the schema allows, one that recurred in training, or one that stands in
the request (listed_values). Takes milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deputize.core.contracts import DEFER
from deputize.core.listed_tools import ListedArgument, ListedTool, content_words, split_list
from deputize.core.records import Answer, Contract
from deputize.specialists.base import RawPrediction
from deputize.specialists.candidate_scorer import CandidateScorer, Floats
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.hashed_features import n_words
from deputize.specialists.listed_features import (
    NO_HISTORY,
    ArgumentHistory,
    CallRates,
    WordWeights,
    tool_features,
    value_features,
)
from deputize.specialists.listed_values import (
    ABSENT_VALUE,
    MISSING,
    ListedValue,
    PromptPieces,
    candidates,
    pieces_of,
)
from deputize.specialists.registry import StoredSpecialist

WEIGHTS_FILE, HISTORY_FILE = "listed.npz", "listed.json"
MAX_BEFORE = 30
"""Values of training that an argument may have again, the most frequent ones."""


class ListedChoice(NamedTuple):
    """One value, or one tool, chosen out of candidates."""

    at: int
    log_p: float
    margin: float
    """Its lead in nats over the next one."""


class Histories(NamedTuple):
    """All that is kept of training besides weights: of tools and values that enough data subjects had."""

    rates: CallRates
    of_argument: dict[tuple[str, str], ArgumentHistory]
    """(tool, argument) -> its history."""

    def of(self, tool: ListedTool, argument: ListedArgument) -> ArgumentHistory:
        """The history of an argument; an empty one where it was not in training."""
        return self.of_argument.get((tool.name, argument.name), NO_HISTORY)


def written(one: ListedValue) -> str:
    """A candidate's value as JSON, by which it is compared; its source where it has none."""
    if one.source in ("absent", "missing"):
        return f"<{one.source}>"
    return json.dumps(one.value, ensure_ascii=False, sort_keys=True)


def with_missing(
    argument: ListedArgument, prompt: PromptPieces, history: ArgumentHistory
) -> list[ListedValue]:
    """The candidates of an argument, and the one that stands for none of them."""
    often = sorted(history.values, key=lambda v: (-history.values[v], v))[:MAX_BEFORE]
    before = [json.loads(value) for value in often if not value.startswith("<")]
    return [*candidates(argument, prompt, before), MISSING]


class ListedPredictor:
    """Reads the list of each request and answers with a call of one of its tools, or as its schema says."""

    kind = "listed"

    def __init__(
        self,
        contract: Contract,
        weights: WordWeights,
        tool_scorer: CandidateScorer | None,
        value_scorer: CandidateScorer | None,
        histories: Histories,
    ) -> None:
        """
        Args:
            contract: of the task.
            weights: of words.
            tool_scorer: chooses among the tools and none of them; None: the first tool, which is the reply's schema.
            value_scorer: chooses among the values of an argument; None: no argument was ever filled in.
            histories: of tools and arguments.
        """
        self.contract, self.weights, self.histories = contract, weights, histories
        self.tool_scorer, self.value_scorer = tool_scorer, value_scorer

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text."""
        return [self._one(text) for text in texts]

    def choose_tool(self, prompt: PromptPieces, tools: Sequence[ListedTool]) -> ListedChoice:
        """The tool to be called; one past the last of the list: none of them, or several."""
        if self.tool_scorer is None:
            return ListedChoice(0, 0.0, 30.0)
        x = tool_features(
            content_words(prompt.text), prompt, tools, self.weights, self.histories.rates.features
        )
        return _best(self.tool_scorer.log_p(x))

    def log_p_of(self, tool: ListedTool, arguments: Mapping[str, Any], prompt: PromptPieces) -> float:
        """Log-probability of given arguments of a tool; of one that is none of its candidates, that none of them is
        right."""
        total = 0.0
        for argument in tool.arguments:
            history = self.histories.of(tool, argument)
            found = with_missing(argument, prompt, history)
            if self.value_scorer is None or len(found) == 1:
                continue
            names = [written(v) for v in found]
            given = (
                ListedValue(arguments[argument.name], "before")
                if argument.name in arguments
                else ABSENT_VALUE
            )
            at = names.index(written(given)) if written(given) in names else len(names) - 1
            x = value_features(tool, argument, found, names, prompt, history, _nothing)
            total += float(self.value_scorer.log_p(x)[at])
        return total

    def _one(self, text: str) -> RawPrediction:
        asked, tools = split_list(text)
        prompt, n_tokens = pieces_of(asked), n_words(text)
        if not tools:
            return RawPrediction(self._none(), RawConfidence.of([], []), n_tokens)
        choice = self.choose_tool(prompt, tools)
        log_ps, margins = [choice.log_p], [choice.margin]
        if choice.at == len(tools):
            return RawPrediction(self._none(), RawConfidence.of(log_ps, margins), n_tokens)
        tool = tools[choice.at]
        arguments: dict[str, Any] = {}
        for argument in tool.arguments:
            found = self._fill_in(tool, argument, prompt)
            if found is None:
                return RawPrediction(None, RawConfidence.of(log_ps, margins), n_tokens)
            value, chosen = found
            log_ps.append(chosen.log_p)
            margins.append(chosen.margin)
            if value.source != "absent":
                arguments[argument.name] = value.value
        answer: Answer = [{"name": tool.name, "arguments": arguments}]
        return RawPrediction(
            arguments if self.contract.kind == "json" else answer, RawConfidence.of(log_ps, margins), n_tokens
        )

    def _fill_in(
        self, tool: ListedTool, argument: ListedArgument, prompt: PromptPieces
    ) -> tuple[ListedValue, ListedChoice] | None:
        """The value of an argument; None where it can have none that is known here."""
        history = self.histories.of(tool, argument)
        found = with_missing(argument, prompt, history)
        if self.value_scorer is None or len(found) == 1:
            return None
        x = value_features(tool, argument, found, [written(v) for v in found], prompt, history, _nothing)
        # that it is none of these takes a share of the probability, and is no answer
        chosen = _best(self.value_scorer.log_p(x), n_possible=len(found) - 1)
        return found[chosen.at], chosen

    def _none(self) -> Answer | None:
        return DEFER if self.contract.may_defer else None

    def save(self, folder: Path) -> None:
        """Writes weights, and the histories, which hold nothing that too few data subjects had."""
        arrays: dict[str, npt.NDArray[Any]] = {"idf": self.weights.idf_B}
        for name, scorer in (("tool", self.tool_scorer), ("value", self.value_scorer)):
            if scorer is not None:
                arrays |= {f"{name}_{part}": array for part, array in scorer.arrays.items()}
        with (folder / WEIGHTS_FILE).open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)
        told = {
            "rates": {name: list(counts) for name, counts in sorted(self.histories.rates.counts.items())},
            "arguments": [
                [*place, h.n, h.sources, h.values] for place, h in sorted(self.histories.of_argument.items())
            ],
        }
        (folder / HISTORY_FILE).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, contract: Contract, folder: Path) -> ListedPredictor:
        """Reads what `save` wrote."""
        with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        told = json.loads((folder / HISTORY_FILE).read_text(encoding="utf-8"))
        histories = Histories(
            CallRates({name: (listed, called) for name, (listed, called) in told["rates"].items()}),
            {(tool, argument): ArgumentHistory(*rest) for tool, argument, *rest in told["arguments"]},
        )
        return cls(
            contract,
            WordWeights(arrays["idf"]),
            _scorer(arrays, "tool_"),
            _scorer(arrays, "value_"),
            histories,
        )


def _scorer(arrays: dict[str, Floats], prefix: str) -> CandidateScorer | None:
    mine = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    return CandidateScorer(mine) if mine else None


def _best(log_p_K: npt.NDArray[np.float64], n_possible: int | None = None) -> ListedChoice:
    """The likeliest of the first candidates, so many of them; its lead is over all others."""
    at = int(np.argmax(log_p_K[:n_possible]))
    rest = np.delete(log_p_K, at)
    return ListedChoice(at, float(log_p_K[at]), float(log_p_K[at] - rest.max(initial=-60.0)))


def _nothing(source: str, value: str) -> tuple[int, int, int]:
    """A request that was not trained on adds nothing to a history."""
    return 0, 0, 0


def load_listed(stored: StoredSpecialist) -> ListedPredictor:
    """The predictor of a stored specialist of kind "listed"."""
    return ListedPredictor.load(stored.card.contract, stored.folder)
