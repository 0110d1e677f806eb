"""Limits of what varies in the prompts of each template key, from the calls that tasks are found on.

A limit is the most that a call had, but for one call in 200: so of normal traffic about one call in 200 at most is
taken for a changed template. Fewer prompts than that do not show all that may come, so what varies among them may vary
more: by a quarter of its range at 100 prompts, by the whole range at 25.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from deputize.core.function_words import NEUTRAL_WORDS
from deputize.core.instruction_signs import signs_in
from deputize.core.prompt_limits import RecognisedSegments, words_of
from deputize.core.records import KeySpace, PromptLimits, TextLimits
from deputize.core.template_key import TemplateMatcher
from deputize.stages.cluster.recurring_lines import PromptCall

EXCEEDED_BY = 200
"""One call in so many may be beyond a limit."""
MARGIN_AT = 25
"""Number of prompts at which what varies may vary by its whole range more; at fewer by more, at more by less."""
LEAST_MARGIN = 0.25
FEWEST = 8
"""Fewer prompts do not show the least that may come either."""
MAX_NEW_WORDS = 4
"""Where calls have more words of their own in one unit, it is free text, and no limit tells an instruction from it."""
MAX_VOCABULARY = 4_000


class _Prompt(NamedTuple):
    """One distinct opening."""

    system: RecognisedSegments
    user: RecognisedSegments
    subject: str


def fit_prompt_limits(
    space: KeySpace, calls_of_key: Iterable[tuple[str, Sequence[PromptCall]]], min_origins: int
) -> dict[str, PromptLimits]:
    """Template key -> its limits.

    Args:
        space: the key space without limits.
        calls_of_key: each template key (without branch) with its calls.
        min_origins: a word that fewer data subjects have is in no vocabulary.
    """
    matcher = TemplateMatcher(space)
    return {key: _limits(_distinct(matcher, calls), max(2, min_origins)) for key, calls in calls_of_key}


def _distinct(matcher: TemplateMatcher, calls: Sequence[PromptCall]) -> list[_Prompt]:
    seen: dict[tuple[str, str, str], _Prompt] = {}
    for call in calls:
        name = (*call.opening, call.example.subject)
        if name not in seen:
            system, user = matcher.recognise_opening(call.example.request)
            seen[name] = _Prompt(system, user, call.example.subject)
    return list(seen.values())


def _limits(prompts: Sequence[_Prompt], least: int) -> PromptLimits:
    subjects_of: dict[str, set[str]] = defaultdict(set)
    for prompt in prompts:
        for text in (prompt.system, prompt.user):
            for varying in text.varying:
                for word in words_of(varying.text) - NEUTRAL_WORDS:
                    subjects_of[word].add(prompt.subject)
    n_subjects = {word: len(who) for word, who in subjects_of.items() if len(who) >= least}
    subjects = [p.subject for p in prompts]
    system = _text_limits([p.system for p in prompts], subjects, n_subjects, least)
    user = _text_limits([p.user for p in prompts], subjects, n_subjects, least)
    if len(n_subjects) > MAX_VOCABULARY or not any(
        n is not None for n in (*system.n_new_words, *user.n_new_words)
    ):
        return PromptLimits(system=_without_words(system), user=_without_words(user))
    return PromptLimits(system=system, user=user, vocabulary=sorted(n_subjects))


def _without_words(limits: TextLimits) -> TextLimits:
    return msgspec.structs.replace(limits, n_new_words=[])


def _text_limits(
    texts: Sequence[RecognisedSegments], subjects: Sequence[str], n_subjects: dict[str, int], least: int
) -> TextLimits:
    n_places = len(texts[0].n_unknown)
    new_words: list[list[int]] = [[] for _ in range(n_places)]
    for text in texts:
        most = [0] * n_places
        for varying in text.varying:
            # as it would be counted, had this subject's calls not been seen
            n_new = sum(n_subjects.get(word, 0) <= least for word in words_of(varying.text) - NEUTRAL_WORDS)
            most[varying.place] = max(most[varying.place], n_new)
        for place, n in enumerate(most):
            new_words[place].append(n)
    limits = [_limit(counts) for counts in new_words]
    signs = [Counter(signs_in([v.text for v in text.varying])) for text in texts]
    instructions = _sign_limits(signs, subjects, least)
    return TextLimits(
        n_unknown=[_limit(counts) for counts in zip(*(t.n_unknown for t in texts), strict=True)],
        n_repeats=[_limit(counts, 1) for counts in zip(*(t.n_repeats for t in texts), strict=True)],
        n_new_words=[n if n <= MAX_NEW_WORDS else None for n in limits],
        instructions=instructions,
        n_instructions=_limit([one.total() for one in signs]) if instructions is None else None,
    )


def _sign_limits(signs: Sequence[Counter[str]], subjects: Sequence[str], least: int) -> dict[str, int] | None:
    """The most of each sign that prompts of enough subjects had; None where too many prompts have one more.

    So many would have been refused, had their subjects not been seen; as many of those to come will be.
    """
    by_subject: dict[str, Counter[str]] = defaultdict(Counter)
    for one, subject in zip(signs, subjects, strict=True):
        by_subject[subject] |= one
    holders: Counter[tuple[str, int]] = Counter(
        (sign, k) for most in by_subject.values() for sign, n in most.items() for k in range(1, n + 1)
    )
    n_beyond = sum(any(holders[sign, n] < least for sign, n in one.items()) for one in signs)
    if n_beyond * EXCEEDED_BY > len(signs):
        return None
    limits: Counter[str] = Counter()
    for (sign, n), n_subjects in holders.items():
        if n_subjects >= least:
            limits[sign] = max(limits[sign], n)
    return dict(sorted(limits.items()))


def _limit(counts: Sequence[int], least: int = 0) -> int:
    """The least number that no more than one call in EXCEEDED_BY is beyond; more where few prompts say how it varies.

    Args:
        counts: one for each prompt.
        least: the least that could be there.
    """
    n_beyond = 0
    limit = 0
    for n, times in sorted(Counter(counts).items(), reverse=True):
        n_beyond += times
        if n_beyond * EXCEEDED_BY > len(counts):
            limit = n
            break
    varies = limit - (min(counts) if len(counts) >= FEWEST else least)
    if not varies or len(counts) >= EXCEEDED_BY:
        return limit
    return limit + max(1, round(varies * max(LEAST_MARGIN, MARGIN_AT / len(counts))))
