"""A specialist's folder: its card (specialist.json), the names of its files, and the settings stored in the card."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.artifacts import Specialist
from deputize.core.errors import BadInput, Tampered
from deputize.core.records import Record
from deputize.specialists import catalogue
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.confidence import ConfidenceCalibration

CARD = "specialist.json"
OUT_OF_DISTRIBUTION_FILE = "out_of_distribution.npz"


class PredictorSettings(Record):
    """Settings that a specialist predicts with, besides its weights: `Specialist.settings` as a record."""

    schema: AnswerSchema
    calibration: ConfidenceCalibration = msgspec.field(default_factory=ConfidenceCalibration)
    out_of_distribution_p: float = 0.0
    """Conformal p-value below which a request is left to the LLM; 0 where there is no detector."""
    max_tokens: int = 512
    """Longest prompt in tokens, chat template included."""
    max_slot_tokens: int = 64
    """Tokens after which a value that is still being written is given up."""
    training: dict[str, Any] = msgspec.field(default_factory=dict)
    """Hyperparameters and history of its training, for the record."""


def read_card(folder: Path) -> Specialist:
    """The card of the specialist in a folder.

    Raises:
        BadInput: there is none, or it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=Specialist, strict=False)
    except FileNotFoundError:
        raise BadInput(f"{folder} holds no specialist ({CARD} is missing)") from None
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{folder / CARD} cannot be read: {error}") from error


def digest_of(path: Path) -> str:
    """SHA-256 of a card, "" where it cannot be read. The card holds the checksums of the specialist's other files."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def write_card(folder: Path, card: Specialist) -> None:
    """Writes a card atomically, without the ids of the calls that the specialist was trained on."""
    fresh = folder / f"{CARD}.new"
    # ids of calls come from the agent's log and may name somebody: they are in the sealed artifact only
    bare = msgspec.structs.replace(card, trained_on=[])
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(bare), indent=1))
    fresh.replace(folder / CARD)


def settings_of(card: Specialist) -> PredictorSettings:
    """The settings in a card.

    Raises:
        BadInput: they are of another version.
    """
    try:
        return msgspec.convert(card.settings, PredictorSettings)
    except msgspec.ValidationError as error:
        raise BadInput(f"{card.id}: its settings are of another version: {error}") from error


def check_files(folder: Path, card: Specialist) -> None:
    """Compares every file of a specialist with its checksum.

    Raises:
        Tampered: a file is missing or has changed, or the card names none: every specialist has weights.
    """
    if not card.checksums:
        raise Tampered(f"{folder / CARD} names no file: whoever changed it may have changed the weights")
    for name, expected in card.checksums.items():
        path = folder / name
        if not path.is_file() or catalogue.sha256_of(path) != expected:
            raise Tampered(f"{path} does not match the checksum written when the specialist was trained")
