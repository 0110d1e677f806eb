"""Packages are hidden for as long as an import takes, and only where nobody has loaded them."""

from __future__ import annotations

import sys

import pytest

from deputize.privacy.detectors.light_import import not_importable


def test_what_is_not_loaded_cannot_be_imported_meanwhile_and_can_afterwards() -> None:
    sys.modules.pop("wave", None)
    with not_importable("wave", "json"), pytest.raises(ImportError):
        import wave
    import wave

    assert wave.__name__ == "wave"


def test_what_is_loaded_stays() -> None:
    import json

    with not_importable("json"):
        assert sys.modules["json"] is json
        import json.decoder
    assert sys.modules["json"] is json


def test_an_error_leaves_nothing_hidden() -> None:
    sys.modules.pop("wave", None)
    with pytest.raises(ZeroDivisionError), not_importable("wave"):
        raise ZeroDivisionError
    assert "wave" not in sys.modules
