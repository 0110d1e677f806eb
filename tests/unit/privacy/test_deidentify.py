"""The deidentifier over a small scanned log: what is replaced, what is left, and what is quarantined."""

from __future__ import annotations

import re

from deputize.core.contracts import text_of
from deputize.core.records import Call
from deputize.privacy.deidentify import ANSWER_LOST, Deidentifier
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.verification import VerificationDetector
from deputize.privacy.replace.mask import WORD
from deputize.privacy.replace.replacement_policy import PrivacyLevel, policy_of
from deputize.privacy.replace.surrogates import MASK
from deputize.privacy.scan.ensemble import DetectorEnsemble
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.scanned_log import ScannedLog

KEY = b"k" * 32


def call(id: str, text: str, reply: str = '{"ok": true}', episode: str = "") -> Call:
    return Call(
        id=id,
        messages=[{"role": "user", "content": text}],
        response={"role": "assistant", "content": reply},
        episode=episode,
    )


def deidentifier(
    calls: list[Call], checks_answers: bool = False, max_open: int = 10, level: PrivacyLevel = "standard"
) -> Deidentifier:
    index = LineIndex(DetectorEnsemble([RuleDetector()], (), [VerificationDetector()]), WORD)
    scanned = ScannedLog(index, {c.id: "s" for c in calls})
    for one in calls:
        scanned.add(one)
    index.scan()
    return Deidentifier(
        calls, scanned, policy_of(level), key=KEY, checks_answers=checks_answers, max_open=max_open
    )


def test_values_of_one_episode_have_one_surrogate_whatever_is_open() -> None:
    calls = [call(f"c{i}", f"mail ann.lee@corp.com, step {i}", episode=f"e{i % 2}") for i in range(4)]
    texts = {}
    for max_open in (1, 10):
        one = deidentifier(calls, max_open=max_open)
        texts[max_open] = [text_of(one.request_of(c).messages[0]) for c in one.passing(calls)]
        assert one.n_replaced["EMAIL_ADDRESS"] == 4
    assert texts[1] == texts[10] and "corp" not in " ".join(texts[1])
    mails = [text.split()[1] for text in texts[1]]
    assert mails[0] == mails[2] != mails[1] == mails[3]


def test_words_that_nobody_else_uses_are_masked_at_the_level_that_asks_for_it() -> None:
    """With a value that is replaced, without one, and in a call of nobody else's words."""
    said = [
        "please mail ann.lee@corp.com about zorblitis",
        "please mail about quaxadrine",
        "please mail about it",
    ]
    calls = [call(f"c{i}", text, episode=f"e{i}") for i, text in enumerate(said)]
    levels: tuple[PrivacyLevel, ...] = ("standard", "paranoid")
    texts = {}
    for level in levels:
        one = deidentifier(calls, level=level)
        texts[level] = [text_of(one.request_of(c).messages[0]) for c in one.passing(calls)]
    assert texts["standard"][0].endswith(" about zorblitis") and texts["standard"][1:] == said[1:]
    assert re.fullmatch(rf"please mail \S+ about {re.escape(MASK)}", texts["paranoid"][0])
    assert texts["paranoid"][1:] == [f"please mail about {MASK}", f"please mail about {MASK}"]
    assert "corp" not in texts["paranoid"][0] and "@" not in texts["paranoid"][0]


def test_what_the_verification_pass_finds_is_left_over() -> None:
    calls = [call("c0", "ask bob (at) gmail (dot) com"), call("c1", "mail ann.lee@corp.com")]
    one = deidentifier(calls)
    assert [one.leftover(c) for c in one.passing(calls)] == ["EMAIL_ADDRESS", None]


def test_a_found_value_that_is_put_together_by_replacement_is_left_over() -> None:
    """Whatever the replacement does, a value of the episode must not stand in what it returns."""
    calls = [call("c0", "mail ann.lee@corp.com")]
    one = deidentifier(calls)
    for c in one.passing(calls):
        assert one.leftover(c) is None
        one.change_of = lambda _: lambda text: text  # type: ignore[method-assign, assignment]
        assert one.leftover(c) == "EMAIL_ADDRESS"


def test_a_call_whose_answer_no_longer_follows_is_left_over_where_that_is_checked() -> None:
    # the answer copies a part of the mail address, which is replaced as a whole
    calls = [call("c0", "mail ann.lee@corp.com", '{"host": "corp.com"}')]
    for checks, expected in ((True, ANSWER_LOST), (False, None)):
        one = deidentifier(calls, checks_answers=checks)
        assert [one.leftover(c) for c in one.passing(calls)] == [expected]
