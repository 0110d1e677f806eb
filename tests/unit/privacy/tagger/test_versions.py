"""The taggers of a home: numbered, the newest by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.privacy.tagger.tagger_card import CARD
from deputize.privacy.tagger.versions import NONE, chosen_path, next_path, read_card


def add(home: Path, name: str) -> Path:
    folder = home / "taggers" / name
    folder.mkdir(parents=True)
    (folder / CARD).write_text("{}")
    return folder


def test_a_home_without_taggers(tmp_path: Path) -> None:
    assert chosen_path(tmp_path) is None and next_path(tmp_path).name == "0001"
    with pytest.raises(BadInput, match="none yet"):
        chosen_path(tmp_path, "0001")


def test_the_newest_is_used_unless_another_is_named(tmp_path: Path) -> None:
    first, second = add(tmp_path, "0001"), add(tmp_path, "0002")
    (tmp_path / "taggers" / "0003").mkdir()  # without a card: not finished
    assert chosen_path(tmp_path) == second and chosen_path(tmp_path, "0001") == first
    assert chosen_path(tmp_path, NONE) is None and next_path(tmp_path).name == "0003"
    assert chosen_path(tmp_path, str(first)) == first
    with pytest.raises(BadInput, match="0001, 0002"):
        chosen_path(tmp_path, "0007")


def test_a_card_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no tagger"):
        read_card(add(tmp_path, "0001"))
