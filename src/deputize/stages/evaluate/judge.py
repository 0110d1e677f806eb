"""An LLM that judges answers in other words, within a budget of questions, and the measurement of its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import islice

from deputize.core.contracts import needs_judge, text_of
from deputize.core.errors import UpstreamError
from deputize.core.judging import INSTRUCTION, JudgeEvidence, is_no_worse, question, verdict_of
from deputize.core.records import Call
from deputize.stages.evaluate.task_calls import TaskCalls

Ask = Callable[[str, str], str]
"""(instruction, text) -> the model's reply. Raises UpstreamError where there is none."""

LIMITS = {"validation": 0.3, "calibration": 0.8}
"""Part of the budget that may be spent by the end of a split; the rest is for held-out calls and for the judge's own
errors."""
MAX_FAILURES = 3
"""After so many failures in a row the judge is not asked any more."""
N_CONTROLS = 20
"""Answers to other requests, and corrected answers, that a judge is shown."""


class Judge:
    """Judges pairs of answers; equal pairs are judged once."""

    def __init__(self, ask: Ask, model: str, max_questions: int) -> None:
        """
        Args:
            ask: puts a question to the judge.
            model: its name.
            max_questions: to all pairs; a pair takes one where the first verdict is against the answer, else two.
        """
        self._ask, self.model, self._max = ask, model, max_questions
        self._known: dict[bytes, bool | None] = {}
        self._n_failures = 0
        self.n_questions = self.n_pairs = self.n_order_dependent = self.n_unjudged = 0

    def part(self, n_tasks: int) -> Judge:
        """The judge of one of several tasks, with its part of the budget."""
        return Judge(self._ask, self.model, self._max // max(1, n_tasks))

    def affordable(self, split: str) -> int:
        """Pairs of a split that there are questions for, whatever the verdicts."""
        return max(0, int(self._max * LIMITS.get(split, 1.0) - self.n_questions) // 2)

    def no_worse(self, call: Call, answer: str, told: str, split: str) -> bool | None:
        """True where an answer serves no worse than the LLM's, in both orders; None where that was not judged.

        Args:
            call: with the request.
            answer: the specialist's.
            told: the LLM's.
            split: of the call, which limits what may be spent.
        """
        key = _digest(call, answer, told)
        if key not in self._known:
            limit = self._max * LIMITS.get(split, 1.0)
            verdict = self._both_orders(call, answer, told) if self.n_questions + 2 <= limit else None
            if verdict is None:
                self.n_unjudged += 1
                return None
            self.n_pairs += 1
            self._known[key] = verdict
        return self._known[key]

    def _both_orders(self, call: Call, answer: str, told: str) -> bool | None:
        first = self._is_no_worse(call, told, answer, answer_is_first=False)
        if not first:
            return first
        second = self._is_no_worse(call, answer, told, answer_is_first=True)
        self.n_order_dependent += second is False
        return second

    def _is_no_worse(self, call: Call, first: str, second: str, *, answer_is_first: bool) -> bool | None:
        asked = question(call.messages, first, second)
        if not asked or self._n_failures >= MAX_FAILURES:
            return None
        self.n_questions += 1
        try:
            verdict = verdict_of(self._ask(INSTRUCTION, asked))
        except UpstreamError:
            self._n_failures += 1
            return None
        self._n_failures = 0
        return None if verdict is None else is_no_worse(verdict, answer_is_first=answer_is_first)

    def evidence(self, calls: Sequence[Call], labelled: Sequence[tuple[Call, str]]) -> JudgeEvidence:
        """The verdicts so far, and the errors of the judge on answers that are wrong.

        Args:
            calls: whose answers are shown under each other's requests.
            labelled: calls with their right answers.
        """
        before = (self.n_pairs, self.n_order_dependent, self.n_unjudged)
        told = [text_of(call.response) for call in calls]
        others = zip(calls, told, [*told[1:], *told[:1]], strict=True)
        controls = [
            self.no_worse(call, other, mine, "controls") for call, mine, other in others if mine != other
        ]
        wrong = [
            self.no_worse(call, text_of(call.response), right, "controls")
            for call, right in labelled
            if text_of(call.response) != right
        ]
        return JudgeEvidence(
            model=self.model,
            n_pairs=before[0],
            n_order_dependent=before[1],
            n_unjudged=before[2],
            n_controls=sum(one is not None for one in controls),
            n_controls_passed=sum(one is True for one in controls),
            n_labelled=sum(one is not None for one in wrong),
            n_labelled_passed=sum(one is True for one in wrong),
        )


def evidence_of(judge: Judge | None, calls: TaskCalls) -> JudgeEvidence | None:
    """The errors of the judge of a task, shown validation calls, and calls with their right answers; None where it
    needs none."""
    if judge is None or not needs_judge(calls.contract):
        return None
    shown = calls.split("validation")[:N_CONTROLS]
    corrected = [
        c for name in ("validation", "calibration") for c in calls.split(name) if c.label is not None
    ]
    texts = calls.population.texts([*shown, *corrected[:N_CONTROLS]])
    controls = [r.call for r in islice(texts, len(shown)) if r is not None]
    labelled = [
        (r.call, text_of(c.label))
        for c, r in zip(corrected, texts, strict=False)
        if r is not None and c.label
    ]
    return judge.evidence(controls, labelled)


def _digest(call: Call, answer: str, told: str) -> bytes:
    digest = blake2b(digest_size=16)
    for part in (repr(call.messages), answer, told):
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    return digest.digest()
