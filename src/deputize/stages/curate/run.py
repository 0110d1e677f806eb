"""S2 as a whole: what goes on, what is replaced in it, what may be learnt from, and on which side of the split it is.

The log is read four times, call by call, and is never in memory as a whole: to scan it and take notes, to find the
text of the prompt templates, to look a second time at what was replaced, and to write the examples.

References:
    Belcak et al. 2025, arXiv 2506.02153, section 6, step S2.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from deputize.core.artifacts import Curated, SiteInference, Withheld
from deputize.core.config import Convert
from deputize.core.progress import Progress, silent
from deputize.core.records import Call, Example, Message, Request, Split
from deputize.privacy.call_texts import call_strings, message_strings, rewrite_message, rewrite_text
from deputize.privacy.dates import find_dates
from deputize.privacy.detectors.base import PUBLIC, SECRET, Detector, Level, is_replaced
from deputize.privacy.detectors.residual import ResidualDetector
from deputize.privacy.detectors.sensitive_terms import (
    NumberDetector,
    SensitiveDetector,
    keeps_what_is_needed,
    needed,
)
from deputize.privacy.detectors.spacy_ner import UNSURE_SCORE
from deputize.privacy.replace.allowlist import (
    MIN_ORIGINS,
    EpisodeLines,
    SiteVocabulary,
    known_words,
    template_lines,
)
from deputize.privacy.replace.mask import WORD, Masker
from deputize.privacy.replace.paraphrase import Paraphraser
from deputize.privacy.replace.replacer import Replacer
from deputize.privacy.replace.surrogates import Surrogates, episode_key
from deputize.privacy.scan.ensemble import DetectorEnsemble, Finding
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.worker_pool import WorkerPool
from deputize.privacy.standard_detectors import StandardDetectors, standard_detectors
from deputize.stages.curate.dedup import DedupItem, Sketch, find_duplicates, sketch
from deputize.stages.curate.filters import Labelled, disagreements, outcome_reasons
from deputize.stages.curate.first_pass import CallSummary, LogIndex, take_notes, texts_of_lines
from deputize.stages.curate.split import joined_groups, split_groups

MIN_GROUPS, MIN_CALLS_TO_SPLIT = 4, 40
"""With fewer groups than sides, a log of at least this many calls is split by prompt instead."""
MAX_TWINS = 4
MAX_OPEN_EPISODES = 2000
LOST = "replacing lost what the answer needs"
"""Why a call is left out whose answer would no longer follow from its prompt."""


def run(
    calls: Iterable[Call],
    inference: SiteInference,
    config: Convert,
    *,
    key: bytes,
    progress: Progress = silent,
    detectors: Sequence[Detector] | None = None,
    prose_detectors: Sequence[Detector] = (),
    standard: StandardDetectors | None = None,
    write: Callable[[Example], None] | None = None,
    max_open: int = MAX_OPEN_EPISODES,
    restored: Container[str] = (),
    paraphraser: Paraphraser | None = None,
) -> Curated:
    """Curates a log: de-identified examples of every call at sites that do not only speak to people.

    Args:
        calls: the log; read several times, each time from the start and in the same order. Calls that S1 has not seen,
            since they came in later, are passed over.
        inference: S1's reading of it.
        config: seed, split and privacy level.
        key: 32 secret bytes; surrogates and the pseudonyms of episodes and groups are derived from it.
        progress: told of the scan.
        detectors: look at whole lines, in this process; the standard ones where None.
        prose_detectors: beside them, look at sentences only.
        standard: the standard ones, where the home adds to them; those without a home where None.
        write: takes each example as it is made, in the order of the log; the result's own list stays empty then.
        restored: ids of calls that a person put back: no filter drops them.
        paraphraser: words texts with sensitive terms anew, in train and validation: what a specialist could remember. Calibration
            and test keep the wording that the route will meet.
        max_open: episodes under way at once whose stand-ins are kept at hand; it changes memory and time, no result.

    Raises:
        MissingExtra: a package of the "privacy" extra is not installed.
    """
    warnings: list[str] = []
    has_numbers = config.privacy == "paraphrase"
    crew: WorkerPool | None = None
    if detectors is None:
        standard = standard or standard_detectors(strict=config.privacy != "standard")
        reader, crew = standard.reader(has_numbers), WorkerPool(standard.recipe, has_numbers)
        warnings += standard.warnings
    else:
        looking = [*detectors, NumberDetector()] if has_numbers else detectors
        reader = DetectorEnsemble(looking, prose_detectors, [ResidualDetector()])
    human = {s.id for s in inference.sites if s.audience == "human"}
    going_on = {id for id, site in inference.site_of.items() if site not in human}
    scanner = LineIndex(reader, WORD if config.privacy == "paranoid" else None, crew)
    with crew or contextlib.nullcontext():
        notes = take_notes(_Log(calls, inference.site_of.keys()), going_on, inference, scanner, progress)
    log, used = _Log(calls, notes.calls), list(notes.calls.values())
    withheld = [
        Withheld(call_id=id, reason="site that speaks to people only", site=site)
        for id, site in inference.site_of.items()
        if site in human
    ]
    warnings += _about_origins(notes, config.min_origins) if used else []

    group_of, warning = _groups(used)
    warnings += warning
    sides = split_groups(used, group_of, config.split, config.seed)

    has_sensitive = has_numbers or SensitiveDetector.name in reader.names
    cleaner = _Cleaner(log, notes, config, key, max_open, is_checked=has_sensitive)
    warnings += cleaner.warnings
    may_teach = {
        c.id for c in used if sides[group_of[c.id]] == "train" and not c.reason and c.id not in restored
    }
    look = _second_look(log, notes, cleaner, may_teach, config.seed, progress, restored)
    withheld += look.quarantined.values()
    if cleaner.keeps_sensitive_labels:
        warnings.append(
            "Some values that [privacy] sensitive names were left as they are: a task answers with them, again and again."
        )
    dropped = Counter(w.reason for w in withheld)
    kept = [c for c in used if c.id not in look.quarantined]

    reasons, warning = _reasons(kept, inference, group_of, sides)
    reasons = {id: reason for id, reason in reasons.items() if id not in restored}
    warnings += warning
    learnable = [c for c in kept if sides[group_of[c.id]] == "train" and c.id not in reasons]
    duplicates = find_duplicates(look.sketches[c.id] for c in learnable if c.id in look.sketches)
    reasons |= duplicates.reason
    look.sketches.clear()

    twins = _twins(kept)
    examples: list[Example] = []
    n_done, write = 0, write or examples.append
    for call in cleaner.passing(log):
        if call.id in look.quarantined:
            continue
        side = sides[group_of[call.id]]
        reason = reasons.get(call.id, "") if side in ("train", "validation") else ""
        if reason:
            dropped[reason] += 1
        clean = cleaner.cleaner_of(call)
        request = _clean_request(call, clean)
        if paraphraser is not None and side in ("train", "validation"):
            request = cleaner.worded_anew(call, request, clean, paraphraser)
        write(
            Example(
                call_id=call.id,
                request=request,
                response=rewrite_message(call.response, clean),
                audience=inference.audience_of[call.id],
                site=inference.site_of[call.id],
                episode=_pseudonym(key, "episode", call.episode or call.id),
                group=_pseudonym(key, "group", group_of[call.id]),
                origin=call.origin,
                tenant=call.tenant,
                split=side,
                trainable=not reason,
                drop_reason=reason,
                weight=duplicates.weight.get(call.id, 1.0),
                outcome=call.outcome,
                usage=call.usage,
                cost_usd=call.cost_usd,
                latency_ms=call.latency_ms,
                timestamp=call.timestamp,
                model=call.model,
                repeated_responses=[rewrite_message(look.reply(t), clean) for t in twins.get(call.id, ())],
            )
        )
        n_done += 1
        if n_done % 1000 == 0 or n_done == len(kept):
            progress("replacing personal data", n_done, len(kept))
    if paraphraser is not None and paraphraser.summary:
        warnings.append(paraphraser.summary)
    return Curated(
        examples=examples,
        sites=inference.sites,
        n_calls=len(inference.site_of),
        n_episodes=len(notes.episodes.keys() | notes.other_episodes),
        n_code_calls=sum(audience == "code" for audience in inference.audience_of.values()),
        dropped=dict(sorted(dropped.items())),
        entities=dict(sorted(cleaner.n_replaced.items())),
        warnings=warnings,
        detectors=reader.names,
        measured=standard.measured if standard else "",
        withheld=withheld,
    )


def _about_origins(notes: LogIndex, least: int) -> list[str]:
    """What it means for `min_origins` how many people the log names."""
    known = {o for traces in notes.episodes.values() for t in traces for o in t.origins}
    if least > 1 and not known:
        return [
            f"min_origins is {least}, but the log does not say who asked: runs were counted instead, and what {least} of them "
            "hold may still be of one person."
        ]
    if len(known) < least:
        return [
            f"The calls that say who asked are of {len(known)} origin(s), fewer than min_origins ({least}): nothing that only "
            "they hold is shown or trained. Where that is one program, or yourself, set min_origins = 1."
        ]
    return []


class _Log:
    """Some calls of a log, to be read again and again."""

    def __init__(self, calls: Iterable[Call], ids: Container[str]) -> None:
        if isinstance(calls, Iterator):
            raise TypeError("the log is read several times: give it as something that can start again")
        self._calls, self._ids = calls, ids

    def __iter__(self) -> Iterator[Call]:
        return (call for call in self._calls if call.id in self._ids)


def _pseudonym(key: bytes, purpose: str, value: str) -> str:
    """An id that tells equal from unequal and nothing else: raw episode and task ids often hold a person's name."""
    return hmac.new(key, f"{purpose}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[
        :16
    ]


