"""The vocabulary of a site: its template lines, and whole words of them."""

from __future__ import annotations

from deputize.privacy.replace.allowlist import MIN_GROUPS, SiteVocabulary, site_vocabulary, template_lines
from deputize.privacy.scan.episode_lines import EpisodeLines
from deputize.privacy.scan.site_statistics import SiteStatistics


def episodes(n: int, origins: int = 0) -> list[EpisodeLines]:
    """Line 0 is in every system prompt, line 1 in every user message, line 2 + i in one of them."""
    out = []
    for i in range(n):
        lines = EpisodeLines("s", f"g{i}")
        lines.add(EpisodeLines.SYSTEM, [0])
        lines.add(EpisodeLines.PROMPT, [1, 2 + i])
        lines.add(EpisodeLines.REPLY, [1])
        lines.add_origin(f"o{i % origins}" if origins else "")
        out.append(lines)
    return out


def test_lines_of_many_groups_are_template() -> None:
    n = 5 * MIN_GROUPS
    assert template_lines(episodes(n), n, n + 2) == {0, 1}
    assert template_lines(episodes(3), 3, 5) == {0}, (
        "of few groups only the lines of system prompts that all have"
    )
    assert template_lines(episodes(1), 1, 3) == frozenset()


def test_where_origins_are_known_several_must_have_a_line() -> None:
    n = 5 * MIN_GROUPS
    some = episodes(n, origins=4)
    some[0].add(EpisodeLines.SYSTEM, [n + 2])
    for lines in some:
        if lines.origins == ("o1",):
            lines.add(EpisodeLines.SYSTEM, [n + 3])
    assert template_lines(some, n, n + 4) == {0, 1}


def test_a_vocabulary_contains_whole_words_and_lines() -> None:
    vocabulary = site_vocabulary(SiteStatistics(), frozenset({0}), {0: "Call Example Air on 2024-05-15"})
    assert vocabulary.contains("example air") and not vocabulary.contains("ample")
    assert vocabulary.is_template_line("call example air ON 2024-05-15") and not vocabulary.is_template_line(
        "Call"
    )
    assert vocabulary.has_date and not SiteVocabulary().contains("x")
