"""S2 as a whole: what goes on, what is replaced in it, what may be learnt from, and on which side of the split it is.

References:
    Belcak et al. 2025, arXiv 2506.02153, section 6, step S2.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache

import msgspec

from deputize.core.artifacts import Curated, SiteInference
from deputize.core.config import Convert
from deputize.core.contracts import text_of, tool_calls_of
from deputize.core.progress import Progress, silent
from deputize.core.records import Call, Example, Message, Request, Split
from deputize.stages.curate.dates import find_dates
from deputize.stages.curate.dedup import Item, find_duplicates
from deputize.stages.curate.detect import PUBLIC, SECRET, Detector, Level, is_replaced
from deputize.stages.curate.filters import contradictions, first_reason, outcome_reasons
from deputize.stages.curate.known import Known, dates_are_copied, known_words
from deputize.stages.curate.ner import UNSURE_SCORE
from deputize.stages.curate.paranoid import Masker
from deputize.stages.curate.replacing import Replacer
from deputize.stages.curate.residual import ResidualDetector
from deputize.stages.curate.scan import Standard, standard_detectors
from deputize.stages.curate.scanning import Finding, Scanner
from deputize.stages.curate.split import split_groups
from deputize.stages.curate.surrogates import Surrogates, episode_key
from deputize.stages.curate.texts import call_strings, message_strings, rewrite_message, rewrite_text

MIN_GROUPS, MIN_CALLS_TO_SPLIT = 4, 40
"""With fewer groups than sides, a log of at least this many calls is split by prompt instead."""
MAX_TWINS = 4


def run(
    calls: Sequence[Call], inference: SiteInference, config: Convert, *, key: bytes, progress: Progress = silent,
    detectors: Sequence[Detector] | None = None, prose_detectors: Sequence[Detector] | None = None,
    standard: Standard | None = None,
) -> Curated:  # fmt: skip
    """Curates a log: de-identified examples of every call at sites that do not only speak to people.

    Args:
        calls: the log.
        inference: S1's reading of it.
        config: seed, split and privacy level.
        key: 32 secret bytes; surrogates and the pseudonyms of episodes and groups are derived from it.
        progress: told of the scan.
        detectors: look at whole lines; the standard ones where None.
        prose_detectors: look at sentences only; the standard ones where None.
        standard: the standard ones, where the home adds to them; those without a home where None.

    Raises:
        MissingExtra: a package of the "privacy" extra is not installed.
    """
    warnings: list[str] = []
    if detectors is None or prose_detectors is None:
        standard = standard or standard_detectors(strict=config.privacy != "standard")
        detectors = standard.lines if detectors is None else detectors
        prose_detectors = standard.prose if prose_detectors is None else prose_detectors
        warnings += standard.warnings
    human = {s.id for s in inference.sites if s.audience == "human"}
    used = [c for c in calls if inference.site_of[c.id] not in human]
    dropped: Counter[str] = Counter()
    if len(used) < len(calls):
        dropped["site that speaks to people only"] = len(calls) - len(used)

    group_of, warning = _groups(used)
    warnings += warning
    sides = split_groups(used, group_of, config.split, config.seed)

    cleaner = _Cleaner(used, inference.site_of, config, key, detectors, prose_detectors, progress)
    warnings += cleaner.warnings
    quarantined = cleaner.quarantined
    for call in used:
        if call.id in quarantined:
            dropped[f"quarantined: {quarantined[call.id]}"] += 1
    kept = [c for c in used if c.id not in quarantined]

    reasons, warning = _reasons(kept, inference, group_of, sides)
    warnings += warning
    learnable = [c for c in kept if sides[group_of[c.id]] == "train" and c.id not in reasons]
    duplicates = find_duplicates([cleaner.item(c) for c in learnable], config.seed)
    reasons |= duplicates.reason

    twins = _twins(kept)
    by_id = {c.id: c for c in kept}
    examples: list[Example] = []
    for n_done, call in enumerate(kept, 1):
        side = sides[group_of[call.id]]
        reason = reasons.get(call.id, "") if side in ("train", "dev") else ""
        if reason:
            dropped[reason] += 1
        clean = cleaner.cleaner_of(call)
        examples.append(
            Example(
                call_id=call.id, request=_clean_request(call, clean), response=rewrite_message(call.response, clean),
                audience=inference.audience_of[call.id], site=inference.site_of[call.id],
                episode=_pseudonym(key, "episode", call.episode or call.id),
                group=_pseudonym(key, "group", group_of[call.id]), origin=call.origin, split=side,
                trainable=not reason, drop_reason=reason, weight=duplicates.weight.get(call.id, 1.0),
                outcome=call.outcome, usage=call.usage, cost_usd=call.cost_usd, latency_ms=call.latency_ms,
                timestamp=call.timestamp, model=call.model,
                twin_responses=[rewrite_message(by_id[t].response, clean) for t in twins.get(call.id, ())],
            )
        )  # fmt: skip
        if n_done % 1000 == 0 or n_done == len(kept):
            progress("replacing personal data", n_done, len(kept))
    entities = cleaner.entities()
    return Curated(
        examples=examples, sites=inference.sites, n_calls=len(calls),
        n_episodes=len({c.episode or c.id for c in calls}),
        n_non_hci=sum(inference.audience_of[c.id] == "code" for c in calls),
        dropped=dict(sorted(dropped.items())), entities=dict(sorted(entities.items())), warnings=warnings,
        detectors=[d.name for d in (*detectors, *prose_detectors)], measured=standard.measured if standard else "",
    )  # fmt: skip


def _pseudonym(key: bytes, purpose: str, value: str) -> str:
    """An id that tells equal from unequal and nothing else: raw episode and task ids often hold a person's name."""
    return hmac.new(key, f"{purpose}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[
        :16
    ]


