"""Replacers of episodes: made when needed, dropped after the last call, counted once."""

from __future__ import annotations

from deputize.core.records import Call
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.replace.episode_replacers import EpisodeReplacers
from deputize.privacy.replace.finding_filter import FindingFilter
from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.replace.site_plan import plan_sites
from deputize.privacy.replace.surrogate_keys import SurrogateKeys
from deputize.privacy.scan.ensemble import DetectorEnsemble
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.scanned_log import ScannedLog

TEXT = "mail ann.lee@corp.com"
CALLS = [
    Call(
        id=f"c{i}",
        episode=f"e{i % 3}",
        messages=[{"role": "user", "content": TEXT}],
        response={"role": "assistant", "content": "ok"},
    )
    for i in range(9)
]


def replacers(max_open: int) -> EpisodeReplacers:
    index = LineIndex(DetectorEnsemble([RuleDetector()]))
    scanned = ScannedLog(index, {c.id: "s" for c in CALLS})
    for call in CALLS:
        scanned.add(call)
    index.scan()
    policy = policy_of("standard")
    findings = FindingFilter(policy, index)
    keys = SurrogateKeys(b"k" * 32)
    plans, _ = plan_sites(CALLS, scanned, policy, findings, keys)
    return EpisodeReplacers(scanned, plans, findings, keys, max_open)


def test_how_many_are_open_changes_no_result() -> None:
    results = {}
    for max_open in (1, 2, 9):
        one = replacers(max_open)
        texts = [one.replacer_of(call)(TEXT) for call in one.passing(CALLS)]
        results[max_open] = (texts, dict(one.n_replaced))
        assert len(set(texts)) == 3 and TEXT not in texts
    assert results[1] == results[2] == results[9] and results[1][1] == {"EMAIL_ADDRESS": 3}


def test_after_a_pass_nothing_is_open_though_calls_were_erased() -> None:
    one = replacers(2)
    for call in one.passing(CALLS[:4]):
        one.replacer_of(call)
        assert len(one._open) <= 2
    assert not one._open and not one._counted
