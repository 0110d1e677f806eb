"""A scanned log: lines by episode and site, and texts of lines found again."""

from __future__ import annotations

from collections.abc import Iterator

from deputize.core.records import Call
from deputize.privacy.scan.ensemble import DetectorEnsemble
from deputize.privacy.scan.episode_lines import EpisodeLines
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.scanned_log import ScannedLog, episode_of, texts_of_lines


def call(id: str, text: str, **fields: str) -> Call:
    return Call(
        id=id,
        messages=[{"role": "system", "content": "be kind"}, {"role": "user", "content": text}],
        response={"role": "assistant", "content": "yes"},
        **fields,  # type: ignore[arg-type]
    )


CALLS = [
    call("a", "one", episode="e", origin="ann"),
    call("b", "two", episode="e", origin="bob"),
    call("c", "three"),
]


def scanned() -> ScannedLog:
    log = ScannedLog(LineIndex(DetectorEnsemble([])), {"a": "s", "b": "t", "c": "s"})
    for one in CALLS:
        log.add(one)
    return log


def test_lines_are_kept_by_episode_and_site() -> None:
    log = scanned()
    assert [episode_of(c) for c in CALLS] == ["e", "e", "c"]
    assert dict(log.n_calls_of) == {"e": 2, "c": 1} and log.origins() == {"ann", "bob"}
    assert [lines.site for lines in log.episodes["e"]] == ["s", "t"]
    (system,) = log.line_index.lines("be kind")
    assert all(lines.lines(EpisodeLines.SYSTEM) == {system} for lines in log.episodes_at("s"))
    assert sum(1 for _ in log.episodes_at("s")) == 2 and log.sites["t"].n_calls == 1


def test_texts_are_read_until_all_lines_are_found() -> None:
    log, read = scanned(), list[str]()

    def reading() -> Iterator[Call]:
        for one in CALLS:
            read.append(one.id)
            yield one

    (number,) = log.line_index.lines("two")
    assert texts_of_lines(reading(), [number], log.line_index) == {number: "two"} and read == ["a", "b"]
    assert texts_of_lines(reading(), [], log.line_index) == {} and read == ["a", "b"]
