"""privacy: looking for personal data in files, and training the tagger that helps to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deputize.cli.jsonl import RowWriter
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.locations import models_path

if TYPE_CHECKING:
    from deputize.privacy.tagger.card import TaggerCard

BASE = "all-MiniLM-L6-v2"


@click.group()
def privacy() -> None:
    """Personal data in logs."""


@privacy.command("scan")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--with-text",
    is_flag=True,
    help="Print each text beside its spans: a draft to correct by hand and give to `privacy train`. It quotes your data.",
)
@pass_terminal
def scan_file(terminal: Terminal, /, path: Path, with_text: bool) -> None:
    """Name the personal data in PATH: JSONL of {"id", "text"} or of calls, plain or .gz; JSONL comes out.

    A call's spans say in which `part` of it they are. The values themselves are not printed unless --with-text is given.
    """
    from deputize.privacy.replace.replacement_policy import policy_of
    from deputize.privacy.standard_detectors import scan_texts, standard_detectors

    detectors = standard_detectors(
        policy_of("strict"), home=terminal.home.path, privacy=terminal.home.privacy()
    )
    for warning in detectors.warnings:
        terminal.note(warning)
    written = RowWriter(terminal, path)
    waiting: list[tuple[str, str | None, str]] = []
    current: dict[str, Any] | None = None
    for id, part, text, spans in _scanned(
        _texts(path, written.skip), waiting, lambda t: scan_texts(t, detectors.all)
    ):
        row = [
            {"type": s.type, "start": s.start, "end": s.end, "score": s.score, "detector": s.detector}
            for s in spans
        ]
        if with_text:
            written.row({"id": id if part is None else f"{id} {part}", "text": text, "spans": row})
            continue
        if part is None:
            written.row({"id": id, "spans": row})
            continue
        if current is None or current["id"] != id:
            if current is not None:
                written.row(current)
            current = {"id": id, "spans": []}
        current["spans"].extend({"part": part, **span} for span in row)
    if current is not None:
        written.row(current)
    written.end()


@privacy.command("train")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Time there is; training is cut to fit.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the tagger (default: a new one in the home)."
)
@pass_terminal
def train(
    terminal: Terminal, /, paths: tuple[Path, ...], minutes: float, seed: int, out: Path | None
) -> None:
    """Train a tagger of personal data on labelled samples and measure it on some of them that it has not seen.

    PATHS: JSONL, plain or .gz, of {"id", "text", "spans": [{"type", "start", "end"}]}. Give texts without personal data
    too ("spans": []), of every kind that your agents read: without them a tagger masks what it should not. The newest
    tagger of a home looks for personal data in `convert`, `curate` and `privacy scan` from then on, beside the rules.
    """
    from deputize.privacy.tagger import gather, learn
    from deputize.privacy.tagger.versions import next_path
    from deputize.specialists import model_download

    samples, skipped = gather(paths)
    for skip in skipped[:5]:
        terminal.note(f"left out {skip.file}:{skip.line}: {skip.reason}")
    if len(skipped) > 5:
        terminal.note(f"... and {len(skipped) - 5} more lines left out")
    if all(s.spans for s in samples):
        terminal.note(
            "Every sample holds personal data: add texts without any, or the tagger will mask much of other texts too."
        )
    with terminal.home.alone("tagger"), terminal.progress() as progress:
        base = model_download.fetch(BASE, models_path(), progress)
        path = out or next_path(terminal.home.path)
        card = learn(samples, path, base_dir=base, seed=seed, minutes=minutes, progress=progress)
    document = {"path": str(path), "card": card, "n_left_out": len(skipped)}
    terminal.result(document, lambda: _show(terminal, card, path))


def _show(terminal: Terminal, card: TaggerCard, path: Path) -> None:
    terminal.say(
        f"Learnt from {card.n_train:,} samples ({card.n_negatives:,} without personal data) in {card.train_s:.0f} s, "
        f"{card.epochs:g} passes{', cut by the time there was' if card.cut else ''}."
    )
    columns = ("char_recall_direct", "char_recall", "char_precision", "over_masking")
    terminal.table(
        ("on the held-out samples", "recall direct", "recall all", "precision", "texts touched for nothing"),
        [
            (name, *(f"{figures[c]:.3f}" if c in figures else None for c in columns))
            for name, figures in (("tagger", card.test), ("tagger and rules", card.test_union))
        ],
        title=f"{card.n_test:,} samples of wordings it has not seen",
    )
    terminal.say(f"Data de-identified with it: {card.measured()}.")
    terminal.say(f"It is in {path}")


def _scanned(
    texts: Iterator[tuple[str, str | None, str]],
    waiting: list[tuple[str, str | None, str]],
    scan: Callable[[Iterator[str]], Iterator[Any]],
) -> Iterator[tuple[str, str | None, str, Any]]:
    """Each text with where it came from and its spans; the scan reads ahead, so texts wait in `waiting`."""

    def only_texts() -> Iterator[str]:
        for id, part, text in texts:
            waiting.append((id, part, text))
            yield text

    for at, spans in enumerate(scan(only_texts())):
        yield *waiting[at], spans
        waiting[at] = ("", None, "")


def _texts(path: Path, skip: Callable[[Skip], None]) -> Iterator[tuple[str, str | None, str]]:
    """(id, part of a call or None, text) of every text in the file; its first object says what it holds."""
    from deputize.stages.collect.log_lines import read_objects

    first = next((row for _, row in read_objects(path) if isinstance(row, dict)), None)
    if first is not None and ("messages" in first or "text" not in first):
        yield from _call_texts(path, skip)
        return
    for number, row in read_objects(path):
        if isinstance(row, Skip):
            skip(row)
        elif isinstance(row.get("text"), str):
            yield str(row.get("id", number)), None, row["text"]
        else:
            skip(Skip(file=path.name, line=number, reason="no text"))


def _call_texts(path: Path, skip: Callable[[Skip], None]) -> Iterator[tuple[str, str | None, str]]:
    from deputize.privacy.call_texts import message_strings
    from deputize.stages.collect.import_logs import read_calls

    for item in read_calls(path):
        if isinstance(item, Skip):
            skip(item)
            continue
        call: Call = item
        empty = True
        for number, message in enumerate([*call.messages, call.response]):
            part = f"messages[{number}]" if number < len(call.messages) else "response"
            for text in message_strings(message):
                empty = False
                yield call.id, part, text
        if empty:
            yield call.id, "response", ""
