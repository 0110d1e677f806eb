"""Lines of an episode: by place, once each, however many are added."""

from __future__ import annotations

from deputize.privacy.scan.episode_lines import EpisodeLines


def test_lines_are_known_by_place() -> None:
    lines = EpisodeLines("s", "g")
    lines.add(EpisodeLines.SYSTEM, [1, 2])
    lines.add(EpisodeLines.REPLY, [2, 3])
    assert lines.lines(EpisodeLines.SYSTEM) == {1, 2} and lines.lines(EpisodeLines.PROMPT) == set()
    assert lines.lines(EpisodeLines.SYSTEM, EpisodeLines.REPLY) == lines.all_lines() == {1, 2, 3}


def test_lines_that_recur_take_no_more_room() -> None:
    lines = EpisodeLines("s", "g")
    for _ in range(100):
        lines.add(EpisodeLines.PROMPT, range(50))
    assert lines.all_lines() == set(range(50)) and len(lines._lines) < 300


def test_origins_are_kept_once_and_only_where_known() -> None:
    lines = EpisodeLines("s", "g")
    for origin in ("a", "", "b", "a"):
        lines.add_origin(origin)
    assert lines.origins == ("a", "b")
