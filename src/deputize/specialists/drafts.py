"""Tokens that are likely to follow in a value, guessed without a model: out of the prompt and of values written before.

Values of one task have words in common at the same places, and between them what is copied out of the prompt. So a
token that nearly all earlier values had after the last few is guessed first, and else what follows there in the prompt.
A guess costs little and changes nothing: the model decides each token.

References:
    Saxena, "Prompt lookup decoding", 2023; Fu et al., "Break the sequential dependency of LLM inference using lookahead
    decoding", arXiv 2402.02057 (n-grams as the draft model).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

LONGEST = 3
"""Tokens before a place that are looked at."""
AGREED = 0.8
"""Share of the earlier values with the same last tokens that must go on alike; two at least."""


def draft(
    written: Sequence[int], prompt: Sequence[int], recent: Sequence[Sequence[int]], most: int
) -> list[int]:
    """At most so many tokens that may follow.

    Args:
        written: of the value so far, at least one.
        prompt: of its request.
        recent: values written before.
        most: tokens.
    """
    out, last = list[int](), list(written[-LONGEST:])
    while len(out) < most:
        token = _next(last, prompt, recent)
        if token is None:
            break
        out.append(token)
        last = [*last, token][-LONGEST:]
    return out


def _next(last: Sequence[int], prompt: Sequence[int], recent: Sequence[Sequence[int]]) -> int | None:
    by_length: dict[int, Counter[int]] = {}
    for value in recent:
        for n, token in _following(last, value):
            by_length.setdefault(n, Counter())[token] += 1
    often, agreed = None, False
    if by_length:
        longest = by_length[max(by_length)]
        often, n = longest.most_common(1)[0]
        agreed = 1 < longest.total() <= n / AGREED
    if agreed:
        return often
    # of equally long ones the last
    _, copied = max(
        _following(last, prompt),
        key=lambda one: one[0],
        default=(0, None),
    )
    return copied if copied is not None else often


def _following(last: Sequence[int], tokens: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(how many of the last tokens stand before it, the token that follows) of each place where the last one stands,
    backwards."""
    end = last[-1]
    places = [at for at in range(len(tokens) - 1) if tokens[at] == end]
    for at in reversed(places):
        n = 1
        while n < len(last) and n <= at and tokens[at - n] == last[-1 - n]:
            n += 1
        yield n, tokens[at + 1]
