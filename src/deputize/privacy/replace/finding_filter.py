"""Decides which findings are replaced: not the application's own words, not the task's own answers, not everyday
words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from deputize.privacy.detectors.base import UNSURE_SCORE
from deputize.privacy.entity_types import PUBLIC, UNMEASURED
from deputize.privacy.replace.allowlist import SiteVocabulary
from deputize.privacy.replace.replacement_policy import ReplacementPolicy
from deputize.privacy.scan.ensemble import Finding
from deputize.privacy.scan.line_index import LineIndex


class FindingFilter:
    """The decisions for one log."""

    def __init__(
        self,
        policy: ReplacementPolicy,
        line_index: LineIndex,
        confirmed: Collection[str] = (),
        shared: frozenset[str] = frozenset(),
    ) -> None:
        """
        Args:
            policy: what is replaced.
            line_index: of the log.
            confirmed: values that a person has confirmed to be the application's own; they are never replaced.
            shared: words, case folded, in unmeasured languages that many people use (see replace.unmeasured_words).
        """
        self._shared = shared
        self._policy, self._line_index = policy, line_index
        self._confirmed = frozenset(value.casefold().strip() for value in confirmed)
        self.keeps_sensitive_labels = False
        """Set once a sensitive value was not replaced since it is a label of its task."""

    def is_replaced(self, finding: Finding, vocabularies: Sequence[SiteVocabulary]) -> bool:
        """True where a finding at sites of these vocabularies is replaced."""
        if not self._policy.replaces(finding.type) or self.is_confirmed(finding.value):
            return False
        if finding.type == UNMEASURED:
            known = finding.value.casefold() in self._shared
            return not (known or any(v.contains(finding.value) for v in vocabularies))
        if finding.type in PUBLIC and any(v.contains(finding.value) for v in vocabularies):
            return False
        if self._is_label(finding, vocabularies):
            return False
        return not (_is_guess(finding) and self._is_everyday(finding, vocabularies))

    def is_replaced_in_template(self, finding: Finding, vocabulary: SiteVocabulary) -> bool:
        """True where a finding in a prompt template or a schema is replaced: all but the types that an application may
        say of itself, and mere guesses that a name is one."""
        if self._is_label(finding, [vocabulary]) or self.is_confirmed(finding.value):
            return False
        if not self._policy.replaces(finding.type) or finding.type in PUBLIC or finding.type == UNMEASURED:
            return False
        return not (_is_guess(finding) and self._is_everyday(finding, [vocabulary]))

    def is_confirmed(self, value: str) -> bool:
        """True where a person has confirmed that a value is the application's own."""
        return value.casefold().strip() in self._confirmed

    def common_words(self, vocabularies: Sequence[SiteVocabulary]) -> Callable[[str], bool]:
        """A function that says whether a word is an everyday word of the log, or the application's at these sites."""
        return lambda word: (
            self._line_index.is_common_word(word) or any(v.contains(word) for v in vocabularies)
        )

    def _is_everyday(self, finding: Finding, vocabularies: Sequence[SiteVocabulary]) -> bool:
        """True where a guessed name is a line of the template or an answer of many episodes, or has an everyday word in
        it."""
        if any(v.is_everywhere(finding.value) for v in vocabularies):
            return True
        return any(self._line_index.is_common_word(word) for word in finding.value.split())

    def _is_label(self, finding: Finding, vocabularies: Sequence[SiteVocabulary]) -> bool:
        """True where a sensitive value is one of the task's own answers: with a surrogate for it nothing could be
        trained."""
        if finding.type != "SENSITIVE":
            return False
        is_label = any(finding.value.casefold().strip() in v.words for v in vocabularies)
        self.keeps_sensitive_labels |= is_label
        return is_label


def _is_guess(finding: Finding) -> bool:
    return finding.type == "PERSON" and finding.score <= UNSURE_SCORE
