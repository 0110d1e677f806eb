"""A constant or a plain rule that gives the answers of a task: found on training calls, measured on calls it has not
seen.

The rules are those that a person would write in a line of code: always the same, copied from behind a label of the
prompt, looked up by what stands behind a label, told by one word. Each part of an answer (a field, a tool, an argument)
has its own.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from deputize.core.contracts import fold
from deputize.core.prompt_segments import head_of
from deputize.core.records import Answer, Contract
from deputize.core.subjects import Subjects

MOST_TRAINED = 1_000
"""Training calls that a rule is looked for in."""
MOST_TABLE = 50
"""Entries of a table that a person would write down."""
MOST_CHOICES = 8
"""Values of a part of an answer up to which one word may tell it."""
MIN_WITH_WORD = 5
"""Training calls that must have a word, and that must not, for it to tell anything."""
MISSING = ""
"""Value of a part that an answer has not."""


class PromptClues(NamedTuple):
    """The parts of a prompt that rules look at."""

    labelled: dict[str, str]
    """Label -> the text behind it."""
    words: frozenset[str]


class PartRule(NamedTuple):
    """The rule for one part of an answer; one of `constant`, `copied`, `table` and `word` is set."""

    constant: str | None = None
    label: str = ""
    """Of the prompt, that is copied from or looked up by."""
    table: dict[str, str] | None = None
    word: str = ""
    with_word: str = ""
    without_word: str = ""

    def value(self, facts: PromptClues) -> str | None:
        """The value that the rule gives for a prompt; None where it gives nothing."""
        if self.constant is not None:
            return self.constant
        if self.word:
            return self.with_word if self.word in facts.words else self.without_word
        behind = facts.labelled.get(self.label)
        return behind if self.table is None or behind is None else self.table.get(behind)

    def words(self, shown: Sequence[str]) -> str:
        """The rule in words; a value stands in it only where it is one of `shown`."""
        if self.constant is not None:
            return f"is always {self.constant}" if self.constant in shown else "is always the same"
        if self.word:
            given = (
                f"{self.with_word} there, {self.without_word} elsewhere" if self.with_word in shown else ""
            )
            return f"is told by the word {self.word!r}" + (f" ({given})" if given else "")
        if self.table is None:
            return f"is copied from behind {self.label!r}"
        return f"is looked up by {self.label!r} in a table of {len(self.table)}"


class SimpleRule(NamedTuple):
    """A rule for whole answers."""

    parts: dict[str, PartRule]
    shown: tuple[str, ...]
    """Values of answers, and names of their parts, that a reader may see."""

    def is_right(self, prompt: str, answer: Answer | None, contract: Contract) -> bool:
        """Check whether the rule gives the LLM's answer to a prompt."""
        if answer is None:
            return False
        facts, truth = facts_of(prompt), parts_of(answer, contract)
        if not truth.keys() <= self.parts.keys():
            return False
        return all(rule.value(facts) == truth.get(part, MISSING) for part, rule in self.parts.items())

    def words(self) -> str:
        """The rule as a sentence without its end."""
        said = [
            f"{'the answer' if not part else part if part in self.shown else 'another field'} {rule.words(self.shown)}"
            for part, rule in self.parts.items()
        ]
        return "; ".join(said[:4]) + (f"; and {len(said) - 4} more fields" if len(said) > 4 else "")


def fit_rule(
    calls: Sequence[tuple[str, Answer]], contract: Contract, subjects: Subjects, epsilon: float
) -> SimpleRule | None:
    """The rule that fits training calls best; None where a part of the answers has none that fits well enough.

    Args:
        calls: pairs of a short prompt and the LLM's answer.
        contract: of the task.
        subjects: whose calls they are: no rule looks at a word that too few of them use.
        epsilon: the share of calls that the rule for a part may get wrong.
    """
    calls = calls[:MOST_TRAINED]
    facts = [facts_of(prompt) for prompt, _ in calls]
    answers = [parts_of(answer, contract) for _, answer in calls]
    names = list(dict.fromkeys(name for parts in answers for name in parts))
    subjects = Subjects(subjects.names[: len(calls)], subjects.least)
    shared = subjects.shared(one.words for one in facts)
    rules: dict[str, PartRule] = {}
    for name in names:
        values = [parts.get(name, MISSING) for parts in answers]
        rule, share = _best(facts, values, shared)
        if share < 1 - epsilon:
            return None
        rules[name] = rule
    if not rules:
        return None
    known = [str(label) for field in contract.fields for label in field.labels]
    return SimpleRule(rules, (*contract.labels, *contract.tools, *known, *sorted(subjects.shared(answers))))


