"""The folders of a home's taggers, HOME/taggers/0001, 0002, ...; the newest one is used unless another is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import decode
from deputize.files import reason
from deputize.privacy.tagger.tagger_card import CARD, TaggerCard

if TYPE_CHECKING:
    from deputize.home import Home

NONE = "none"
DEFAULT = "default"
"""The tagger that ships with the package."""


def _numbers(home: Path) -> list[int]:
    folder = home / "taggers"
    return sorted(int(p.parent.name) for p in folder.glob(f"*/{CARD}") if p.parent.name.isdecimal())


def next_path(home: Path) -> Path:
    """The folder for the next tagger of a home."""
    return home / "taggers" / f"{max(_numbers(home), default=0) + 1:04d}"


def chosen_path(home: Path, wanted: str = "") -> Path | None:
    """The folder of the tagger of its own that a home uses; None where it uses none, or the one of the package.

    Args:
        home: the home.
        wanted: a number in the home, a folder, "" for the newest one, "default" for the one of the package, "none".

    Raises:
        BadInput: there is none of that name.
    """
    numbers = _numbers(home)
    if wanted in (NONE, DEFAULT) or not (wanted or numbers):
        return None
    path = home / "taggers" / f"{numbers[-1]:04d}" if not wanted else home / "taggers" / wanted
    for place in (path, Path(wanted).expanduser()):
        if (place / CARD).is_file():
            return place
    here = ", ".join(f"{n:04d}" for n in numbers) or "none yet (deputize privacy train makes one)"
    raise BadInput(f"No tagger is called {wanted!r}; taggers of this home: {here}.")


def chosen_name(home: Path, wanted: str = "") -> str:
    """The tagger that a home uses, for the record: its number in the home, its folder, "default", or "none".

    Raises as chosen_path does.
    """
    path = chosen_path(home, wanted)
    if path is None:
        return NONE if wanted == NONE else DEFAULT
    return path.name if path.parent == home / "taggers" else str(path)


def check_tagger(home: Home) -> None:
    """Looks at the tagger of its own that a home uses: one in HOME/taggers must be as a command wrote it.

    Raises:
        BadInput: as chosen_path.
        Tampered: the home is shared, and the tagger is another one.
    """
    path = chosen_path(home.path, home.privacy().tagger)
    if path is None or path.parent != home.path / "taggers":
        return
    remedy = (
        "Train it again (deputize privacy train), or put it into a folder outside of the home and name that in config.toml: [privacy] "
        "tagger."
    )
    home.noted_files.check(path / CARD, (path / CARD).read_bytes(), remedy)


def trained(home: Home, path: Path, train: Callable[[Path], TaggerCard]) -> TaggerCard:
    """Trains a tagger. One in HOME/taggers is there only once it is measured and the audit log knows it.

    Args:
        home: the home.
        path: folder of the tagger.
        train: trains one into the folder that it gets.

    Raises:
        BadInput: it cannot be written there.
        StoreError: the audit log cannot be written.
    """
    if path.parent != home.path / "taggers" or path.exists():
        card = train(path)
        if path.parent == home.path / "taggers":
            home.noted_files.note(path / CARD, (path / CARD).read_bytes())
        return card
    fresh = path.with_name(f".{path.name}")
    card = train(fresh)
    home.noted_files.note(path / CARD, (fresh / CARD).read_bytes())
    try:
        fresh.rename(path)
    except OSError as error:
        raise BadInput(f"The tagger cannot be moved to {path}: {reason(error)}.") from error
    return card


def read_card(path: Path) -> TaggerCard:
    """The card of a tagger. Raises BadInput where there is none or it cannot be read."""
    try:
        return decode((path / CARD).read_bytes(), TaggerCard)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path} holds no tagger: {error}") from error
