"""Paraphrases the prose of sensitive texts with an LLM or SLM, and keeps the de-identified text where a check fails.

The model is shown de-identified text only. Template lines, `Label: value` lines and JSON are the structure of a task;
they are not changed.

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
"""After so many failures in a row the model is not called any more."""
INSTRUCTION = (
    "Rewrite the text of the user in other words. Keep every fact. Do not add anything. "
    "Write the new text and nothing else, in one paragraph."
)
_LABEL = re.compile(r"^[\s*#>•-]*[^\W\d_][\w /&'-]{0,30}[:=](?:\s|$)")


class Paraphraser:
    """Paraphrases passages; equal passages get equal paraphrases."""

    def __init__(self, ask: Ask, detectors: Sequence[Detector]) -> None:
        """
        Args:
            ask: calls the model.
            detectors: each of their findings in a paraphrase must be in the original.
        """
        self._ask, self._detectors = ask, tuple(detectors)
        self._cache: dict[tuple[str, frozenset[str]], str] = {}
        self.n_paraphrased = self.n_kept = self.n_failures = 0

    def __call__(self, text: str, is_template: Callable[[str], bool], keep: Collection[str]) -> str:
        """The text with its prose paraphrased.

        Args:
            text: de-identified.
            is_template: returns whether a line belongs to the prompt template.
            keep: values that the answer copies; each is in the paraphrase if it is in the original.
        """
        if parse_json(text) is not None:
            return text
        return "\n".join(self._passages(text, is_template, keep))

    @property
    def summary(self) -> str:
        """The number of paraphrases, as a sentence; "" where there were none."""
        if not (self.n_paraphrased or self.n_kept):
            return ""
        failed = " The model stopped answering and was not called any more." if self._has_stopped else ""
        return (
            f"{self.n_paraphrased:,} passages of sensitive texts were paraphrased by a model; {self.n_kept:,} were only "
            f"de-identified, since the paraphrase lost or added something.{failed}"
        )

    @property
    def _has_stopped(self) -> bool:
        return self.n_failures >= MAX_FAILURES

    def _passages(
        self, text: str, is_template: Callable[[str], bool], keep: Collection[str]
    ) -> Iterator[str]:
        def is_prose(line: str) -> bool:
            return bool(line.strip()) and not _LABEL.match(line) and not is_template(line)

        for prose, lines in groupby(text.split("\n"), is_prose):
            passage = "\n".join(lines)
            if prose and len(passage.split()) >= MIN_WORDS:
                needed = frozenset(k for k in keep if occurs_in(k, passage)) | numbers_of(passage)
                yield self._paraphrased(passage, needed)
            else:
                yield passage

    def _paraphrased(self, passage: str, needed: frozenset[str]) -> str:
        cached = self._cache.get((passage, needed))
        if cached is not None:
            return cached
        if self._has_stopped:
            self.n_kept += 1
            return passage
        instruction = INSTRUCTION
        if needed:
            instruction += f" These stay letter by letter: {'; '.join(sorted(needed))}."
        try:
            paraphrase = " ".join(self._ask(instruction, passage).split())
            self.n_failures = 0
        except UpstreamError:
            paraphrase = ""
            self.n_failures += 1
        if self._is_faithful(passage, paraphrase, needed):
            self.n_paraphrased += 1
        else:
            paraphrase = passage
            self.n_kept += 1
        self._cache[passage, needed] = paraphrase
        return paraphrase

    def _is_faithful(self, old: str, new: str, needed: frozenset[str]) -> bool:
        if not len(old) / 3 <= len(new) <= 3 * len(old) + 200:
            return False
        if not all(occurs_in(value, new) for value in needed):
            return False
        if not numbers_of(new) <= numbers_of(old):
            return False
        return all(
            new[s.start : s.end] in old for detector in self._detectors for s in detector.detect([new])[0]
        )