def _groups(calls: Sequence[Call]) -> tuple[dict[str, str], list[str]]:
    """call id -> group, and a warning where the log has too few groups to split by."""
    groups = {c.id: c.group or c.episode or c.id for c in calls}
    n_groups = len(set(groups.values()))
    if n_groups >= MIN_GROUPS or len(calls) < MIN_CALLS_TO_SPLIT:
        return groups, []
    return {c.id: _prompt_key(c) for c in calls}, [
        f"The log holds only {n_groups} episode(s) or task(s) for {len(calls):,} calls: it was split by prompt instead, "
        "so calls of one run are on both sides and the figures may be too good."
    ]


def _reasons(
    kept: Sequence[Call], inference: SiteInference, group_of: dict[str, str], sides: dict[str, Split]
) -> tuple[dict[str, str], list[str]]:
    """call id -> why it may not be learnt from, over train and dev."""
    pool = [c for c in kept if sides[group_of[c.id]] in ("train", "dev")]
    reasons, warnings = outcome_reasons(pool, inference.site_of)
    for call in pool:
        if inference.audience_of[call.id] == "code" or call.aborted:
            reason = first_reason(call)
            if reason:
                reasons[call.id] = reason
    rest = [c for c in pool if c.id not in reasons and not c.response.get("tool_calls")]
    reasons |= contradictions([(c.id, _prompt_key(c), text_of(c.response)) for c in rest])
    return reasons, warnings


def _twins(calls: Sequence[Call]) -> dict[str, list[str]]:
    """call id -> ids of calls of other episodes with exactly the same request."""
    same: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        same[_prompt_key(call)].append(call)
    out: dict[str, list[str]] = {}
    for family in same.values():
        if len(family) > 1:
            for i, call in enumerate(family):
                others = [
                    c
                    for c in family[i + 1 :] + family[:i]
                    if c.model == call.model and c.episode != call.episode
                ]
                if others:
                    out[call.id] = [c.id for c in others[:MAX_TWINS]]
    return out


def _prompt_key(call: Call) -> str:
    shown = (call.agent, call.site, call.messages, call.tools, call.response_format, call.tool_choice)
    return hashlib.blake2b(msgspec.json.encode(shown), digest_size=16).hexdigest()


def _clean_request(call: Call, clean: Callable[[str], str]) -> Request:
    request = call.request()
    return msgspec.structs.replace(request, messages=[rewrite_message(m, clean) for m in request.messages])


