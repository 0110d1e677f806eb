"""privacy: find personal data in files, and train a tagger that finds it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from deputize.cli.jsonl import RowWriter
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.locations import models_path

if TYPE_CHECKING:
    from deputize.privacy.detectors.base import Span
    from deputize.privacy.tagger.tagger_card import TaggerCard

BASE = "all-MiniLM-L6-v2"


@click.group()
def privacy() -> None:
    """Find personal data in logs; train a detector for it."""


@privacy.command("scan")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--with-text",
    is_flag=True,
    help="Print each text with its spans: a draft to correct by hand for `privacy train`. The output contains your data.",
)
@pass_terminal
def scan_file(terminal: Terminal, /, path: Path, with_text: bool) -> None:
    """Find the personal data in PATH, which is JSONL of {"id", "text"} or of calls, plain or .gz. The output is JSONL.

    The spans of a call name the `part` of it that they are in. Values are not printed unless --with-text is given.
    """
    from deputize.privacy.replace.replacement_policy import policy_of
    from deputize.privacy.standard_detectors import scan_texts, standard_detectors

    detectors = standard_detectors(
        policy_of("strict"), home=terminal.home.path, privacy=terminal.home.privacy()
    )
    for warning in detectors.warnings:
        terminal.note(warning)
    writer = RowWriter(terminal, path)
    found = _scanned(_texts(path, writer.skip), lambda texts: scan_texts(texts, detectors.all))
    for row in _rows_with_text(found) if with_text else _rows(found):
        writer.row(row)
    writer.end()


@privacy.command("train")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Time limit; training is shortened to meet it.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the tagger (default: a new one in the home)."
)
@pass_terminal
def train(
    terminal: Terminal, /, paths: tuple[Path, ...], minutes: float, seed: int, out: Path | None
) -> None:
    """Train a tagger of personal data on labelled samples, and measure it on held-out ones.

    PATHS: JSONL, plain or .gz, of {"id", "text", "spans": [{"type", "start", "end"}]}. Include texts without personal
    data ("spans": []), of every kind that your agents read: without them a tagger masks what it should not. From then
    on `convert`, `curate` and `privacy scan` use the newest tagger of the home together with the rules.
    """
    from deputize.privacy.tagger import load_samples, train_and_measure
    from deputize.privacy.tagger.versions import next_path, trained
    from deputize.specialists import model_download

    samples, skipped = load_samples(paths)
    for skip in skipped[:5]:
        terminal.note(f"skipped {skip.file}:{skip.line}: {skip.reason}")
    if len(skipped) > 5:
        terminal.note(f"... and {len(skipped) - 5} more lines skipped")
    if all(s.spans for s in samples):
        terminal.note(
            "Every sample holds personal data: add texts without any, or the tagger will mask much of other texts too."
        )
    with terminal.home.exclusive("tagger"), terminal.progress() as progress:
        base = model_download.fetch(BASE, models_path(), progress)
        path = out or next_path(terminal.home.path)
        train = partial(
            train_and_measure, samples, base_dir=base, seed=seed, minutes=minutes, progress=progress
        )
        card = trained(terminal.home, path, train)
    document = {"path": str(path), "card": card, "n_skipped": len(skipped)}
    terminal.result(document, lambda: _show(terminal, card, path))


def _show(terminal: Terminal, card: TaggerCard, path: Path) -> None:
    terminal.say(
        f"Trained on {card.n_train:,} samples ({card.n_negatives:,} without personal data) in {card.train_s:.0f} s, "
        f"{card.epochs:g} passes{', stopped early by the time limit' if card.stopped_early else ''}."
    )
    columns = ("char_recall_direct", "char_recall", "char_precision", "over_masking")
    terminal.table(
        ("on the held-out samples", "recall direct", "recall all", "precision", "clean texts with findings"),
        [
            (name, *(f"{figures[c]:.3f}" if c in figures else None for c in columns))
            for name, figures in (("tagger", card.test), ("tagger and rules", card.test_union))
        ],
        title=f"{card.n_test:,} held-out samples",
    )
    terminal.say(f"Data de-identified with it: {card.measured()}.")
    terminal.say(f"Saved in {path}")


class _ScannedText(NamedTuple):
    """A text of a file and its spans."""

    id: str
    part: str | None
    """The part of a call that the text is in; None where the file holds texts."""
    text: str
    spans: list[dict[str, Any]]


def _rows_with_text(found: Iterable[_ScannedText]) -> Iterator[dict[str, Any]]:
    """A row for each text, in the form that `privacy train` reads."""
    for one in found:
        id = one.id if one.part is None else f"{one.id} {one.part}"
        yield {"id": id, "text": one.text, "spans": one.spans}


def _rows(found: Iterable[_ScannedText]) -> Iterator[dict[str, Any]]:
    """A row for each text or call, without text; the texts of a call follow each other."""
    for (id, is_text), texts in groupby(found, lambda one: (one.id, one.part is None)):
        if is_text:
            yield from ({"id": id, "spans": one.spans} for one in texts)
        else:
            yield {"id": id, "spans": [{"part": one.part, **span} for one in texts for span in one.spans]}


def _scanned(
    texts: Iterator[tuple[str, str | None, str]], scan: Callable[[Iterator[str]], Iterator[list[Span]]]
) -> Iterator[_ScannedText]:
    """Each text with its id, part and spans. The scan reads ahead, so texts wait until it returns their spans."""
    waiting: deque[tuple[str, str | None, str]] = deque()

    def only_texts() -> Iterator[str]:
        for row in texts:
            waiting.append(row)
            yield row[2]

    for spans in scan(only_texts()):
        fields = ("type", "start", "end", "score", "detector")
        yield _ScannedText(*waiting.popleft(), [{name: getattr(s, name) for name in fields} for s in spans])


def _texts(path: Path, skip: Callable[[Skip], None]) -> Iterator[tuple[str, str | None, str]]:
    """(id, part of a call or None, text) for each text in the file; its first object tells texts from calls."""
    from deputize.stages.collect.containers.log_objects import read_path

    first = next((found.value for found in read_path(path) if isinstance(found.value, dict)), None)
    if first is not None and ("messages" in first or "text" not in first):
        yield from _call_texts(path, skip)
        return
    for found in read_path(path):
        row = found.value
        if isinstance(row, Skip):
            skip(row)
        elif isinstance(row.get("text"), str):
            yield str(row.get("id", found.line)), None, row["text"]
        else:
            skip(Skip(file=found.file, line=found.line, reason="no text"))


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
