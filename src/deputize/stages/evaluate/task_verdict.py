"""The verdict on a task: a specialist, a cache, plain code, or the LLM, and why.

Plain code and a cache are suggestions, counted on the log; only a specialist's route carries a certificate.
"""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.contracts import DEFER, answer_of
from deputize.core.prompt import prune
from deputize.core.records import Example, Task
from deputize.core.report_tasks import TaskVerdict
from deputize.core.subjects import Subjects
from deputize.core.task_results import TaskResult
from deputize.stages.evaluate.repeated_requests import RepeatedRequests
from deputize.stages.evaluate.simple_rule import fit_rule

MIN_UNSEEN = 20
"""Unseen calls from which the figure of a rule says something."""
MIN_REPEATED = 0.2
"""Share of the calls that must be exact repeats with the earlier answer for a cache to be worth having."""


def verdict_on(
    task: Task,
    calls: Sequence[Example],
    result: TaskResult,
    *,
    found: RepeatedRequests,
    epsilon: float,
    least_subjects: int,
) -> TaskVerdict:
    """The verdict on a task.

    Args:
        task: the task.
        calls: its calls meant for code, de-identified, in the order of the log; those without texts are only counted.
        result: of evaluation.
        found: the repeats among them.
        epsilon: the loss asked for.
        least_subjects: a word that fewer data subjects use is in no rule.
    """
    words, n_unseen, n_right = _rule(task, calls, epsilon, least_subjects)
    counted = TaskVerdict(
        kind="llm",
        reason="",
        n_exact_repeats=found.n_exact,
        n_exact_alike=found.n_exact_alike,
        n_near_repeats=found.n_near,
        n_near_alike=found.n_near_alike,
        rule=words,
        n_rule_calls=n_unseen,
        n_rule_right=n_right,
    )
    return _decided(counted, found, len(calls), result, epsilon)


def _decided(
    counted: TaskVerdict, found: RepeatedRequests, n_calls: int, result: TaskResult, epsilon: float
) -> TaskVerdict:
    """The verdict that the counts lead to: the cheapest that does as well as the specialist comes first."""
    held_out, test = result.held_out, result.test
    accuracy = test.tuned_accuracy if result.certificate is not None and test is not None else None
    n_unseen, n_right = counted.n_rule_calls, counted.n_rule_right
    if n_unseen >= MIN_UNSEEN and n_right >= n_unseen * max(1 - epsilon, accuracy or 0.0):
        reason = f"{counted.rule}: so it was in {n_right:,} of {n_unseen:,} unseen calls"
        return _as(counted, "code", reason)
    repeated = found.n_exact_alike / max(1, n_calls)
    served = held_out.share_served if held_out is not None else 0.0
    is_steady = found.n_exact_alike >= (1 - epsilon) * found.n_exact
    if repeated >= MIN_REPEATED and is_steady and repeated > served:
        reason = (
            f"{found.n_exact:,} of {n_calls:,} calls repeat an earlier one letter for letter, and {found.n_exact_alike:,} of "
            f"these had its answer"
        )
        return _as(counted, "cache", reason)
    if result.certificate is not None:
        reason = (
            f"certified; it answers {100 * served:.0f} % of unseen calls itself"
            if held_out is not None
            else "certified; no unseen call was left to try it on"
        )
        return _as(counted, "specialist", reason)
    if result.evaluation.leaks and result.refusal_reason == result.evaluation.leaks:
        return _as(
            counted, "llm", f"what was trained for it gives planted secrets away ({result.evaluation.leaks})"
        )
    return _as(counted, "llm", result.refusal_reason or "nothing else was tried")


def _as(counted: TaskVerdict, kind: str, reason: str) -> TaskVerdict:
    return TaskVerdict(
        kind=kind,  # type: ignore[arg-type]
        reason=reason,
        **{
            name: getattr(counted, name)
            for name in counted.__struct_fields__
            if name not in ("kind", "reason")
        },
    )


def _rule(task: Task, calls: Sequence[Example], epsilon: float, least_subjects: int) -> tuple[str, int, int]:
    """The rule in words, the unseen calls it was tried on, and those it got right; "" and zeros where there is none."""
    train = [e for e in calls if e.split == "train" and e.request.messages]
    known = [(e, a) for e in train if (a := answer_of(e.response, task.contract)) not in (None, DEFER)]
    if not known:
        return "", 0, 0
    subjects = Subjects([e.subject for e, _ in known], least_subjects)
    pairs = [(prune(e.request, task.recipe), answer) for e, answer in known]
    rule = fit_rule(pairs, task.contract, subjects, epsilon)
    if rule is None:
        return "", 0, 0
    unseen = [e for e in calls if e.split == "test" and e.request.messages]
    n_right = sum(
        rule.is_right(prune(e.request, task.recipe), answer_of(e.response, task.contract), task.contract)
        for e in unseen
    )
    return rule.words(), len(unseen), n_right
