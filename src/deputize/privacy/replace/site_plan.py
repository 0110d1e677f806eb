"""How values are replaced at each site: its vocabulary, the values in its template, and whether dates and numbers
change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from deputize.core.prompt_segments import segments
from deputize.core.records import Call
from deputize.privacy.entity_types import HEALTH, SECRET
from deputize.privacy.replace.allowlist import SiteVocabulary, site_vocabulary, template_lines
from deputize.privacy.replace.finding_filter import FindingFilter
from deputize.privacy.replace.replacement_policy import ReplacementPolicy
from deputize.privacy.replace.replacer import Replacer
from deputize.privacy.replace.surrogate_keys import SurrogateKeys
from deputize.privacy.scan.scanned_log import ScannedLog, texts_of_lines


class SitePlan(NamedTuple):
    """The replacement of values at one site."""

    vocabulary: SiteVocabulary
    template_values: frozenset[tuple[str, str]]
    """(type, value) of what the prompt template may not keep."""
    template_replacer: Replacer | None
    """Replaces them with one surrogate for the whole site, so that the template stays constant; None where there are
    none."""
    replaced_segments: frozenset[str]
    """Segments of the template as they are with these surrogates: no request of the site has them."""
    shifts_dates: bool
    """True where all dates move, not dates of birth only."""
    keeps_numbers: bool
    """True where numbers stay although the policy replaces them: replies hold numbers that were computed."""


def plan_sites(
    log: Iterable[Call],
    scanned: ScannedLog,
    policy: ReplacementPolicy,
    findings: FindingFilter,
    keys: SurrogateKeys,
) -> tuple[dict[str, SitePlan], list[str]]:
    """(site -> its plan, warnings for the user). Reads the log for the text of its prompt templates.

    Args:
        log: the calls of `scanned`.
        scanned: the log after its first pass.
        policy: what is replaced.
        findings: decides which findings in a template are replaced.
        keys: make the surrogates of each site.
    """
    vocabularies, texts = _vocabularies(log, scanned)
    values = {site: _template_values(v, scanned, findings) for site, v in vocabularies.items()}
    fixed_dates = {s for s, v in vocabularies.items() if v.has_date or not scanned.sites[s].dates_are_copied}
    fixed_numbers = set[str]()
    if policy.replaces_numbers:
        fixed_numbers = {s for s in vocabularies if not scanned.sites[s].numbers_are_copied}
    plans: dict[str, SitePlan] = {}
    for site, vocabulary in vocabularies.items():
        replacer = None
        if values[site]:
            replacer = Replacer(values[site], keys.of_site(site), scanned.line_index.is_common_word)
        lines = [texts[n] for n in vocabulary.lines]
        replaced = _replaced_segments(lines, replacer) if replacer is not None else frozenset()
        plans[site] = SitePlan(
            vocabulary, values[site], replacer, replaced, site not in fixed_dates, site in fixed_numbers
        )
    n_secrets = sum(any(kind in SECRET for kind, _ in found) for found in values.values())
    n_personal = sum(any(kind not in SECRET for kind, _ in found) for found in values.values())
    return plans, _warnings(n_secrets, n_personal, len(fixed_dates), len(fixed_numbers))


def _replaced_segments(lines: Iterable[str], replacer: Replacer) -> frozenset[str]:
    return frozenset(
        segment for line in lines for segment in {*segments(replacer(line))}.difference(segments(line))
    )


def _vocabularies(
    log: Iterable[Call], scanned: ScannedLog
) -> tuple[dict[str, SiteVocabulary], dict[int, str]]:
    """(site -> its vocabulary, number of each template line -> its text)"""
    lines = {
        site: template_lines(scanned.episodes_at(site), statistics.n_calls, scanned.line_index.n_lines)
        for site, statistics in scanned.sites.items()
    }
    texts = texts_of_lines(log, set().union(*lines.values()), scanned.line_index)
    vocabularies = {
        site: site_vocabulary(statistics, lines[site], texts) for site, statistics in scanned.sites.items()
    }
    return vocabularies, texts


def _template_values(
    vocabulary: SiteVocabulary, scanned: ScannedLog, findings: FindingFilter
) -> frozenset[tuple[str, str]]:
    lines = vocabulary.lines | vocabulary.schema_lines
    found = [f for n in lines for f in scanned.line_index.findings(n)]
    replaced = {(f.type, f.value) for f in found if findings.is_replaced_in_template(f, vocabulary)}
    if any(kind == "PERSON" for kind, _ in replaced):
        # a prompt about somebody: an illness in it is that person's, and no longer what an application says of itself
        replaced |= {
            (f.type, f.value) for f in found if f.type in HEALTH and not findings.is_confirmed(f.value)
        }
    return frozenset(replaced)


def _warnings(n_secrets: int, n_personal: int, n_fixed_dates: int, n_fixed_numbers: int) -> list[str]:
    """Warnings for so many sites with a secret or other personal data in their template or schemas, with dates and with
    numbers that stay."""
    warnings = [
        "A prompt template holds what looks like a password or key. It was replaced, and calls with that line may not be "
        "routed. Take secrets out of prompts."
    ] * n_secrets
    if n_personal:
        warnings.append(
            f"At {n_personal} site(s) the prompt template, a tool or a response format holds what looks like personal data. It was "
            "replaced, and calls with it may not be routed. If a value is your own, such as the address of your service desk, "
            "name it in [privacy] confirmed."
        )
    if n_fixed_dates:
        warnings.append(
            f"Dates other than dates of birth were not changed at {n_fixed_dates} site(s): the prompt template fixes a date, "
            "or replies hold dates that were computed, not copied."
        )
    if n_fixed_numbers:
        warnings.append(
            f"Numbers were not changed at {n_fixed_numbers} site(s): replies there hold numbers that were computed, not "
            "copied."
        )
    return warnings
