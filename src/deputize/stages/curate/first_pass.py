"""What S2 keeps in mind of a log between its passes over it: ids, digests, counts and findings, never whole texts.

A log may be larger than memory, so it is read several times, call by call. The first pass scans it and takes these
notes; what later passes need of other calls than the one in hand is in them.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from datetime import date
from functools import lru_cache

import msgspec

from deputize.core.artifacts import SiteInference
from deputize.core.contracts import fold, text_of, tool_calls_of
from deputize.core.progress import Progress, silent
from deputize.core.records import Call, Message, Outcome
from deputize.privacy.call_texts import call_strings, message_strings
from deputize.privacy.dates import find_dates
from deputize.privacy.replace.allowlist import EpisodeLines, SiteStatistics
from deputize.privacy.scan.line_index import LineIndex
from deputize.stages.curate.filters import first_reason

_AROUND_WORDS = ".,;:!?\"'`()[]*"


class CallSummary(msgspec.Struct, frozen=True, gc=False):
    """One call without its texts."""

    id: str
    site: str
    agent: str
    episode: str
    group: str
    """The call's group, else its episode, else itself."""
    model: str
    timestamp: float | None
    outcome: Outcome | None
    reason: str
    """Why it may not be learnt from, as far as the call itself says; "" where nothing speaks against it."""
    prompt: bytes
    """Digest: equal for exactly equal requests."""
    near: bytes
    """Digest: equal for requests that differ in case, white space and punctuation around words only."""
    answer: bytes
    """Digest: equal for equal answers."""
    said: str
    """Digest of a reply's text without regard to white space, "" for tool calls."""


class LogIndex:
    """The notes of a log."""

    def __init__(self, scanner: LineIndex) -> None:
        self.scanner = scanner
        self.calls: dict[str, CallSummary] = {}
        """By call id, in the order of the log."""
        self.sites: dict[str, SiteStatistics] = defaultdict(SiteStatistics)
        self.episodes: dict[str, list[EpisodeLines]] = defaultdict(list)
        """By episode; a call without one is an episode of its own."""
        self.other_episodes: set[str] = set()
        """Episodes of calls that do not go on."""
        self.n_calls_of: dict[str, int] = defaultdict(int)
        """Calls of each episode."""

    def add(self, call: Call, site: str, is_judged: bool) -> None:
        """Takes note of a call; `is_judged`: whether its reply is held against what code expects."""
        group = call.group or call.episode or call.id
        self.calls[call.id] = CallSummary(
            id=call.id,
            site=site,
            agent=call.agent,
            episode=call.episode,
            group=group,
            model=call.model,
            timestamp=call.timestamp,
            outcome=call.outcome,
            reason=first_reason(call) if is_judged else "",
            prompt=_digest(_prompt_key(call)),
            near=_near_digest(call),
            answer=_digest(_answer_key(call.response)),
            said=""
            if call.response.get("tool_calls")
            else _digest(_utf8(fold(text_of(call.response)))).hex(),
        )
        self.sites[site].add(call, _days)
        episode = call.episode or call.id
        self.n_calls_of[episode] += 1
        trace = self._trace(episode, site, group)
        if call.origin and call.origin not in trace.origins:
            trace.origins = (*trace.origins, call.origin)
        for message in call.messages:
            place = (
                EpisodeLines.SYSTEM if message.get("role") in ("system", "developer") else EpisodeLines.PROMPT
            )
            for text in message_strings(message):
                trace.add(place, self.scanner.add(text))
        for text in message_strings(call.response):
            trace.add(EpisodeLines.REPLY, self.scanner.add(text))

    def traces_at(self, site: str) -> Iterator[EpisodeLines]:
        """The traces of one site, over all episodes."""
        return (trace for traces in self.episodes.values() for trace in traces if trace.site == site)

    def _trace(self, episode: str, site: str, group: str) -> EpisodeLines:
        for trace in self.episodes[episode]:
            if trace.site == site and trace.group == group:
                return trace
        self.episodes[episode].append(trace := EpisodeLines(site, group))
        return trace


def take_notes(
    calls: Iterable[Call],
    going_on: Container[str],
    inference: SiteInference,
    scanner: LineIndex,
    progress: Progress = silent,
) -> LogIndex:
    """The notes of the calls, all of which have been scanned then.

    Args:
        calls: the log.
        going_on: ids of the calls to look at.
        inference: sites and audiences.
        scanner: takes the texts.
        progress: told of the scan.
    """
    notes = LogIndex(scanner)
    total = len(inference.site_of)
    n_done = 0
    for n_done, call in enumerate(calls, 1):
        if call.id in going_on:
            is_judged = call.aborted or inference.audience_of[call.id] == "code"
            notes.add(call, inference.site_of[call.id], is_judged)
        else:
            notes.other_episodes.add(call.episode or call.id)
        if n_done % 500 == 0:
            progress("looking for personal data", n_done, total)
    scanner.scan()
    progress("looking for personal data", n_done, n_done)
    return notes


def texts_of_lines(calls: Iterable[Call], numbers: Iterable[int], scanner: LineIndex) -> dict[int, str]:
    """The text of some lines by their numbers; reads no further than the last one of them is met."""
    missing = set(numbers)
    found: dict[int, str] = {}
    for call in calls if missing else ():
        for _, text in call_strings(call):
            if missing.isdisjoint(scanner.lines(text)):
                continue
            for number, line in scanner.numbered(text):
                if number in missing:
                    found[number] = line
                    missing.discard(number)
        if not missing:
            break
    return found


def _prompt_key(call: Call) -> bytes:
    shown = (call.agent, call.site, call.messages, call.tools, call.response_format, call.tool_choice)
    return msgspec.json.encode(shown)


def _near_digest(call: Call) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for message in call.messages:
        for text in message_strings(message):
            words = (word.strip(_AROUND_WORDS) for word in text.casefold().split())
            digest.update(_utf8(" ".join(filter(None, words)) + "\0"))
    return digest.digest()


def _answer_key(response: Message) -> bytes:
    calls = tool_calls_of(response)
    if calls:
        return _utf8(json.dumps(calls, sort_keys=True, default=str))
    return _utf8(text_of(response).strip())


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


@lru_cache(maxsize=4096)
def _days(text: str) -> frozenset[date]:
    return frozenset(d.day for d in find_dates(text))
