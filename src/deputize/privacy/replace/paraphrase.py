"""Words the prose of sensitive texts anew with an LLM or SLM, and keeps the de-identified text where a check fails.

The model sees only what has been de-identified before. Template lines, `Label: value` lines and JSON are structure that
tasks are found and read by; they stay as they are.

References:
    Belcak et al. 2025, arXiv 2506.02153, section 6, step S2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby

from deputize.core.errors import UpstreamError
from deputize.privacy.call_texts import parse_json
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.numbers import numbers_of
from deputize.privacy.replace.answer_values import occurs_in

Ask = Callable[[str, str], str]
"""(instruction, text) -> the model's answer. Raises UpstreamError where there is none."""

MIN_WORDS = 8
"""Shorter passages are values, not prose."""
MAX_FAILURES = 3
"""After so many failures in a row the model is not asked any more."""
INSTRUCTION = (
    "Rewrite the text of the user in other words. Keep every fact. Do not add anything. "
    "Write the new text and nothing else, in one paragraph."
)
_HEAD = re.compile(r"^[\s*#>•-]*[^\W\d_][\w /&'-]{0,30}[:=](?:\s|$)")


class Paraphraser:
    """Words passages anew, equal ones alike."""

    def __init__(self, ask: Ask, detectors: Sequence[Detector]) -> None:
        """
        Args:
            ask: the model.
            detectors: what they find in a new wording must have been in the old one.
        """
        self._ask, self._detectors = ask, tuple(detectors)
        self._known: dict[tuple[str, frozenset[str]], str] = {}
        self.n_worded = self.n_kept = self.n_failures = 0

    def __call__(self, text: str, is_template: Callable[[str], bool], keep: Collection[str]) -> str:
        """The text with its prose worded anew.

        Args:
            text: de-identified.
            is_template: whether a line belongs to the prompt template.
            keep: values that the answer copies; each stands in the new wording if it stood in the old one.
        """
        if parse_json(text) is not None:
            return text
        return "\n".join(self._passages(text, is_template, keep))

    @property
    def summary(self) -> str:
        """Outcome in a sentence; "" where nothing was asked."""
        if not (self.n_worded or self.n_kept):
            return ""
        failed = " The model stopped answering and was not asked any more." if self._is_off else ""
        return (
            f"{self.n_worded:,} passages of sensitive texts were worded anew by a model; {self.n_kept:,} were left as the "
            f"rules had made them, since the new wording lost something or brought something in.{failed}"
        )

    @property
    def _is_off(self) -> bool:
        return self.n_failures >= MAX_FAILURES

    def _passages(
        self, text: str, is_template: Callable[[str], bool], keep: Collection[str]
    ) -> Iterator[str]:
        def is_prose(line: str) -> bool:
            return bool(line.strip()) and not _HEAD.match(line) and not is_template(line)

        for prose, lines in groupby(text.split("\n"), is_prose):
            passage = "\n".join(lines)
            if prose and len(passage.split()) >= MIN_WORDS:
                needed = frozenset(k for k in keep if occurs_in(k, passage)) | numbers_of(passage)
                yield self._worded(passage, needed)
            else:
                yield passage

    def _worded(self, passage: str, needed: frozenset[str]) -> str:
        known = self._known.get((passage, needed))
        if known is not None:
            return known
        if self._is_off:
            self.n_kept += 1
            return passage
        instruction = INSTRUCTION
        if needed:
            instruction += f" These stay letter by letter: {'; '.join(sorted(needed))}."
        try:
            made = " ".join(self._ask(instruction, passage).split())
            self.n_failures = 0
        except UpstreamError:
            made = ""
            self.n_failures += 1
        if self._is_good(passage, made, needed):
            self.n_worded += 1
        else:
            made = passage
            self.n_kept += 1
        self._known[passage, needed] = made
        return made

    def _is_good(self, old: str, new: str, needed: frozenset[str]) -> bool:
        if not len(old) / 3 <= len(new) <= 3 * len(old) + 200:
            return False
        if not all(occurs_in(value, new) for value in needed):
            return False
        if not numbers_of(new) <= numbers_of(old):
            return False
        return all(
            new[s.start : s.end] in old for detector in self._detectors for s in detector.detect([new])[0]
        )