def facts_of(prompt: str) -> PromptClues:
    """The facts of a short prompt (core.prompt)."""
    labelled: dict[str, str] = {}
    for line in prompt.splitlines():
        if head := head_of(line):
            label = head.removesuffix(":")
            behind = line[line.find(label) + len(label) :].lstrip(" \t:=*_\"'`").rstrip(" \t*_\"'`,;")
            labelled.setdefault(head, fold(behind))
    return PromptClues(labelled, frozenset(prompt.casefold().split()))


def parts_of(answer: Answer, contract: Contract) -> dict[str, str]:
    """An answer by its parts as text: "" for a whole one, the compared fields of an object, tool and arguments of one
    call."""
    if isinstance(answer, dict):
        return {k: _text(v) for k, v in answer.items() if k not in contract.uncompared}
    if isinstance(answer, list) and len(answer) == 1:
        called = answer[0]
        return {"tool": str(called["name"]), **{k: _text(v) for k, v in called["arguments"].items()}}
    return {"": _text(answer)}


def _text(value: object) -> str:
    return fold(value) if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _best(facts: Sequence[PromptClues], values: Sequence[str], shared: set[str]) -> tuple[PartRule, float]:
    """The rule that gives the most of the values, the simplest of several, and the share that it gives."""
    best, most = PartRule(constant=MISSING), -1
    for rule in _candidates(facts, values, shared):
        n_right = sum(rule.value(one) == value for one, value in zip(facts, values, strict=True))
        if n_right > most:
            best, most = rule, n_right
    return best, most / max(1, len(values))


def _candidates(facts: Sequence[PromptClues], values: Sequence[str], shared: set[str]) -> Iterator[PartRule]:
    """Rules worth trying, from simple to less so."""
    yield PartRule(constant=_commonest(values))
    labels = Counter(label for one in facts for label in one.labelled)
    common = sorted(label for label, n in labels.items() if n >= 0.9 * len(facts))
    yield from (PartRule(label=label) for label in common)
    for label in common:
        found: dict[str, list[str]] = defaultdict(list)
        for one, value in zip(facts, values, strict=True):
            if (behind := one.labelled.get(label)) is not None:
                found[behind].append(value)
        if len(found) <= min(MOST_TABLE, len(facts) / 4):
            yield PartRule(label=label, table={behind: _commonest(given) for behind, given in found.items()})
    if len(set(values)) <= MOST_CHOICES and (told := _telling_word(facts, values, shared)) is not None:
        yield told


def _telling_word(facts: Sequence[PromptClues], values: Sequence[str], shared: set[str]) -> PartRule | None:
    """The word by whose presence most of the values are told."""
    everywhere = Counter(values)
    by_word: dict[str, Counter[str]] = defaultdict(Counter)
    for one, value in zip(facts, values, strict=True):
        for word in one.words & shared:
            by_word[word][value] += 1
    best, most = None, -1
    for word, there in sorted(by_word.items()):
        elsewhere = everywhere - there
        if min(there.total(), elsewhere.total()) < MIN_WITH_WORD:
            continue
        with_word, without = _commonest(there.elements()), _commonest(elsewhere.elements())
        n_right = there[with_word] + elsewhere[without]
        if n_right > most:
            best, most = PartRule(word=word, with_word=with_word, without_word=without), n_right
    return best


def _commonest(values: Iterable[str]) -> str:
    """The most frequent value, the first by its letters of several."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value), default=MISSING)
