"""Models of a hub: where they are looked for, and the window of their texts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from deputize.core.errors import BadInput, MissingExtra
from deputize.privacy.detectors.hub_models import NO_WINDOW, first_line, locate_model, window_size


def test_a_folder_is_a_model_where_it_has_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no config\.json"):
        locate_model(str(tmp_path), kind="hub")
    (tmp_path / "config.json").write_text("{}")
    assert locate_model(str(tmp_path), kind="hub") == (tmp_path, f"hub:{tmp_path}")


def test_a_name_that_is_neither_folder_nor_repository_and_a_repository_without_commit() -> None:
    with pytest.raises(MissingExtra, match="not on this machine"):
        locate_model("no-such-model", kind="hub")
    for model in ("owner/name", "owner/name@main", "owner/name@1234"):
        with pytest.raises(BadInput, match="40 digits of a commit"):
            locate_model(model, kind="hub")


def test_a_window_is_the_smaller_of_tokenizer_and_positions() -> None:
    assert (
        window_size(SimpleNamespace(model_max_length=512), SimpleNamespace(max_position_embeddings=130))
        == 128
    )
    assert (
        window_size(SimpleNamespace(model_max_length=100), SimpleNamespace(max_position_embeddings=130))
        == 100
    )
    assert window_size(SimpleNamespace(model_max_length=10**30), SimpleNamespace()) == NO_WINDOW - 2


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("a\nb")) == "a" and first_line(ValueError()) == "ValueError"
