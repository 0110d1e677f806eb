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
    assert not findings.is_replaced_in_template(Finding("ORGANIZATION", "Example Air", 0.9), VOCABULARY)
    for kind in ("PHONE_NUMBER", "API_KEY", "EMAIL_ADDRESS", "PERSON"):
        assert findings.is_replaced_in_template(Finding(kind, "example", 0.9), VOCABULARY)
    assert not findings.is_replaced_in_template(Finding("PERSON", "Example Air", 0.45), VOCABULARY)


def test_a_schema_exempts_nothing_that_identifies_a_person() -> None:
    schema = SiteVocabulary(words=frozenset({"ann lee", "book"}))
    for score in (0.45, 0.9):
        assert filter_of().is_replaced(Finding("PERSON", "Ann Lee", score), [schema])
    answers = SiteVocabulary(words=frozenset({"gold plan"}), answers=frozenset({"gold plan"}))
    assert not filter_of().is_replaced(Finding("PERSON", "Gold Plan", 0.45), [answers])
    assert filter_of().is_replaced(Finding("PERSON", "Gold Plan", 0.6), [answers])


def test_what_a_person_confirmed_stays() -> None:
    findings = FindingFilter(policy_of("standard"), LineIndex(DetectorEnsemble([])), ["Help@Example.com"])
    finding = Finding("EMAIL_ADDRESS", "help@example.com", 0.9)
    assert not findings.is_replaced(finding, []) and not findings.is_replaced_in_template(finding, VOCABULARY)
    assert findings.is_replaced(Finding("EMAIL_ADDRESS", "ann@example.com", 0.9), [])
