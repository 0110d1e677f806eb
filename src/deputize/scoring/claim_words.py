"""The words of a certificate: what a reader may quote of a test, and why nothing was certified."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.judging import JudgeEvidence
from deputize.core.label_evidence import LabelEvidence
from deputize.core.percentages import percent
from deputize.scoring.certificates import SequenceTest, units_needed


def claim(
    verdict: SequenceTest,
    index: int,
    *,
    delta: float | None = None,
    mixed: bool = False,
    n_repeated: int = 0,
    n_not_evaluated: int = 0,
    uncompared: Sequence[str] = (),
    measures: Sequence[str] = (),
    linked_by: str = "",
    n_people: int = 0,
    n_together: int = 0,
    labels: LabelEvidence | None = None,
    judge: JudgeEvidence | None = None,
    n_unseen: int | None = None,
) -> str:
    """The words a reader may quote for the certified threshold at `index`.

    Args:
        verdict: the test.
        index: of the threshold.
        delta: the probability that it is false, other tests on the same groups included; None: the level of the test.
        mixed: the site also speaks to people.
        n_repeated: units with a second answer of the LLM.
        n_not_evaluated: units not evaluated within the time budget.
        uncompared: fields of the reply that no comparison looked at; the claim says that it is not about them.
        measures: sentences about texts that need only be close.
        linked_by: what the independence of the units rests on; "none": nothing in the log links or dates its calls.
        n_people: people who asked, where they are too few to say anything of others; else 0.
        n_together: tasks whose claims are to hold at once; 0 or 1: each holds by itself.
        labels: what is known of the right answers, where the claim is about them.
        judge: who judged the answers, where they were not compared.
        n_unseen: units with tools or schemas that were not in training, 0 where the claim is about no such requests;
            None where all requests list the same.
    """
    sure = percent(1 - (verdict.delta if delta is None else delta))
    served, errors = int(verdict.n_served_L[index]), int(verdict.n_errors_L[index])
    body = _body(verdict, index, mixed)
    among = f"{verdict.n_units} independent calibration calls"
    if verdict.n_episodes:
        among = f"the {verdict.n_units} calls of {verdict.n_episodes} independent episodes of at most {verdict.largest_episode} calls"
    basis = f"{errors} of the {served} served among {among} {'were worse, or not judged' if judge else 'differed'}"
    if verdict.kind == "not_worse_than_repeats":
        basis += f"; {n_repeated} of them had a second answer of the LLM"
    if labels is not None:
        basis += f" from the LLM; {_about_labels(labels)}"
    if n_not_evaluated:
        basis += f", {n_not_evaluated} not evaluated within the time budget counted among them"
    together = f" for all {n_together} tasks tested at once" if n_together > 1 else ""
    return f"With {sure} confidence{together}, {body} ({basis}; p = {verdict.p_values_L[index]:.2g}).{' ' + judge.in_words() if judge else ''}{_about_texts(measures, uncompared)}{_about_units(linked_by, n_people)}{_about_lists(n_unseen)}"


def _body(verdict: SequenceTest, index: int, mixed: bool) -> str:
    """The claim about the threshold at `index`."""
    threshold, limit = f"confidence {verdict.thresholds_L[index]:.3g} or more", percent(verdict.epsilon)
    over = "all calls of this site, those meant for people included" if mixed else "all calls of this task"
    if verdict.kind == "not_worse_than_repeats":
        body = (
            f"answering at {threshold} with the specialist agrees with the LLM as often as the LLM agrees with "
            f"itself, within {limit} of {over}"
        )
    elif verdict.kind == "not_worse_on_labels":
        body = (
            f"answering at {threshold} with the specialist is wrong, by the right answers in the log, more often than the LLM "
            f"by at most {limit} of {over}"
        )
    elif verdict.kind == "not_worse_by_judge":
        body = f"answering at {threshold} with the specialist is, as a judge finds, worse than the LLM's answer in at most {limit} of {over}"
    else:
        body = f"answering at {threshold} with the specialist differs from the LLM's answer in at most {limit} of {over}"
    if verdict.served_limit is not None:
        beyond = "" if verdict.kind in ("not_worse_than_llm", "not_worse_by_judge") else " beyond that"
        beyond = " more often than the LLM" if verdict.kind == "not_worse_on_labels" else beyond
        body += f", and in at most {percent(verdict.served_limit)} of those it answers{beyond}"
    return body


def _about_labels(labels: LabelEvidence) -> str:
    """The right answers, as far as they are known, in words."""
    others = (
        "labelled calls were declared to be drawn at random"
        if labels.at_random
        else "a difference without a label counts against the specialist"
    )
    if labels.not_random:
        others = f"{labels.not_random}, so {others}"
    return (
        f"of {labels.n_labelled} the right answer is known: of the {labels.n_served} served ones among them the specialist alone "
        f"was right on {labels.n_specialist_better}, the LLM alone on {labels.n_llm_better}; {others}"
    )


def _about_texts(measures: Sequence[str], uncompared: Sequence[str]) -> str:
    """The sentences of a claim about how texts were compared, and which were not."""
    out = "".join(f" {sentence}" for sentence in measures)
    if not uncompared:
        return out
    fields, were = ("field", "was") if len(uncompared) == 1 else ("fields", "were")
    return f"{out} Nothing is claimed of the {fields} {', '.join(uncompared)}, which {were} not compared."


def _about_units(linked_by: str, n_people: int) -> str:
    """The sentences of a claim about what its units are; "" where there is nothing to add."""
    out = ""
    if linked_by == "none":
        out += " Calls counted as independent: nothing in the log links or dates them."
    if n_people:
        people = "one person" if n_people == 1 else f"{n_people:,} people"
        out += f" The calls are of {people}; a new person may differ."
    return out


def _about_lists(n_unseen: int | None) -> str:
    """The sentence of a claim about tools and schemas that requests list themselves; "" where all list the same."""
    if n_unseen is None:
        return ""
    if not n_unseen:
        return " It is about requests all of whose tools, or whose reply schema, were in training as they stand; others go to the LLM."
    return f" It is about tools and schemas too that were not in training: {n_unseen} of these calls had one, and the same holds of them alone."


def refusal(verdict: SequenceTest) -> str:
    """Why no threshold was certified, with the numbers. Call it only when n_passed is 0."""
    needed, n_groups = units_needed(verdict.epsilon, verdict.delta), verdict.n_independent
    groups = f"{n_groups} independent calibration group{'' if n_groups == 1 else 's'}"
    if n_groups < needed:
        return f"{groups}; {needed} without an error are needed to claim {verdict.epsilon:g} at level {verdict.delta:.2g}"
    if verdict.thresholds_L.size == 0:
        return f"{groups}, but the specialist was not confident of a servable answer anywhere"
    errors, served = int(verdict.n_errors_L[0]), int(verdict.n_served_L[0])
    return (
        f"{groups}: even at the strictest threshold {errors} of {served} served calls differed from the LLM "
        f"(p = {verdict.p_values_L[0]:.2g} > {verdict.delta:.2g}), so a loss of at most {verdict.epsilon:g} cannot be claimed"
    )
