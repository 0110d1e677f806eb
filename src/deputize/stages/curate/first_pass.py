"""The first pass over a log: scans its texts and summarises its calls, so that later passes know all calls at once.

A log may be larger than memory, so it is read several times, call by call. What is kept of it are ids, digests, counts
and findings, never whole texts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from sys import intern

import msgspec

from deputize.core.artifacts import SiteInference
from deputize.core.contracts import fold, text_of, tool_calls_of
from deputize.core.progress import Progress, silent
from deputize.core.records import Call, Message, Outcome
from deputize.privacy.call_texts import message_strings
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.scanned_log import ScannedLog, episode_of
from deputize.stages.curate.filters import first_reason

_PUNCTUATION = ".,;:!?\"'`()[]*"
_MOMENT = re.compile(
    r"\b(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:t\d[\d:.]*z?)?|\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?z?|\d{9,}"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"
)
"""Dates, times, long numbers and UUIDs: what differs between two runs of one job."""
MIN_REPEAT_CHARS = 16
"""Two people write the same shorter text by chance, so that it joins nothing."""


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
    """Why it is not fit for training, as far as the call itself shows; "" where it is fit."""
    origin: str
    """Pseudonym of who asked; "" where the log does not say."""
    digests: bytes
    """Five in one, for there is a summary of each call of a log."""
    has_text: bool
    """It answers with a text, and not with tool calls."""

    @property
    def prompt(self) -> bytes:
        """Digest: equal for exactly equal requests."""
        return self.digests[:16]

    @property
    def near_prompt(self) -> bytes:
        """Digest: equal for requests that differ in case, white space and punctuation around words only."""
        return self.digests[16:32]

    @property
    def answer(self) -> bytes:
        """Digest: equal for equal answers."""
        return self.digests[32:48]

    @property
    def reply_text(self) -> str:
        """Digest of a reply's text without regard to white space and case; "" for tool calls."""
        return self.digests[48:64].hex() if self.has_text else ""

    @property
    def repeat_key(self) -> bytes:
        """Digest: equal for requests that a retry or a scheduled job repeats, with other dates, times and ids; b""
        where the text of the request is too short to tell."""
        return self.digests[64:]


class LogIndex:
    """Summary of a log that the first pass keeps."""

    def __init__(self, scanned: ScannedLog) -> None:
        self.scanned = scanned
        self.calls: dict[str, CallSummary] = {}
        """By call id, in the order of the log."""
        self.others: dict[str, CallSummary] = {}
        """The same of calls that are not curated: those at sites that only speak to people."""
        self.other_episodes: set[str] = set()
        """Episodes of calls that are not curated."""

    @property
    def n_episodes(self) -> int:
        """Episodes of the whole log."""
        return len(self.scanned.episodes.keys() | self.other_episodes)


def summarise(call: Call, site: str, reason: str) -> CallSummary:
    """The summary of a call at a site; `reason` says why it is not fit for training, "" where it is."""
    is_tool_call = bool(call.response.get("tool_calls"))
    return CallSummary(
        id=call.id,
        site=site,
        agent=intern(call.agent),  # names that many calls have are kept once
        episode=call.episode,
        group=call.group or call.episode or call.id,
        model=intern(call.model),
        timestamp=call.timestamp,
        outcome=call.outcome,
        reason=reason,
        origin=intern(call.origin),
        digests=b"".join(
            (
                _digest(_prompt_key(call)),
                _near_digest(call),
                _digest(_answer_key(call.response)),
                _digest(_utf8(fold(text_of(call.response)))),
                _repeat_key(call),
            )
        ),
        has_text=not is_tool_call,
    )


def read_log(
    calls: Iterable[Call], inference: SiteInference, line_index: LineIndex, progress: Progress = silent
) -> LogIndex:
    """Reads and scans a log.

    Args:
        calls: the log.
        inference: sites and audiences; calls at sites that only speak to people are not curated.
        line_index: takes the texts.
        progress: called during the scan.
    """
    human_sites = {site.id for site in inference.sites if site.audience == "human"}
    index = LogIndex(ScannedLog(line_index, inference.site_of))
    total = len(inference.site_of)
    n_done = 0
    for n_done, call in enumerate(calls, 1):
        site = inference.site_of[call.id]
        if site in human_sites:
            index.other_episodes.add(episode_of(call))
            index.others[call.id] = summarise(call, site, "")
        else:
            # replies to people are not held against what code expects
            is_judged = call.aborted or not call.response or inference.audience_of[call.id] == "code"
            index.calls[call.id] = summarise(call, site, first_reason(call) if is_judged else "")
            index.scanned.add(call)
        if n_done % 500 == 0:
            progress("looking for personal data", n_done, total)
    line_index.scan()
    progress("looking for personal data", n_done, n_done)
    return index


def _prompt_key(call: Call) -> bytes:
    shown = (call.agent, call.site, call.messages, call.tools, call.response_format, call.tool_choice)
    return msgspec.json.encode(shown)


def _near_digest(call: Call) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for message in call.messages:
        for text in message_strings(message):
            digest.update(_utf8(_words(text.casefold()) + "\0"))
    return digest.digest()


def _repeat_key(call: Call) -> bytes:
    digest, n_chars = hashlib.blake2b(digest_size=8), 0
    for message in call.messages:
        for text in message_strings(message):
            words = _words(_MOMENT.sub("#", text.casefold()))
            digest.update(_utf8(words + "\0"))
            n_chars += 0 if message.get("role") in ("system", "developer") else len(words)
    return digest.digest() if n_chars >= MIN_REPEAT_CHARS else b""


def _words(text: str) -> str:
    return " ".join(filter(None, (word.strip(_PUNCTUATION) for word in text.split())))


def _answer_key(response: Message) -> bytes:
    calls = tool_calls_of(response)
    if calls:
        return _utf8(json.dumps(calls, sort_keys=True, default=str))
    return _utf8(text_of(response).strip())


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
