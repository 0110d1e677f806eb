"""The replacers of the episodes of a log, each made for the first call of its episode and dropped after the last
one."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from deputize.core.records import Call
from deputize.privacy.date_shift import find_dates
from deputize.privacy.replace.finding_filter import FindingFilter
from deputize.privacy.replace.replacer import Replacer
from deputize.privacy.replace.site_plan import SitePlan
from deputize.privacy.replace.surrogate_keys import SurrogateKeys
from deputize.privacy.scan.scanned_log import ScannedLog, episode_of


class EpisodeReplacers:
    """Makes and keeps a replacer for each episode under way; the least recently used are made again when needed."""

    def __init__(
        self,
        scanned: ScannedLog,
        plans: Mapping[str, SitePlan],
        findings: FindingFilter,
        keys: SurrogateKeys,
        max_open: int,
    ) -> None:
        """
        Args:
            scanned: the log after its first pass.
            plans: site -> how values are replaced there.
            findings: decides which findings are replaced.
            keys: make the surrogates of each episode.
            max_open: episodes whose replacers are kept at once; it changes memory and time, no result.
        """
        self._scanned, self._plans, self._findings = scanned, plans, findings
        self._keys, self._max_open = keys, max_open
        self.n_replaced: Counter[str] = Counter()
        """Type -> replaced spans over the distinct texts of each episode, in the last pass."""
        self._open: OrderedDict[str, Replacer] = OrderedDict()
        self._counted: dict[str, set[int]] = {}
        """Episode whose replacer was dropped before its last call -> hashes of the texts that are counted."""

    def passing(self, log: Iterable[Call]) -> Iterator[Call]:
        """The calls of a log in order. The replacer of a call may be asked for until the next call is taken."""
        self.n_replaced.clear()
        n_left = dict(self._scanned.n_calls_of)
        for call in log:
            yield call
            episode = episode_of(call)
            n_left[episode] -= 1
            if not n_left[episode]:
                self._close(episode)
        for episode in [*self._open, *self._counted]:
            self._close(episode)  # some of their calls were erased since the first pass

    def replacer_of(self, call: Call) -> Replacer:
        """The replacer of the call's episode."""
        episode = episode_of(call)
        replacer = self._open.get(episode)
        if replacer is None:
            if len(self._open) >= self._max_open:
                self._suspend(*self._open.popitem(last=False))
            replacer = self._make(episode)
            replacer.counted = self._counted.get(episode, set())
            self._open[episode] = replacer
        self._open.move_to_end(episode)
        return replacer

    def _suspend(self, episode: str, replacer: Replacer) -> None:
        """Drops a replacer that will be needed again; what it has counted is not counted again."""
        replacer.forget_texts()
        self._counted[episode] = replacer.counted
        self.n_replaced += replacer.n_replaced

    def _close(self, episode: str) -> None:
        replacer = self._open.pop(episode, None)
        if replacer is not None:
            self.n_replaced += replacer.n_replaced
        self._counted.pop(episode, None)

    def _make(self, episode: str) -> Replacer:
        parts = self._scanned.episodes[episode]
        plans = [self._plans[site] for site in {part.site for part in parts}]
        vocabularies = [plan.vocabulary for plan in plans]
        in_templates = frozenset().union(*(plan.template_values for plan in plans))
        keeps_numbers = any(plan.keeps_numbers for plan in plans)
        found: set[tuple[str, str]] = set()
        has_full_date = False
        for number in set().union(*(part.all_lines() for part in parts)):
            for finding in self._scanned.line_index.findings(number):
                value = (finding.type, finding.value)
                if finding.type == "DATE_TIME":
                    # "May 20th" says little about anyone; such dates move only where full dates do
                    has_full_date = has_full_date or any(d.has_year for d in find_dates(finding.value))
                elif finding.type == "AMOUNT" and keeps_numbers:
                    continue
                elif self._findings.is_replaced(finding, vocabularies) and value not in in_templates:
                    found.add(value)
        return Replacer(
            found,
            self._keys.of_episode(episode, self._subject_key(episode)),
            self._findings.common_words(vocabularies),
            shift_all_dates=has_full_date and all(plan.shifts_dates for plan in plans),
        )

    def _subject_key(self, episode: str) -> bytes | None:
        """The key of the one origin of an episode; None where there is none, or more than one."""
        origins = {origin for part in self._scanned.episodes[episode] for origin in part.origins}
        return self._keys.subject_key(origins.pop()) if len(origins) == 1 else None
