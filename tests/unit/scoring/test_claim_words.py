"""Words of certificates carry their numbers, and say what is not claimed."""

from __future__ import annotations

import numpy as np

from deputize.core.label_evidence import LabelEvidence
from deputize.scoring import certificates as c
from deputize.scoring.claim_words import claim, refusal


def test_the_claim_names_the_limit_among_the_served() -> None:
    v = c.certify(
        "not_worse_than_llm", np.full(300, 0.9), np.zeros(300, bool), [0.8], 0.05, 0.05, served_limit=0.15
    )
    assert "at most 5 % of all calls of this task, and in at most 15 % of those it answers" in claim(v, 0)


def test_words_of_claims_and_refusals() -> None:
    good = c.certify("not_worse_than_llm", np.full(300, 0.9), np.zeros(300, bool), [0.8], 0.02, 0.05)
    sentence = "Two replies are the same here from an F1 of words of 0.8 on."
    assert claim(good, 0, measures=[sentence]).endswith(f"). {sentence}")
    assert "95 % confidence" in claim(good, 0) and "at most 2 %" in claim(good, 0)
    assert "meant for people" in claim(good, 0, mixed=True)
    repeated = c.certify(
        "not_worse_than_repeats",
        np.full(300, 0.9),
        np.zeros(300, bool),
        [0.8],
        0.02,
        0.05,
        losses=c.losses_beyond(np.zeros(300), np.zeros(300)),
    )
    assert "agrees with itself" in claim(repeated, 0, n_repeated=120) and "120" in claim(
        repeated, 0, n_repeated=120
    )
    assert "Nothing is claimed" not in claim(good, 0)
    assert claim(good, 0, uncompared=["why"]).endswith(
        "Nothing is claimed of the field why, which was not compared."
    )
    assert "of the fields why, note, which were not compared." in claim(good, 0, uncompared=["why", "note"])
    few = c.certify("not_worse_than_llm", np.full(15, 0.9), np.zeros(15, bool), [0.8], 0.02, 0.05)
    assert refusal(few).startswith(
        "15 independent calibration groups; 149 without an error are needed to claim 0.02"
    )
    bad = c.certify("not_worse_than_llm", np.full(200, 0.9), np.ones(200, bool), [0.8], 0.02, 0.05)
    assert "200 of 200" in refusal(bad)
    assert "not confident" in refusal(
        c.certify("not_worse_than_llm", np.full(200, c.NEVER), np.ones(200, bool), [], 0.02, 0.05)
    )


def test_a_claim_says_what_its_units_are() -> None:
    verdict = c.certify("not_worse_than_llm", np.full(100, 0.9), np.zeros(100), [0.5], 0.05, 0.05)
    plain = claim(verdict, 0, linked_by="history")
    assert claim(verdict, 0) == plain
    assert claim(verdict, 0, linked_by="none", n_people=5) == plain + (
        " Calls counted as independent: nothing in the log links or dates them."
        " The calls are of 5 people; a new person may differ."
    )
    assert claim(verdict, 0, n_people=1).endswith("The calls are of one person; a new person may differ.")


def test_a_claim_about_right_answers_says_what_is_known_of_them() -> None:
    right = np.zeros(300, bool)
    verdict = c.certify(
        "not_worse_on_labels",
        np.full(300, 0.9),
        right,
        [0.8],
        0.05,
        0.05,
        losses=lambda mask: np.zeros(int(mask.sum())),
        served_limit=0.15,
    )
    known = LabelEvidence(n_labelled=90, n_served=80, n_specialist_better=4, n_llm_better=7)
    words = claim(verdict, 0, labels=known)
    assert (
        "is wrong, by the right answers in the log, more often than the LLM by at most 5 % of all calls"
        in words
    )
    assert "in at most 15 % of those it answers more often than the LLM" in words
    assert (
        "of 90 the right answer is known: of the 80 served ones among them the specialist alone was right on 4"
        in words
    )
    assert "the LLM alone on 7; a difference without a label counts against the specialist" in words
    drawn = LabelEvidence(n_labelled=90, n_served=80, at_random=True)
    assert "labelled calls were declared to be drawn at random" in claim(verdict, 0, labels=drawn)


def test_a_claim_about_lists_says_which_of_both_it_is_about() -> None:
    verdict = c.certify("not_worse_than_llm", np.full(100, 0.9), np.zeros(100), [0.5], 0.05, 0.05)
    plain = claim(verdict, 0)
    seen, both = claim(verdict, 0, n_unseen=0), claim(verdict, 0, n_unseen=70)
    assert seen.startswith(plain) and "were in training as they stand; others go to the LLM." in seen
    assert both.startswith(plain) and "70 of these calls had one, and the same holds of them alone." in both
