"""Curation (stage S2): de-identifies calls, decides which are fit for training, and assigns them to train, validation,
calibration and test.

The log is read four times, call by call, and is never in memory as a whole: to scan and summarise it, to find the text
of the prompt templates, to verify that nothing personal is left, and to write the examples.

References:
    Belcak et al. 2025, arXiv 2506.02153, section 6, step S2.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from threadpoolctl import threadpool_limits

from deputize.core.artifacts import LINKED, Curated, EpisodeLinks, SiteInference, Withheld
from deputize.core.config import Convert
from deputize.core.progress import Progress, silent
from deputize.core.records import Call, Example, Split
from deputize.privacy.deidentify import MAX_OPEN_EPISODES, Deidentifier, DeidentifyOptions
from deputize.privacy.detectors.sensitive_terms import SensitiveDetector
from deputize.privacy.replace.mask import WORD
from deputize.privacy.replace.paraphrase import Paraphraser
from deputize.privacy.replace.replacement_policy import ReplacementPolicy, policy_of
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.scanned_log import episode_of
from deputize.privacy.standard_detectors import DetectorSet, standard_detectors
from deputize.runner.base import Runner
from deputize.stages.curate.dedup import find_duplicates
from deputize.stages.curate.filters import ComparedReply, disagreements, outcome_reasons
from deputize.stages.curate.first_pass import CallSummary, LogIndex, read_log
from deputize.stages.curate.groups import Splits, split_calls
from deputize.stages.curate.reply_logprobs import reply_logprobs
from deputize.stages.curate.traffic_sample import TrafficSample
from deputize.stages.curate.verify import VerifiedLog, verify

MAX_REPEATED_SAMPLES = 4
TRAINING_SPLITS: tuple[Split, ...] = ("train", "validation")
"""The splits that filters drop calls from, and that are paraphrased: those that a specialist could memorise."""


class CurateOptions(NamedTuple):
    """Further options of a run."""

    restored: frozenset[str] = frozenset()
    """Ids of calls that a person has put back: no filter drops them."""
    paraphraser: Paraphraser | None = None
    """Paraphrases texts with sensitive terms in TRAINING_SPLITS; calibration and test keep the wording of the
    traffic."""
    max_open_episodes: int = MAX_OPEN_EPISODES
    """Episodes whose surrogates are kept in memory at once; it changes memory and time, no result."""
    links: EpisodeLinks | None = None
    """Episodes of calls of which the log does not name one; None: nobody looked for them."""
    traffic: TrafficSample = TrafficSample()
    """The calls that have the composition of the traffic; the default: all."""
    runner: Runner | None = None
    """Has the workers that look for personal data; None: this machine."""


def run(
    calls: Iterable[Call],
    inference: SiteInference,
    config: Convert,
    *,
    key: bytes,
    progress: Progress = silent,
    detectors: DetectorSet | None = None,
    write: Callable[[Example], None] | None = None,
    options: CurateOptions | None = None,
) -> Curated:
    """Curates a log: de-identified examples of every call at sites that do not only speak to people.

    Args:
        calls: the log; read several times. Calls that are not in `inference`, as they were recorded later, are ignored.
        inference: the sites of the log, from collection.
        config: seed, split and privacy level.
        key: 32 secret bytes, from which surrogates and pseudonyms are derived.
        progress: called during each pass.
        detectors: of personal data; None: the standard ones, without what a home adds.
        write: takes each example in the order of the log; the result has no examples then.
        options: further options; None: the defaults.

    Raises:
        MissingExtra: a package of the "privacy" extra is not installed.
        TypeError: `calls` is an iterator, which can be read once only.
    """
    policy, options = policy_of(config.privacy), options or CurateOptions()
    detectors = detectors or standard_detectors(policy)
    links = options.links
    linked = LinkedLog(ReplayableLog(calls, inference.site_of), links.episode_of if links else {})
    index = _scan(linked, inference, policy, detectors, progress, options.runner)
    log, summaries = ReplayableLog(linked, index.calls), list(index.calls.values())
    splits = split_calls(summaries, list(index.others.values()), config, options.traffic.training_only)
    deidentifier = _deidentifier(log, index, policy, key, detectors, options)
    candidates = {c.id for c in summaries if splits.of(c) == "train" and not c.reason} - options.restored
    verified = verify(log, index, deidentifier, candidates, options.restored, config.seed, progress)
    not_quarantined = [c for c in summaries if c.id not in verified.quarantined]
    kept = [c for c in not_quarantined if splits.of(c)]
    fitness = _judge(kept, inference, splits, verified, options.restored)
    repeated = _repeated_samples(summaries, options.traffic.repeated)
    maker = _ExampleMaker(inference, deidentifier, splits, fitness, repeated)
    examples: list[Example] = []
    for n_done, call in enumerate(deidentifier.passing(ReplayableLog(log, {c.id for c in kept})), 1):
        (write or examples.append)(maker.make(call, key, options.paraphraser))
        if n_done % 1000 == 0 or n_done == len(kept):
            progress("replacing personal data", n_done, len(kept))
    left_out = (*_calls_for_people(inference), *verified.quarantined.values())
    left_out = (*left_out, *_beyond_traffic(not_quarantined, splits))
    withheld = [_placed(w, index, inference, splits, repeated, key) for w in left_out]
    head = _head(inference, index, deidentifier, withheld, maker.n_dropped, links, splits)
    warnings = [*detectors.warnings, *_origin_warnings(index, config.min_origins), *head.warnings]
    warnings += [*fitness.warnings, *_option_warnings(options)]
    names, measured = detectors.ensemble(policy).names, detectors.measured
    return msgspec.structs.replace(
        head, examples=examples, warnings=warnings, detectors=names, tagger_recall=measured
    )


def _deidentifier(
    log: Iterable[Call],
    index: LogIndex,
    policy: ReplacementPolicy,
    key: bytes,
    detectors: DetectorSet,
    options: CurateOptions,
) -> Deidentifier:
    """The replacement of what was found in a log; answers are checked where it may take what they need."""
    return Deidentifier(
        log,
        index.scanned,
        policy,
        key=key,
        checks_answers=policy.replaces_numbers or SensitiveDetector.name in detectors.names,
        max_open=options.max_open_episodes,
        confirmed=detectors.confirmed,
        options=DeidentifyOptions(detectors.unmeasured, detectors.pseudonyms),
    )


def _head(
    inference: SiteInference,
    index: LogIndex,
    deidentifier: Deidentifier,
    withheld: list[Withheld],
    n_dropped: Counter[str],
    links: EpisodeLinks | None,
    splits: Splits,
) -> Curated:
    """The result but for the examples, the names of the detectors, and warnings other than of splits and
    replacement."""
    return Curated(
        examples=[],
        sites=inference.sites,
        n_calls=len(inference.site_of),
        n_episodes=index.n_episodes,
        n_code_calls=sum(audience == "code" for audience in inference.audience_of.values()),
        dropped=dict(sorted((Counter(w.reason for w in withheld) + n_dropped).items())),
        entities=dict(sorted(deidentifier.n_replaced.items())),
        replaced_segments=sorted(deidentifier.replaced_segments),
        linked_by={by: n for by, n in links.linked_by.items() if n} if links else {},
        n_linked=len(links.episode_of) if links else 0,
        n_groups_joined=splits.n_groups_joined,
        linkage=links.basis if links else "",
        n_people=splits.n_people,
        split_by_person=splits.by_person,
        warnings=[*splits.warnings, *deidentifier.warnings],
        withheld=withheld,
    )


class ReplayableLog:
    """The calls of a log that have one of some ids, read again for each pass."""

    def __init__(self, calls: Iterable[Call], ids: Container[str]) -> None:
        if isinstance(calls, Iterator):
            raise TypeError(
                "the log is read several times: pass an iterable that can start again, not an iterator"
            )
        self._calls, self._ids = calls, ids

    def __iter__(self) -> Iterator[Call]:
        return (call for call in self._calls if call.id in self._ids)


class LinkedLog:
    """The calls of a log with the episodes that were found; read again for each pass."""

    def __init__(self, calls: Iterable[Call], episode_of: Mapping[str, str]) -> None:
        self._calls, self._episode_of = calls, episode_of

    def __iter__(self) -> Iterator[Call]:
        for call in self._calls:
            episode = self._episode_of.get(call.id)
            yield call if episode is None else msgspec.structs.replace(call, episode=episode)


class _Fitness(NamedTuple):
    """The calls that are fit for training, by exclusion."""

    reasons: dict[str, str]
    """Call id -> why it is not fit."""
    weight: dict[str, float]
    """Call id -> 1 + the number of its duplicates, where it has some."""
    warnings: list[str]


def _scan(
    calls: Iterable[Call],
    inference: SiteInference,
    policy: ReplacementPolicy,
    detectors: DetectorSet,
    progress: Progress,
    runner: Runner | None,
) -> LogIndex:
    """The first pass, with further workers for a large log.

    Matrices are multiplied by one thread: those of the tagger are small, and the other cores belong to the workers.
    """
    with (
        threadpool_limits(1, user_api="blas"),
        detectors.worker_pool(policy, runner) or contextlib.nullcontext() as pool,
    ):
        line_index = LineIndex(detectors.ensemble(policy), WORD if policy.masks_unknown_words else None, pool)
        return read_log(calls, inference, line_index, progress)


def _placed(
    withheld: Withheld,
    index: LogIndex,
    inference: SiteInference,
    splits: Splits,
    repeated: Mapping[str, Sequence[str]],
    key: bytes,
) -> Withheld:
    """A withheld call with its place in the split, so that it is calibrated and tested on like any other."""
    summary = index.calls.get(withheld.call_id) or index.others.get(withheld.call_id)
    if summary is None:
        return withheld
    return msgspec.structs.replace(
        withheld,
        audience=inference.audience_of[summary.id],
        episode=_pseudonym(key, "episode", summary.episode or summary.id),
        group=_pseudonym(key, "group", splits.group_of[summary.id]),
        split=splits.of(summary),
        repeated=list(repeated.get(summary.id, ())),
    )


def _judge(
    kept: Sequence[CallSummary],
    inference: SiteInference,
    splits: Splits,
    verified: VerifiedLog,
    restored: Container[str],
) -> _Fitness:
    """Decides which calls that were not quarantined are fit for training; a restored call always is."""
    pool = [c for c in kept if splits.of(c) in TRAINING_SPLITS]
    reasons, warnings = outcome_reasons(pool, inference.site_of)
    reasons |= {c.id: c.reason for c in pool if c.reason}
    replies = [
        ComparedReply(c.id, c.site, c.prompt.hex(), c.near_prompt.hex(), c.reply_text)
        for c in pool
        if c.id not in reasons and c.reply_text
    ]
    reasons |= disagreements(replies)
    reasons = {id: reason for id, reason in reasons.items() if id not in restored}
    fit = [c for c in pool if splits.of(c) == "train" and c.id not in reasons]
    duplicates = find_duplicates(verified.sketches[c.id] for c in fit if c.id in verified.sketches)
    verified.sketches.clear()
    return _Fitness(reasons | duplicates.reason, duplicates.weight, warnings)


def _beyond_traffic(calls: Sequence[CallSummary], splits: Splits) -> Iterator[Withheld]:
    """The calls that the sample of the traffic leaves out and that are too new for training."""
    reason = "more calls left to the LLM than the traffic has"
    return (Withheld(call_id=c.id, reason=reason, site=c.site) for c in calls if not splits.of(c))


def _option_warnings(options: CurateOptions) -> list[str]:
    return [*_paraphrase_warnings(options.paraphraser), *_override_warnings(options.traffic)]


def _override_warnings(traffic: TrafficSample) -> list[str]:
    if not traffic.n_overridden:
        return []
    return [
        f"{traffic.n_overridden:,} call(s) went to the LLM because their caller asked for it (x-deputize-route: llm). They "
        "are trained on, and certificates are not about their like."
    ]


def _repeated_samples(
    calls: Sequence[CallSummary], audits: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Call id -> ids of other calls with exactly the same request to the same model.

    Neither of two equal requests holds the other's reply, so they are not steps of each other. Calls of one episode
    that the log names are left out all the same: its agent may have asked again because of the first answer.

    Args:
        calls: the calls that are curated.
        audits: id of an audit -> ids of the LLM's further answers to it, which are not among the calls.
    """
    # most prompts are asked once: only the others get a list
    first: dict[bytes, CallSummary] = {}
    same_prompt: dict[bytes, list[CallSummary]] = {}
    for call in calls:
        if (one := first.setdefault(call.prompt, call)) is not call:
            same_prompt.setdefault(call.prompt, [one]).append(call)
    out: dict[str, list[str]] = {}
    for group in same_prompt.values():
        for i, call in enumerate(group):
            following = (group[(i + k) % len(group)] for k in range(1, len(group)))
            others = (c.id for c in following if c.model == call.model and not _of_one_run(c, call))
            if found := list(islice(others, MAX_REPEATED_SAMPLES)):
                out[call.id] = found
    for id, second in audits.items():
        out[id] = [*second, *out.get(id, ())][:MAX_REPEATED_SAMPLES]
    return out