def _groups(calls: Sequence[CallSummary]) -> tuple[dict[str, str], list[str]]:
    """call id -> group, and a warning where the log has too few groups to split by."""
    groups = joined_groups((c.id, c.group, c.episode) for c in calls)
    n_groups = len(set(groups.values()))
    if n_groups >= MIN_GROUPS or len(calls) < MIN_CALLS_TO_SPLIT:
        return groups, []
    return {c.id: c.prompt.hex() for c in calls}, [
        f"The log holds only {n_groups} episode(s) or task(s) for {len(calls):,} calls: it was split by prompt instead, "
        "so calls of one run are on both sides and the figures may be too good."
    ]


def _reasons(
    kept: Sequence[CallSummary], inference: SiteInference, group_of: dict[str, str], sides: dict[str, Split]
) -> tuple[dict[str, str], list[str]]:
    """call id -> why it may not be learnt from, over train and validation."""
    pool = [c for c in kept if sides[group_of[c.id]] in ("train", "validation")]
    reasons, warnings = outcome_reasons(pool, inference.site_of)
    reasons |= {c.id: c.reason for c in pool if c.reason}
    rest = [c for c in pool if c.id not in reasons and c.said]
    reasons |= disagreements([Labelled(c.id, c.site, c.prompt.hex(), c.near.hex(), c.said) for c in rest])
    return reasons, warnings