class _Cleaner:
    """Everything that was found in a log, and for each call the function that replaces it."""

    def __init__(
        self, calls: Sequence[Call], site_of: dict[str, str], config: Convert, key: bytes,
        detectors: Sequence[Detector], prose_detectors: Sequence[Detector], progress: Progress,
    ) -> None:  # fmt: skip
        self.warnings: list[str] = []
        self._site_of = site_of
        self._key = key
        self._level: Level = config.privacy
        self._scanner = _scanned(calls, detectors, prose_detectors, progress)
        residual = _scanned(calls, [ResidualDetector()], (), silent)
        by_site: dict[str, list[Call]] = defaultdict(list)
        by_episode: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            by_site[site_of[call.id]].append(call)
            by_episode[call.episode or call.id].append(call)
        self._known = {site: known_words(group, self._scanner) for site, group in by_site.items()}
        self._template_values = {site: self._template_values_of(site) for site in by_site}
        self._templates = {site: self._template_replacer(site) for site in by_site}
        self._moving = self._sites_with_moving_dates(by_site)
        self._replacers = {episode: self._replacer(episode, group) for episode, group in by_episode.items()}
        self._masker = Masker(by_episode, self._known.values()) if config.privacy == "paranoid" else None
        self.quarantined = {c.id: reason for c in calls if (reason := self._left_over(c, residual))}

    def cleaner_of(self, call: Call) -> Callable[[str], str]:
        """The function that replaces the personal data in a text of this call."""
        replacer = self._replacers[call.episode or call.id]
        template = self._templates[self._site_of[call.id]]
        masker = self._masker
        if template is None and masker is None:
            return (lambda text: text) if replacer.is_empty else replacer

        def clean(text: str) -> str:
            text = replacer(template(text)) if template else replacer(text)
            return masker(text) if masker else text

        return clean

    def item(self, call: Call) -> Item:
        """What dedup compares: the lines of the prompt that are not template, as they were."""
        template = self._known[self._site_of[call.id]].lines
        varying = (
            self._scanner.line(n)
            for message in call.messages
            for text in message_strings(message)
            for n in self._scanner.lines(text)
            if n not in template
        )
        answer = hashlib.blake2b(_answer_key(call.response), digest_size=16).hexdigest()
        return Item(call.id, f"{self._site_of[call.id]}\0{answer}", "\n".join(varying))

    def entities(self) -> Counter[str]:
        """Type -> replaced spans, over the distinct texts of each episode."""
        total: Counter[str] = Counter()
        for replacer in self._replacers.values():
            total += replacer.n_replaced
        return total

    def _template_values_of(self, site: str) -> frozenset[tuple[str, str]]:
        """What a prompt template may not keep: secrets, and numbers that are a person's wherever they stand."""
        known = self._known[site]
        found = {(f.type, f.value) for n in known.lines for f in self._scanner.findings_of_line(n)}
        return frozenset(
            (kind, value) for kind, value in found if is_replaced(kind, self._level) and kind not in PUBLIC
        )

    def _template_replacer(self, site: str) -> Replacer | None:
        """One stand-in for the whole site, so that the template stays constant."""
        found = self._template_values[site]
        if not found:
            return None
        if any(kind in SECRET for kind, _ in found):
            self.warnings.append(
                "A prompt template holds what looks like a password or key; it was replaced, and calls with that line "
                "may not be routed. Take secrets out of prompts."
            )
        return Replacer(found, Surrogates(episode_key(self._key, f"site:{site}")), self._scanner.is_ordinary)

    def _sites_with_moving_dates(self, by_site: dict[str, list[Call]]) -> set[str]:
        days = lru_cache(maxsize=None)(_days)
        fixed = [
            s for s, group in by_site.items() if self._known[s].has_date or not dates_are_copied(group, days)
        ]
        if fixed:
            self.warnings.append(
                f"Dates other than dates of birth were left as they are at {len(fixed)} site(s): the prompt template "
                "fixes a date, or replies hold dates that were worked out, not copied."
            )
        return by_site.keys() - set(fixed)

    def _replacer(self, episode: str, calls: Sequence[Call]) -> Replacer:
        sites = {self._site_of[c.id] for c in calls}
        known = [self._known[s] for s in sites]
        constant = frozenset().union(*(self._template_values[s] for s in sites))
        found: set[tuple[str, str]] = set()
        has_date = False
        for text in {text for call in calls for _, text in call_strings(call)}:
            for finding in self._scanner.findings(text):
                if finding.type == "DATE_TIME":
                    # "May 20th" says little of anyone; such dates move only where others do
                    has_date = has_date or any(d.has_year for d in find_dates(finding.value))
                elif self._is_personal(finding, known) and (finding.type, finding.value) not in constant:
                    found.add((finding.type, finding.value))
        return Replacer(
            found, Surrogates(episode_key(self._key, episode)), self._ordinary_at(known),
            shift_all_dates=has_date and sites <= self._moving,
        )  # fmt: skip

    def _is_personal(self, finding: Finding, known: Sequence[Known]) -> bool:
        """Whether a finding is to be replaced: of a wanted type, no word of the application, and if unsure no idiom."""
        if not is_replaced(finding.type, self._level):
            return False
        if finding.type in PUBLIC and any(k.holds(finding.value) for k in known):
            return False
        unsure = finding.type == "PERSON" and finding.score <= UNSURE_SCORE
        return not (unsure and any(self._scanner.is_ordinary(w) for w in finding.value.split()))

    def _ordinary_at(self, known: Sequence[Known]) -> Callable[[str], bool]:
        return lambda word: self._scanner.is_ordinary(word) or any(k.holds(word) for k in known)

    def _left_over(self, call: Call, residual: Scanner) -> str | None:
        """Why a call is quarantined: the type of something that the first look missed or the rewriting left."""
        known = self._known[self._site_of[call.id]]
        clean = self.cleaner_of(call)
        replacer = self._replacers[call.episode or call.id]
        for _, text in call_strings(call):
            for hit in residual.findings(text):
                if hit.value in clean(hit.value) and not (hit.type in PUBLIC and known.holds(hit.value)):
                    return hit.type
            if not replacer.is_empty and (kind := replacer.leaks(rewrite_text(text, clean))):
                return kind
        return None


def _scanned(
    calls: Sequence[Call], detectors: Sequence[Detector], prose: Sequence[Detector], progress: Progress
) -> Scanner:
    scanner = Scanner(detectors, prose)
    for call in calls:
        for _, text in call_strings(call):
            scanner.add(text)
    scanner.scan(progress)
    return scanner


def _days(text: str) -> frozenset[date]:
    return frozenset(d.day for d in find_dates(text))


def _answer_key(response: Message) -> bytes:
    calls = tool_calls_of(response)
    if calls:
        return json.dumps(calls, sort_keys=True, default=str).encode("utf-8", "surrogatepass")
    return text_of(response).strip().encode("utf-8", "surrogatepass")
