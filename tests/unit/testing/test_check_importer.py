"""The contract suite of importers: a toy that breaks one promise fails, with that promise named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.a_users_importer import QuestionImporter

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext, Importer
from deputize.testing import check_importer


def sample(question: str, answer: str) -> tuple[dict[str, Any], Call]:
    call = Call(
        id="",
        messages=[{"role": "user", "content": question}],
        response={"role": "assistant", "content": answer},
    )
    return {"question": question, "answer": answer}, call


SAMPLES = [sample("why?", "because"), sample("who?", "I")]
OTHERS = [{"messages": [{"role": "user", "content": "why?"}], "response": "because"}]


def test_the_toy_passes_whole_and_needs_two_samples() -> None:
    check_importer(QuestionImporter(), SAMPLES, others=OTHERS)
    with pytest.raises(AssertionError, match="at least two"):
        check_importer(QuestionImporter(), SAMPLES[:1])


class _Broken(QuestionImporter):
    """A toy that delegates to the good one but for what a test breaks."""

    def __init__(
        self,
        parse: Callable[[dict[str, Any], ImportContext, Call | Skip], Any] | None = None,
        sniff: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        self._parse, self._sniff = parse, sniff

    def sniff(self, row: dict[str, Any]) -> bool:
        return self._sniff(row) if self._sniff else super().sniff(row)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Call | Skip:
        good = super().parse(row, context)
        found: Call | Skip = self._parse(row, context, good) if self._parse else good
        return found


def with_params(row: dict[str, Any], context: ImportContext, good: Call | Skip) -> Call | Skip:
    params = {k: v for k, v in row.items() if k not in ("question", "answer", "asker")}
    return (
        Call(**{f: getattr(good, f) for f in ("id", "messages", "response", "origin")}, params=params)
        if (isinstance(good, Call))
        else good
    )


def counted() -> Callable[[dict[str, Any], ImportContext, Call | Skip], Any]:
    numbers = iter(range(10**6))
    return lambda row, context, good: (
        Call(id=f"c{next(numbers)}", messages=good.messages, response=good.response, origin=good.origin)
        if isinstance(good, Call)
        else good
    )


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (_Broken(sniff=lambda row: True), "sniff is false"),
        (_Broken(sniff=lambda row: False), "sniff is true"),
        (
            _Broken(sniff=lambda row: "question" in row and row.setdefault("seen", True)),
            "sniff does not change",
        ),
        (_Broken(lambda row, context, good: context.skip("no")), "a sample is a call"),
        (
            _Broken(lambda row, context, good: Call(id="", messages=[], response={})),
            "the call that was given",
        ),
        (_Broken(counted()), "the call that was given"),
        (_Broken(lambda row, context, good: [row.setdefault("seen", 1), good][1]), "does not change"),
        (_Broken(lambda row, context, good: [row["question"].strip(), good][1]), "never raises"),
        (_Broken(lambda row, context, good: good if isinstance(good, Call) else None), "a Call or a Skip"),
        (
            _Broken(lambda row, context, good: good if isinstance(good, Call) else context.skip("")),
            "has a reason",
        ),
        (
            _Broken(
                lambda row, context, good: good if isinstance(good, Call) else context.skip(f"not {row}")
            ),
            "holds nothing of the object",
        ),
        (
            _Broken(
                lambda row, context, good: (
                    good if isinstance(good, Call) else Skip(file="", line=0, reason="x")
                )
            ),
            "names the line",
        ),
        (_Broken(with_params), "are not kept"),
    ],
)
def test_a_broken_importer_fails(broken: Importer, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_importer(broken, SAMPLES, others=OTHERS)
