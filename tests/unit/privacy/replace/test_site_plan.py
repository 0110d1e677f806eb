"""Plans of sites: secrets in templates, and dates and numbers that stay."""

from __future__ import annotations

from collections.abc import Callable

from deputize.core.records import Call
from deputize.privacy.detectors.numbers import NumberDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.replace.finding_filter import FindingFilter
from deputize.privacy.replace.replacement_policy import PrivacyLevel, policy_of
from deputize.privacy.replace.site_plan import SitePlan, plan_sites
from deputize.privacy.replace.surrogate_keys import SurrogateKeys
from deputize.privacy.scan.ensemble import DetectorEnsemble
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.scanned_log import ScannedLog


def plan(
    system: str, reply: Callable[[int], str], level: PrivacyLevel = "standard"
) -> tuple[SitePlan, list[str]]:
    calls = [
        Call(
            id=f"c{i}",
            messages=[{"role": "system", "content": system}, {"role": "user", "content": f"total 2{i:03d}"}],
            response={"role": "assistant", "content": reply(i)},
        )
        for i in range(20)
    ]
    index = LineIndex(DetectorEnsemble([RuleDetector(), NumberDetector()]))
    scanned = ScannedLog(index, {c.id: "s" for c in calls})
    for call in calls:
        scanned.add(call)
    index.scan()
    policy = policy_of(level)
    plans, warnings = plan_sites(
        calls, scanned, policy, FindingFilter(policy, index), SurrogateKeys(b"k" * 32)
    )
    return plans["s"], warnings


def test_a_secret_in_a_template_has_one_surrogate_and_a_warning() -> None:
    secret = "sk-QIv6Gv5NoYUqN16qjIYnEHl8jTWNVi5s"
    site, (warning,) = plan(f"Use key {secret}.", str)
    assert site.template_values == {("API_KEY", secret)} and site.template_replacer is not None
    assert secret not in site.template_replacer(f"Use key {secret}.") and "password or key" in warning
    assert site.replaced_segments == {site.template_replacer(f"Use key {secret}.")}
    other = plan("Be kind.", str)[0]
    assert other.template_replacer is None and not other.replaced_segments


def test_dates_stay_where_the_template_fixes_one() -> None:
    site, (warning,) = plan("Today is 2024-05-15.", str)
    assert not site.shifts_dates and "fixes a date" in warning
    assert plan("Be kind.", str)[0].shifts_dates


def test_numbers_stay_where_they_are_computed() -> None:
    site, (warning,) = plan("Be kind.", lambda i: f"{3 * (2000 + i)}", "paraphrase")
    assert site.keeps_numbers and "computed" in warning
    assert not plan("Be kind.", lambda i: f"2{i:03d}", "paraphrase")[0].keeps_numbers
    assert not plan("Be kind.", lambda i: f"{3 * (2000 + i)}")[0].keeps_numbers, (
        "no other level replaces numbers"
    )


def test_an_illness_in_a_template_stays_unless_the_template_names_a_person() -> None:
    illness = "Patient with diabetes type 1, takes insulin 10 units."
    assert plan(illness, str)[0].template_replacer is None, "an application may speak of illnesses"
    site = plan(f"You are the assistant of Mrs. Mireille Vantongeren.\n{illness}", str)[0]
    assert site.template_replacer is not None
    kinds = {kind for kind, _ in site.template_values}
    assert kinds == {"PERSON", "HEALTH_CONDITION", "MEDICATION"}
    left = site.template_replacer(illness).casefold()
    assert "diabetes" not in left and "insulin" not in left