def _of_one_run(one: CallSummary, other: CallSummary) -> bool:
    """True where the log itself says that two calls are of one episode."""
    return one.episode == other.episode != "" and not one.episode.startswith(LINKED)


class _ExampleMaker:
    """Makes the example of a call from what the passes before found."""

    def __init__(
        self,
        inference: SiteInference,
        deidentifier: Deidentifier,
        splits: Splits,
        fitness: _Fitness,
        repeated: Mapping[str, Sequence[str]],
    ) -> None:
        self._inference, self._deidentifier = inference, deidentifier
        self._splits, self._fitness, self._repeated = splits, fitness, repeated
        self.n_dropped: Counter[str] = Counter()
        """Reason -> calls that are not fit for training."""

    def make(self, call: Call, key: bytes, paraphraser: Paraphraser | None) -> Example:
        """The example of a call, which must be the current one of the deidentifier's pass."""
        split = self._splits.of(call)
        is_training = split in TRAINING_SPLITS
        reason = self._fitness.reasons.get(call.id, "") if is_training else ""
        if reason:
            self.n_dropped[reason] += 1
        if paraphraser is not None and is_training:
            request = self._deidentifier.paraphrased_request(call, paraphraser)
        else:
            request = self._deidentifier.request_of(call)
        response = self._deidentifier.response_of(call)
        return Example(
            call_id=call.id,
            request=request,
            response=response,
            logprobs=reply_logprobs(call, response) if is_training else [],
            audience=self._inference.audience_of[call.id],
            site=self._inference.site_of[call.id],
            episode=_pseudonym(key, "episode", episode_of(call)),
            group=_pseudonym(key, "group", self._splits.group_of[call.id]),
            origin=call.origin,
            tenant=call.tenant,
            split=split,
            trainable=not reason,
            drop_reason=reason,
            weight=self._fitness.weight.get(call.id, 1.0),
            outcome=call.outcome,
            usage=call.usage,
            cost_usd=call.cost_usd,
            latency_ms=call.latency_ms,
            timestamp=call.timestamp,
            model=call.model,
            repeated=list(self._repeated.get(call.id, ())),
            training_only=call.id in self._splits.training_only,
        )


