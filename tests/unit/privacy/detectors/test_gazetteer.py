"""The gazetteer of names."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.gazetteer import gazetteer, is_name, is_only_name

pytest.importorskip("faker")


def test_names_of_many_languages_are_in_it() -> None:
    assert all(map(is_name, ["Olga", "nguyen", "Müller", "Fatima,", "SMITH"])) and len(gazetteer()) > 10_000


def test_words_that_are_also_names_prove_nothing() -> None:
    assert is_name("Grace") and not is_only_name("Grace") and is_only_name("Olga")
    assert not is_name("keyboard") and not is_name("")
