"""Prompts without answers, grouped by the part that says what to do."""

from __future__ import annotations

import random

import pytest

from deputize.stages.cluster.instruction_parts import group_by_instruction, pieces_of

pytest.importorskip("graspologic_native")

ASKS = {
    "genre": ("tell me the genre of the novel", "which genre does the novel belong to"),
    "record": (
        "return shelf mark and author as a JSON object",
        "give me JSON with the author and the shelf mark",
    ),
    "advert": ("compose a poster for the reading on Friday", "write up a poster for the reading"),
}
NOUNS = [
    "mayor",
    "oar",
    "lamp",
    "ferry",
    "widow",
    "barrel",
    "clerk",
    "tower",
    "pilot",
    "bridge",
    "honey",
    "goose",
    "tailor",
    "anchor",
    "meadow",
    "ledger",
]
VERBS = ["found", "sold", "buried", "painted", "counted", "refused", "lifted", "mended", "hid", "carried"]


def prompts(n: int, jobs: tuple[str, ...], seed: int = 0) -> tuple[list[str], list[str]]:
    r = random.Random(seed)
    texts: list[str] = []
    truth: list[str] = []
    for _ in range(n):
        job = r.choice(jobs)
        text = " ".join(
            f"The {r.choice(NOUNS)} {r.choice(VERBS)} {r.randint(2, 90)} of the {r.choice(NOUNS)}s by the {r.choice(NOUNS)}."
            for _ in range(r.randint(1, 8))
        )
        hello = r.choice(("", "", "Sorry to bother you again. "))
        ask = r.choice(ASKS[job])
        texts.append(r.choice((f"{hello}{ask}: {text}", f"{text} {ask}", f"{text}\n{hello}{ask}")))
        truth.append(job)
    return texts, truth


def purity(found: list[int], truth: list[str]) -> float:
    groups: dict[int, list[str]] = {}
    for group, job in zip(found, truth, strict=True):
        groups.setdefault(group, []).append(job)
    return sum(max(map(jobs.count, jobs)) for jobs in groups.values()) / len(truth)


def test_prompts_of_one_job_are_together_whatever_their_text_and_its_place() -> None:
    texts, truth = prompts(400, tuple(ASKS))
    found = group_by_instruction(texts, models_dir=None, seed=0)
    assert purity(found, truth) > 0.95
    assert len({group for group in found if group >= 0}) <= sum(map(len, ASKS.values()))


def test_a_seed_gives_one_result() -> None:
    texts, _ = prompts(120, ("genre", "record"))
    assert group_by_instruction(texts, models_dir=None, seed=3) == group_by_instruction(
        texts, models_dir=None, seed=3
    )


def test_prompts_in_which_nothing_comes_again_have_no_instruction() -> None:
    texts = [f"{i * 7919:x} {chr(97 + i)}{chr(105 + i)}{chr(98 + i)} {'qwx'[i % 3] * 9}{i}" for i in range(8)]
    assert group_by_instruction(texts, models_dir=None, seed=0) == [-1] * 8
    assert group_by_instruction(["?!", "..."], models_dir=None, seed=0) == [-1, -1]


def test_values_of_labelled_lines_are_told_from_instructions() -> None:
    text = "Customer: Anna Bergmann\nSay whether the review is positive."
    assert pieces_of(text) == [
        ("customer", False),
        ("anna bergmann", True),
        ("say whether the review is positive", False),
    ]


def test_numbers_in_pieces_are_one_word_and_short_pieces_are_left_out() -> None:
    assert pieces_of("Next: sum up report 17 (of 2024), please") == [("sum up report 0", False)]