def _calls_for_people(inference: SiteInference) -> list[Withheld]:
    """The calls at sites that only speak to people; they are not curated."""
    human = {s.id for s in inference.sites if s.audience == "human"}
    return [
        Withheld(call_id=id, reason="site that speaks to people only", site=site)
        for id, site in inference.site_of.items()
        if site in human
    ]


def _origin_warnings(index: LogIndex, min_origins: int) -> list[str]:
    """Warnings about what the number of known origins in the log means for `min_origins`."""
    if not index.calls:
        return []
    n_origins = len(index.scanned.origins())
    if min_origins > 1 and not n_origins:
        return [
            f"min_origins is {min_origins}, but the log does not say who asked. Episodes were counted instead, and what "
            f"{min_origins} of them hold may still be of one person."
        ]
    if n_origins < min_origins:
        return [
            f"The calls that say who asked are of {n_origins} origin(s), fewer than min_origins ({min_origins}): nothing "
            "that only they hold is shown or used for training. If that is one program, or yourself, set min_origins = 1."
        ]
    return []


def _paraphrase_warnings(paraphraser: Paraphraser | None) -> list[str]:
    """Report of the paraphrasing, where there was any."""
    return [paraphraser.summary] if paraphraser is not None and paraphraser.summary else []


def _pseudonym(key: bytes, purpose: str, value: str) -> str:
    """An id that is equal for equal values and says nothing else: raw ids of episodes and tasks often hold a name."""
    message = f"{purpose}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:16]
