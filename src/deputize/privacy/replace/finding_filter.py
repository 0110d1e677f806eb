"""Decides which findings are replaced: not the application's own words, not the task's own answers, not everyday words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deputize.privacy.detectors.base import UNSURE_SCORE
from deputize.privacy.entity_types import PUBLIC
from deputize.privacy.replace.allowlist import SiteVocabulary
from deputize.privacy.replace.replacement_policy import ReplacementPolicy
from deputize.privacy.scan.ensemble import Finding
from deputize.privacy.scan.line_index import LineIndex


class FindingFilter:
    """The decisions for one log."""

    def __init__(self, policy: ReplacementPolicy, line_index: LineIndex) -> None:
        self._policy, self._line_index = policy, line_index
        self.keeps_sensitive_labels = False
        """Set once a sensitive value was not replaced since it is a label of its task."""

    def is_replaced(self, finding: Finding, vocabularies: Sequence[SiteVocabulary]) -> bool:
        """True where a finding at sites of these vocabularies is replaced."""
        if not self._policy.replaces(finding.type):
            return False
        if finding.type in PUBLIC and any(v.contains(finding.value) for v in vocabularies):
            return False
        if self._is_label(finding, vocabularies):
            return False
        is_unsure = finding.type == "PERSON" and finding.score <= UNSURE_SCORE
        return not (is_unsure and any(self._line_index.is_common_word(w) for w in finding.value.split()))

    def is_replaced_in_template(self, finding: Finding, vocabulary: SiteVocabulary) -> bool:
        """True where a finding in a prompt template is replaced: a secret, or a number that identifies a person anywhere."""
        if self._is_label(finding, [vocabulary]):
            return False
        return self._policy.replaces(finding.type) and finding.type not in PUBLIC

    def common_words(self, vocabularies: Sequence[SiteVocabulary]) -> Callable[[str], bool]:
        """A function that says whether a word is an everyday word of the log, or the application's at these sites."""
        return lambda word: (
            self._line_index.is_common_word(word) or any(v.contains(word) for v in vocabularies)
        )

    def _is_label(self, finding: Finding, vocabularies: Sequence[SiteVocabulary]) -> bool:
        """True where a sensitive value is one of the task's own answers: with a surrogate for it nothing could be trained."""
        if finding.type != "SENSITIVE":
            return False
        is_label = any(finding.value.casefold().strip() in v.words for v in vocabularies)
        self.keeps_sensitive_labels |= is_label
        return is_label