def _twins(calls: Sequence[CallSummary]) -> dict[str, list[str]]:
    """call id -> ids of calls of other episodes with exactly the same request."""
    same: dict[bytes, list[CallSummary]] = defaultdict(list)
    for call in calls:
        same[call.prompt].append(call)
    out: dict[str, list[str]] = {}
    for family in same.values():
        for i, call in enumerate(family):
            around = (family[(i + k) % len(family)] for k in range(1, len(family)))
            others = (c.id for c in around if c.model == call.model and c.episode != call.episode)
            if found := list(islice(others, MAX_TWINS)):
                out[call.id] = found
    return out


class _Look:
    """What the second look at a log found and kept."""

    def __init__(self) -> None:
        self.quarantined: dict[str, Withheld] = {}
        """call id -> what is left in it."""
        self.sketches: dict[str, Sketch] = {}
        """Of calls that may be duplicates of others."""
        self._replies: dict[str, bytes] = {}
        self._distinct: dict[bytes, bytes] = {}

    def keep_reply(self, call: Call) -> None:
        """Keeps a reply for those who asked the same; equal ones once."""
        data = msgspec.json.encode(call.response)
        self._replies[call.id] = self._distinct.setdefault(data, data)

    def reply(self, call_id: str) -> Message:
        """A reply that was kept."""
        reply: Message = msgspec.json.decode(self._replies[call_id])
        return reply


