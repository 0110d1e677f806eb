"""The contract of a detector of personal data, as a suite that anybody's detector can be run through."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.privacy.detectors.base import Detector, Span

AWKWARD_TEXTS = (
    "\ud83d half a surrogate pair",
    "\x00\x01\x7f",
    "e\u0301" * 50,
    "\u202eabc@example.com",
    "\r\r\n\x0b\x85 a",
    "\u00e9 \U0001f600 yes",
    "lamp " * 600,
)
PLAIN_TEXT = "please call me back about the order today"
"""Holds no personal data."""


def check_detector(detector: Detector, text: str, value: str) -> None:
    """Checks that a detector keeps the promises of `privacy.detectors.base.Detector`.

    Args:
        detector: what is checked; it is called some twenty times.
        text: a text of one line in which it finds something.
        value: a part of the text that it finds.

    Raises:
        AssertionError: names the promise that is broken.
    """
    assert isinstance(detector.name, str) and detector.name, "a detector has a name"
    returned = check_spans(detector, [text])[0]
    assert value in {text[s.start : s.end] for s in returned}, f"{value!r} is found in {text!r}"
    _check_batches(detector, text, returned)
    assert check_spans(detector, [PLAIN_TEXT]) == [[]], "in plain words nothing is found"
    assert check_spans(detector, []) == [], "no texts give no lists of spans"
    assert check_spans(detector, ["", " \n\t "]) == [[], []], (
        "in empty texts and white space nothing is found"
    )
    _check_long_text(detector, text, value)
    _check_unicode(detector, text, value)


def check_spans(detector: Detector, texts: Sequence[str]) -> list[list[Span]]:
    """The spans of some texts, after checks that each list belongs to a text and each span lies in it.

    Raises:
        AssertionError: names the promise that is broken.
    """
    given = list(texts)
    found = detector.detect(given)
    assert given == list(texts), "the list of texts is not changed"
    assert isinstance(found, list), "the answer is a list"
    assert len(found) == len(texts), "there is one list of spans per text"
    for text, spans in zip(texts, found, strict=True):
        assert isinstance(spans, list), "the spans of a text are a list"
        for span in spans:
            assert isinstance(span, Span), "findings are spans"
            assert 0 <= span.start < span.end <= len(text), "a span lies in its text and is not empty"
            assert span.type, "a span has a type"
            assert 0 < span.score <= 1, "a score lies in (0, 1]"
            assert span.detector == detector.name, "a span names its detector"
    return found


def _check_batches(detector: Detector, text: str, returned: Sequence[Span]) -> None:
    """Other texts of a batch, earlier calls and the position in a batch change nothing."""
    alone = list(returned)
    assert check_spans(detector, [text])[0] == alone, "the same text gives the same spans in each call"
    others = ["nothing", f"{text}, thanks", "", "x\n" * 30, PLAIN_TEXT]
    for position in range(len(others) + 1):
        found = check_spans(detector, [*others[:position], text, *others[position:]])
        assert _places(found[position]) == _places(alone), "other texts of a batch change nothing"
    assert list(returned) == alone, "spans that were returned do not change later"


def _check_long_text(detector: Detector, text: str, value: str) -> None:
    before = "please send the order to the office today\n" * 60
    long = f"{before}{text}\n" + "thanks a lot for help\n" * 60
    (found,) = check_spans(detector, [long])
    assert value in {long[s.start : s.end] for s in found}, "a value deep inside a long text is found"
    twice = f"{text}\n{text}"
    (found,) = check_spans(detector, [twice])
    places = {s.start for s in found if twice[s.start : s.end] == value}
    assert max(places, default=-1) > len(text) > min(places), "a value is found at each of its places"


def _check_unicode(detector: Detector, text: str, value: str) -> None:
    """Positions count characters, and no character is refused."""
    after_others = f"caf\u00e9 \U0001f600 {text}"
    (found,) = check_spans(detector, [after_others])
    values = {after_others[s.start : s.end] for s in found}
    assert value in values, "positions count characters, whatever characters stand before a value"
    for awkward in AWKWARD_TEXTS:
        check_spans(detector, [awkward])
    check_spans(detector, AWKWARD_TEXTS)


def _places(spans: Sequence[Span]) -> set[tuple[str, int, int]]:
    """Type and position of spans; scores may differ a little with the other texts of a batch."""
    return {(s.type, s.start, s.end) for s in spans}
