"""The card of a specialist: written whole, without the calls it was trained on, read back or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.artifacts import Specialist
from deputize.core.errors import BadInput, Tampered
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.catalogue import sha256_of
from deputize.specialists.specialist_card import (
    CARD,
    PredictorSettings,
    check_files,
    read_card,
    settings_of,
    write_card,
)


def card(**fields: object) -> Specialist:
    task = tiny_tasks.task("label")
    settings = msgspec.to_builtins(PredictorSettings(schema=AnswerSchema(kind="label")))
    base = Specialist(
        id="label-linear",
        task_id="label",
        method="linear",
        model="m",
        kind="linear",
        contract=task.contract,
        task=task,
        n_train=1,
        train_s=0.0,
        settings=settings,
        trained_on=["call-1"],
    )
    return msgspec.structs.replace(base, **fields)


def test_a_card_comes_back_without_the_calls_it_was_trained_on(tmp_path: Path) -> None:
    write_card(tmp_path, card())
    assert b"call-1" not in (tmp_path / CARD).read_bytes()
    assert read_card(tmp_path) == card(trained_on=[])
    assert [p.name for p in tmp_path.iterdir()] == [CARD]


def test_settings_of_another_version_are_bad_input() -> None:
    assert settings_of(card()).schema.kind == "label"
    with pytest.raises(BadInput, match="label-linear"):
        settings_of(card(settings={"form": 1}))


def test_a_file_that_is_missing_or_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(b"weights")
    sums = {"w.npz": sha256_of(tmp_path / "w.npz")}
    check_files(tmp_path, card(checksums=sums))
    with pytest.raises(Tampered, match="other"):
        check_files(tmp_path, card(checksums={**sums, "other": "0"}))
    (tmp_path / "w.npz").write_bytes(b"weightz")
    with pytest.raises(Tampered, match=r"w\.npz"):
        check_files(tmp_path, card(checksums=sums))
    with pytest.raises(Tampered, match="names no file"):
        check_files(tmp_path, card(checksums={}))