def _second_look(
    log: Iterable[Call],
    notes: LogIndex,
    cleaner: _Cleaner,
    may_teach: set[str],
    seed: int,
    progress: Progress,
    restored: Container[str],
) -> _Look:
    """Quarantines calls in which something personal is left (unless a person put them back), and keeps what is needed of calls that equal others."""
    look = _Look()
    alike = Counter((c.site, c.answer) for c in notes.calls.values() if c.id in may_teach)
    asked = Counter(c.prompt for c in notes.calls.values())
    minhashes: dict[bytes, Any] = {}
    for n_done, call in enumerate(cleaner.passing(log), 1):
        if call.id not in restored and (kind := cleaner.left_over(call)):
            look.quarantined[call.id] = Withheld(
                call_id=call.id,
                reason=kind if kind == LOST else f"quarantined: {kind}",
                site=notes.calls[call.id].site,
                tenant=call.tenant,
            )
        else:
            note = notes.calls[call.id]
            if call.id in may_teach and alike[note.site, note.answer] > 1:
                look.sketches[call.id] = sketch(cleaner.item(call), seed, minhashes)
            if asked[note.prompt] > 1:
                look.keep_reply(call)
        if n_done % 1000 == 0:
            progress("looking a second time", n_done, len(notes.calls))
    return look


def _clean_request(call: Call, clean: Callable[[str], str]) -> Request:
    request = call.request()
    return msgspec.structs.replace(request, messages=[rewrite_message(m, clean) for m in request.messages])


