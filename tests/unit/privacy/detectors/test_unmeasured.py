"""Words that may identify a person, in languages without a measured recall."""

from __future__ import annotations

from deputize.privacy.detectors.unmeasured import UnmeasuredDetector
from deputize.testing import check_detector

NORWEGIAN = "Hei, jeg har ikke fått pakken som er til Kari Nordmann, ring meg på 48123456 om det"


def found(text: str) -> list[str]:
    (spans,) = UnmeasuredDetector().detect([text])
    return [text[s.start : s.end] for s in spans]


def test_capitals_digits_and_scripts_without_case() -> None:
    assert found(NORWEGIAN) == ["Hei", "Kari", "Nordmann", "48123456"]
    assert found("Здравствуйте, меня зовут Анна") == ["Здравствуйте", "Анна"]
    assert "민수" in found("제 이름은 민수 입니다")


def test_measured_languages_and_unknown_ones_are_left_to_the_others() -> None:
    assert found("Please call Kari Nordmann for the order that is not on the way") == []
    assert found("Kari Nordmann 48123456") == []


def test_it_keeps_the_promises_of_a_detector() -> None:
    check_detector(UnmeasuredDetector(), NORWEGIAN, "Nordmann")
