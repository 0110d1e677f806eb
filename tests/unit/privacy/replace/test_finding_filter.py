"""Which findings are replaced."""

from __future__ import annotations

from deputize.privacy.replace.allowlist import SiteVocabulary
from deputize.privacy.replace.finding_filter import FindingFilter
from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.scan.ensemble import DetectorEnsemble, Finding
from deputize.privacy.scan.line_index import LineIndex

VOCABULARY = SiteVocabulary(template="\ncall example air\n", words=frozenset({"book"}))


def filter_of(level: str = "standard", texts: tuple[str, ...] = ()) -> FindingFilter:
    index = LineIndex(DetectorEnsemble([]))
    for text in texts:
        index.add(text)
    return FindingFilter(policy_of(level), index)  # type: ignore[arg-type]


def test_the_applications_own_words_stay_but_for_direct_identifiers() -> None:
    findings = filter_of("strict")
    assert not findings.is_replaced(Finding("ORGANIZATION", "Example Air", 0.6), [VOCABULARY])
    assert findings.is_replaced(Finding("ORGANIZATION", "Other Air", 0.6), [VOCABULARY])
    assert findings.is_replaced(Finding("US_SSN", "example air", 0.9), [VOCABULARY])
    assert not filter_of("standard").is_replaced(Finding("ORGANIZATION", "Other Air", 0.6), [VOCABULARY])


def test_a_sensitive_label_stays_and_is_reported() -> None:
    findings = filter_of()
    assert (
        findings.is_replaced(Finding("SENSITIVE", "walk", 1.0), [VOCABULARY])
        and not findings.keeps_sensitive_labels
    )
    assert (
        not findings.is_replaced(Finding("SENSITIVE", "Book", 1.0), [VOCABULARY])
        and findings.keeps_sensitive_labels
    )


def test_unsure_names_of_everyday_words_stay() -> None:
    findings = filter_of(texts=tuple(f"open the window {n}" for n in range(5)))
    assert not findings.is_replaced(Finding("PERSON", "Window Box", 0.45), [])
    assert findings.is_replaced(Finding("PERSON", "Window Box", 0.6), [])
    assert findings.common_words([VOCABULARY])("window") and findings.common_words([VOCABULARY])("book")
    assert not findings.common_words([VOCABULARY])("Lee")


def test_a_template_keeps_public_types_only() -> None:
    findings = filter_of("strict")
    assert not findings.is_replaced_in_template(Finding("PHONE_NUMBER", "1", 0.9), VOCABULARY)
    assert findings.is_replaced_in_template(Finding("API_KEY", "1", 0.9), VOCABULARY)