class _Cleaner:
    """Everything that was found in a log, and for each call the function that replaces it."""

    def __init__(
        self,
        log: Iterable[Call],
        notes: LogIndex,
        config: Convert,
        key: bytes,
        max_open: int,
        *,
        is_checked: bool,
    ) -> None:
        """`is_checked`: whether a call is left out where its answer would no longer follow from its prompt."""
        self._is_checked = is_checked
        self.warnings: list[str] = []
        self.keeps_sensitive_labels = False
        self.n_replaced: Counter[str] = Counter()
        """Type -> replaced spans over the distinct texts of each episode, in the last pass."""
        self._notes, self._scanner, self._key, self._max_open = notes, notes.scanner, key, max_open
        self._level: Level = config.privacy
        self._known = self._known_of(log)
        self._template_values = {site: self._template_values_of(site) for site in notes.sites}
        self._templates = {site: self._template_replacer(site) for site in notes.sites}
        self._moving = self._sites_with_moving_dates()
        self._fixed_numbers = self._sites_with_fixed_numbers()
        self._open: OrderedDict[str, Replacer] = OrderedDict()
        self._counted: dict[str, set[int]] = {}
        self._masker = self._make_masker() if config.privacy == "paranoid" else None

    def passing(self, log: Iterable[Call]) -> Iterator[Call]:
        """The calls of a log in order. While one of them is in hand, `cleaner_of` and `left_over` may be asked of it;
        what they need of an episode is given back after its last call."""
        self.n_replaced.clear()
        left = dict(self._notes.n_calls_of)
        for call in log:
            yield call
            episode = call.episode or call.id
            left[episode] -= 1
            if not left[episode]:
                self._close(episode)
        for episode in [*self._open, *self._counted]:
            self._close(episode)  # calls that were erased since the first pass are missed

    def cleaner_of(self, call: Call) -> Callable[[str], str]:
        """The function that replaces the personal data in a text of this call."""
        replacer = self._replacer_of(call)
        template = self._templates[self._site_of(call)]
        masker = self._masker
        if template is None and masker is None:
            return (lambda text: text) if replacer.is_empty else replacer

        def clean(text: str) -> str:
            text = replacer(template(text)) if template else replacer(text)
            return masker(text) if masker else text

        return clean

    def worded_anew(
        self, call: Call, request: Request, clean: Callable[[str], str], paraphraser: Paraphraser
    ) -> Request:
        """A de-identified request with the prose of its sensitive texts in other words; system prompts stay."""
        known = self._known[self._site_of(call)]
        _, copies = needed(call, known.words)
        keep = {clean(value) for value in copies}

        def is_template(line: str) -> bool:
            return f"\n{line.casefold()}\n" in known.template

        messages: list[Message] = []
        for old, new in zip(call.messages, request.messages, strict=True):
            said, text = old.get("content"), new.get("content")
            if (
                old.get("role") in ("user", "tool")
                and isinstance(said, str)
                and isinstance(text, str)
                and any(
                    f.type == "SENSITIVE"
                    for n in self._scanner.lines(said)
                    for f in self._scanner.findings(n)
                )
            ):
                new = {**new, "content": paraphraser(text, is_template, keep)}
            messages.append(new)
        return msgspec.structs.replace(request, messages=messages)

    def item(self, call: Call) -> DedupItem:
        """What dedup compares: the lines of the prompt that are not template, as they were."""
        note = self._notes.calls[call.id]
        template = self._known[note.site].lines
        varying: dict[tuple[int, int], str] = {}
        for i, text in enumerate(text for message in call.messages for text in message_strings(message)):
            if not template.issuperset(self._scanner.lines(text)):
                for number, line in self._scanner.numbered(text):
                    if number not in template:
                        varying.setdefault((i, number), line)
        return DedupItem(call.id, f"{note.site}\0{note.answer.hex()}", "\n".join(varying.values()))

    def left_over(self, call: Call) -> str | None:
        """Why a call is quarantined: the type of something that the first look missed or the rewriting left."""
        known = self._known[self._site_of(call)]
        clean = self.cleaner_of(call)
        replacer = self._replacer_of(call)
        for _, text in call_strings(call):
            for number in self._scanner.lines(text):
                for hit in self._scanner.second_findings(number):
                    if hit.value in clean(hit.value) and not (hit.type in PUBLIC and known.holds(hit.value)):
                        return hit.type
            if not replacer.is_empty and (kind := replacer.leaks(rewrite_text(text, clean))):
                return kind
        if self._is_checked and not keeps_what_is_needed(call, clean, known.words):
            return LOST
        return None

    def _site_of(self, call: Call) -> str:
        return self._notes.calls[call.id].site

    def _replacer_of(self, call: Call) -> Replacer:
        """The replacer of the call's episode, made when its first call comes by."""
        episode = call.episode or call.id
        replacer = self._open.get(episode)
        if replacer is None:
            if len(self._open) >= self._max_open:
                self._park(*self._open.popitem(last=False))
            replacer = self._replacer(episode)
            replacer.counted = self._counted.get(episode, set())
            self._open[episode] = replacer
        self._open.move_to_end(episode)
        return replacer

    def _park(self, episode: str, replacer: Replacer) -> None:
        """Gives back a replacer that will be needed again; what it has counted is not counted again."""
        replacer.forget_texts()
        self._counted[episode] = replacer.counted
        self.n_replaced += replacer.n_replaced

    def _close(self, episode: str) -> None:
        replacer = self._open.pop(episode, None)
        if replacer is not None:
            self.n_replaced += replacer.n_replaced
        self._counted.pop(episode, None)

    def _known_of(self, log: Iterable[Call]) -> dict[str, SiteVocabulary]:
        """site -> its words."""
        n_lines = self._scanner.n_lines
        lines = {
            site: template_lines(self._notes.traces_at(site), notes.n_calls, n_lines)
            for site, notes in self._notes.sites.items()
        }
        texts = texts_of_lines(log, set().union(*lines.values()), self._scanner)
        return {site: known_words(notes, lines[site], texts) for site, notes in self._notes.sites.items()}

    def _make_masker(self) -> Masker:
        places = (EpisodeLines.SYSTEM, EpisodeLines.PROMPT, EpisodeLines.REPLY)
        episodes = self._notes.episodes
        n_origins = len({o for traces in episodes.values() for trace in traces for o in trace.origins})
        # a person is an origin where the log tells enough of them apart, else an episode
        people: dict[tuple[bool, str], list[EpisodeLines]] = defaultdict(list)
        for episode, traces in episodes.items():
            origin = (
                next((o for trace in traces for o in trace.origins), "") if n_origins >= MIN_ORIGINS else ""
            )
            people[bool(origin), origin or episode] += traces
        words = (
            {word for trace in traces for n in trace.lines(*places) for word in self._scanner.words(n)}
            for traces in people.values()
        )
        personal = {
            word
            for n in range(self._scanner.n_lines)
            for finding in self._scanner.findings(n)
            for word in map(str.casefold, WORD.findall(finding.value))
            if not self._scanner.is_ordinary(word)
        }
        return Masker(words, self._known.values(), personal)

    def _template_values_of(self, site: str) -> frozenset[tuple[str, str]]:
        """What a prompt template may not keep: secrets, and numbers that are a person's wherever they stand."""
        known = [self._known[site]]
        findings = (f for n in self._known[site].lines for f in self._scanner.findings(n))
        found = {(f.type, f.value) for f in findings if not self._is_label(f, known)}
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

    def _sites_with_moving_dates(self) -> set[str]:
        sites = self._notes.sites
        fixed = [s for s, notes in sites.items() if self._known[s].has_date or not notes.dates_are_copied]
        if fixed:
            self.warnings.append(
                f"Dates other than dates of birth were left as they are at {len(fixed)} site(s): the prompt template "
                "fixes a date, or replies hold dates that were worked out, not copied."
            )
        return sites.keys() - set(fixed)

    def _sites_with_fixed_numbers(self) -> set[str]:
        if self._level != "paraphrase":
            return set()
        fixed = {s for s, notes in self._notes.sites.items() if not notes.numbers_are_copied}
        if fixed:
            self.warnings.append(
                f"Numbers were left as they are at {len(fixed)} site(s): replies there hold numbers that were worked out, "
                "not copied."
            )
        return fixed

    def _replacer(self, episode: str) -> Replacer:
        traces = self._notes.episodes[episode]
        sites = {trace.site for trace in traces}
        known = [self._known[s] for s in sites]
        constant = frozenset().union(*(self._template_values[s] for s in sites))
        lines = set().union(
            *(t.lines(EpisodeLines.SYSTEM, EpisodeLines.PROMPT, EpisodeLines.REPLY) for t in traces)
        )
        found: set[tuple[str, str]] = set()
        has_date = False
        for finding in (f for n in lines for f in self._scanner.findings(n)):
            if finding.type == "DATE_TIME":
                # "May 20th" says little of anyone; such dates move only where others do
                has_date = has_date or any(d.has_year for d in find_dates(finding.value))
            elif finding.type == "AMOUNT" and sites & self._fixed_numbers:
                continue
            elif self._is_personal(finding, known) and (finding.type, finding.value) not in constant:
                found.add((finding.type, finding.value))
        origins = {origin for trace in traces for origin in trace.origins}
        subject = episode_key(self._key, f"origin:{origins.pop()}") if len(origins) == 1 else None
        return Replacer(
            found,
            Surrogates(episode_key(self._key, episode), subject),
            self._ordinary_at(known),
            shift_all_dates=has_date and sites <= self._moving,
        )

    def _is_personal(self, finding: Finding, known: Sequence[SiteVocabulary]) -> bool:
        """Whether a finding is to be replaced: of a wanted type, no word of the application, and if unsure no idiom."""
        if not is_replaced(finding.type, self._level):
            return False
        if finding.type in PUBLIC and any(k.holds(finding.value) for k in known):
            return False
        if self._is_label(finding, known):
            return False
        unsure = finding.type == "PERSON" and finding.score <= UNSURE_SCORE
        return not (unsure and any(self._scanner.is_ordinary(w) for w in finding.value.split()))

    def _is_label(self, finding: Finding, known: Sequence[SiteVocabulary]) -> bool:
        """Whether a sensitive value is one of the task's own answers: with a stand-in for it nothing could be learnt."""
        if finding.type != "SENSITIVE":
            return False
        is_label = any(finding.value.casefold().strip() in k.words for k in known)
        self.keeps_sensitive_labels |= is_label
        return is_label

    def _ordinary_at(self, known: Sequence[SiteVocabulary]) -> Callable[[str], bool]:
        return lambda word: self._scanner.is_ordinary(word) or any(k.holds(word) for k in known)
