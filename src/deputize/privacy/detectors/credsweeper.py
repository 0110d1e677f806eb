"""Samsung's CredSweeper (MIT) as a detector of secrets: its rules and filters, without its neural network.

An extra of its own: it brings some 400 MB of packages (pandas, onnxruntime), of which only the rule engine is used.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from deputize.core.errors import MissingExtra
from deputize.privacy.detectors.base import Span

SCORE = 0.9
_PASSWORDS = ("pass", "credential", "url")
"""Parts of the names of CredSweeper's rules for what a person types; every other rule finds a key or a token."""
_NO_SECRET = frozenset({"UUID"})


class CredSweeperDetector:
    """Keys, tokens and passwords."""

    name = "credsweeper"

    def __init__(self) -> None:
        """Raises MissingExtra where CredSweeper is not installed."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from credsweeper import CredSweeper, StringContentProvider
        except ImportError:
            raise MissingExtra.package("credsweeper", "secrets") from None
        logging.getLogger("credsweeper").setLevel(logging.ERROR)
        self._scanner: Any = CredSweeper().scanner
        self._provider: Any = StringContentProvider

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        with warnings.catch_warnings():
            # the provider of plain lines is marked as deprecated, and nothing else reads text that lies in no file
            warnings.simplefilter("ignore", DeprecationWarning)
            return [list(dict.fromkeys(self._one(text))) if text.strip() else [] for text in texts]

    def _one(self, text: str) -> Iterator[Span]:
        lines = text.split("\n")
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        for candidate in self._scanner.scan(self._provider(lines, file_path="text.txt", file_type=".txt")):
            if candidate.rule_name in _NO_SECRET:
                continue
            kind = "PASSWORD" if any(p in candidate.rule_name.lower() for p in _PASSWORDS) else "API_KEY"
            for found in candidate.line_data_list:
                number = found.line_num - 1
                value = found.value or ""
                start = found.value_start
                if lines[number][start : start + len(value)] != value:
                    # a part of a very long line, or a value that was unescaped
                    start = lines[number].find(value)
                if value and start >= 0:
                    yield Span(
                        kind, starts[number] + start, starts[number] + start + len(value), SCORE, self.name
                    )
