"""`python -m deputize.privacy.masking.detector_worker`: the process that looks for personal data in lines.

It reads its settings and then lists of lines from its standard input, as messages with their lengths before them,
answers each list with the findings on its standard output, and ends when its input does. So the models of the detectors
are not in the gateway's process, and take nothing from its event loop.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from deputize.core.config import Privacy
from deputize.core.errors import DeputizeError
from deputize.privacy.entity_types import UNMEASURED
from deputize.privacy.masking.found_values import Findings, Line
from deputize.privacy.replace.replacement_policy import ReplacementPolicy, policy_of
from deputize.privacy.scan.ensemble import Finding
from deputize.privacy.standard_detectors import DetectorSet, standard_detectors

LENGTH = struct.Struct(">I")
_BATCH_LINES = 256


class WorkerSettings(msgspec.Struct, frozen=True):
    """Settings of the process, its first message: not on its command line, which every user of the machine can read."""

    home: str
    """The home folder, which may have taggers of its own."""
    privacy: bytes
    """`[privacy]` as JSON."""


class WorkerStart(msgspec.Struct, frozen=True):
    """The first message of the process."""

    error: str = ""
    """Why it cannot work; "" where it can."""
    warnings: list[str] = []


class LineDetector:
    """Finds what is masked in lines."""

    def __init__(self, detectors: DetectorSet, policy: ReplacementPolicy) -> None:
        # the allow-list of words for unmeasured languages needs the statistics of a log
        self._ensemble = detectors._replace(unmeasured="keep").ensemble(policy)
        self._policy = policy
        self._confirmed = frozenset(value.casefold().strip() for value in detectors.confirmed)

    def detect(self, lines: Sequence[Line]) -> list[Findings]:
        """The findings in each line, those of the verification pass included."""
        out: list[Findings] = []
        for start in range(0, len(lines), _BATCH_LINES):
            batch = lines[start : start + _BATCH_LINES]
            result = self._ensemble.detect([text for text, _ in batch], [is_prose for _, is_prose in batch])
            for found, verification in zip(*result, strict=True):
                out.append(tuple(f for f in (*found, *verification) if self._is_masked(f)))
        return out

    def _is_masked(self, finding: Finding) -> bool:
        value = finding.value.casefold().strip()
        return (
            finding.type != UNMEASURED
            and self._policy.replaces(finding.type)
            and bool(value)
            and value not in self._confirmed
        )


def read_message(source: IO[bytes]) -> bytes | None:
    """The next message; None at the end."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (n_bytes,) = LENGTH.unpack(head)
    body = source.read(n_bytes)
    return body if len(body) == n_bytes else None


def write_message(target: IO[bytes], value: object) -> None:
    """Writes one message."""
    data = msgspec.msgpack.encode(value)
    target.write(LENGTH.pack(len(data)) + data)
    target.flush()


def main(source: IO[bytes], target: IO[bytes]) -> int:
    """Answers until the input ends; returns the exit code."""
    first = read_message(source)
    if first is None:
        return 0
    settings = msgspec.msgpack.decode(first, type=WorkerSettings)
    policy = policy_of("standard")
    try:
        privacy = Privacy.model_validate_json(settings.privacy)
        detectors = standard_detectors(policy, home=Path(settings.home), privacy=privacy)
        detector = LineDetector(detectors, policy)
        detector.detect([("Anna Miller wrote to us.", True)])  # loads what is loaded with the first text
    except DeputizeError as error:
        write_message(target, WorkerStart(error=str(error)))
        return error.exit_code
    write_message(target, WorkerStart(warnings=list(detectors.warnings)))
    decoder = msgspec.msgpack.Decoder(list[Line])
    while (message := read_message(source)) is not None:
        write_message(target, detector.detect(decoder.decode(message)))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the gateway ends this process
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not print into the answers
    sys.exit(main(sys.stdin.buffer, answers))
