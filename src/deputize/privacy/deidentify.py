"""De-identifies the calls of a scanned log: replaces, masks and paraphrases, and checks what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

from deputize.core.records import Call, Message, Request
from deputize.privacy.call_texts import call_strings, rewrite_messages, rewrite_schema, rewrite_text
from deputize.privacy.entity_types import PUBLIC, UNMEASURED
from deputize.privacy.replace.allowlist import SiteVocabulary
from deputize.privacy.replace.answer_values import answer_still_follows, answer_values, labels_are_kept
from deputize.privacy.replace.episode_replacers import EpisodeReplacers
from deputize.privacy.replace.finding_filter import FindingFilter
from deputize.privacy.replace.mask import make_masker
from deputize.privacy.replace.paraphrase import Paraphraser
from deputize.privacy.replace.replacement_policy import ReplacementPolicy
from deputize.privacy.replace.site_plan import plan_sites
from deputize.privacy.replace.surrogate_keys import SurrogateKeys
from deputize.privacy.replace.unmeasured_words import language_warnings, shared_words
from deputize.privacy.scan.scanned_log import ScannedLog

MAX_OPEN_EPISODES = 2000
ANSWER_LOST = "replacing lost what the answer needs"
"""Why a call is quarantined whose answer would no longer follow from its prompt."""

Change = Callable[[str], str]
UNMEASURED_LANGUAGE = "language without a measured recall of personal data"
"""Why a call is quarantined where [privacy] unmeasured says so."""


class DeidentifyOptions(NamedTuple):
    """`[privacy]` as far as replacing is concerned."""

    unmeasured: Literal["quarantine", "mask", "keep"] = "mask"
    """What happens to lines in languages without a measured recall."""
    pseudonyms: Literal["episode", "tenant"] = "episode"
    """The corpus in which a person has one pseudonym."""


STANDARD = DeidentifyOptions()


class Deidentifier:
    """The replacement of everything that was found in a log."""

    def __init__(
        self,
        log: Iterable[Call],
        scanned: ScannedLog,
        policy: ReplacementPolicy,
        *,
        key: bytes,
        checks_answers: bool,
        max_open: int = MAX_OPEN_EPISODES,
        confirmed: Collection[str] = (),
        options: DeidentifyOptions = STANDARD,
    ) -> None:
        """
        Args:
            log: the calls of `scanned`; read for the text of the prompt templates.
            scanned: the log after its first pass.
            policy: what is replaced.
            key: 32 secret bytes, from which surrogates are derived.
            checks_answers: whether a call is quarantined whose answer would no longer follow from its prompt.
            max_open: episodes whose surrogates are kept in memory at once; it changes memory and time, no result.
            confirmed: values that a person has confirmed to be the application's own; they are not replaced.
            options: further ones.
        """
        self._scanned, self._checks_answers, self._unmeasured = scanned, checks_answers, options.unmeasured
        shared = shared_words(scanned) if options.unmeasured == "mask" else frozenset()
        self._findings = FindingFilter(policy, scanned.line_index, confirmed, shared)
        tenants = frozenset(scanned.tenant_of.values())
        per_tenant = options.pseudonyms == "tenant"
        keys = SurrogateKeys(key, scanned.tenant_of.__getitem__ if per_tenant else None, tenants)
        self._plans, self._warnings = plan_sites(log, scanned, policy, self._findings, keys)
        self._warnings += language_warnings(scanned.line_index.languages, options.unmeasured)
        self._replacers = EpisodeReplacers(scanned, self._plans, self._findings, keys, max_open)
        vocabularies = [plan.vocabulary for plan in self._plans.values()]
        self._masker = make_masker(scanned, vocabularies) if policy.masks_unknown_words else None

    @property
    def n_replaced(self) -> Counter[str]:
        """Type -> replaced spans over the distinct texts of each episode, in the last pass."""
        return self._replacers.n_replaced

    @property
    def warnings(self) -> list[str]:
        """Warnings about the values that were kept, as far as calls have passed."""
        labels = (
            "Some values that [privacy] sensitive names were not replaced: they are labels, a task answers with them again and "
            "again."
        )
        return [*self._warnings, labels] if self._findings.keeps_sensitive_labels else self._warnings

    @property
    def replaced_segments(self) -> frozenset[str]:
        """Segments of prompt templates that hold a surrogate: no request has them."""
        return frozenset().union(*(plan.replaced_segments for plan in self._plans.values()))

    def passing(self, log: Iterable[Call]) -> Iterator[Call]:
        """The calls of a log in order. The other methods may be called with a call until the next one is taken."""
        return self._replacers.passing(log)

    def vocabulary(self, call: Call) -> SiteVocabulary:
        """The vocabulary of a call's site."""
        return self._plans[self._scanned.site_of[call.id]].vocabulary

    def change_of(self, call: Call) -> Change:
        """The function that replaces the personal data in a text of this call."""
        replacer = self._replacers.replacer_of(call)
        template = self._plans[self._scanned.site_of[call.id]].template_replacer
        masker = self._masker
        if template is None and masker is None:
            return (lambda text: text) if replacer.is_empty else replacer

        def change(text: str) -> str:
            text = replacer(template(text)) if template else replacer(text)
            return masker(text) if masker else text

        return change

    def request_of(self, call: Call) -> Request:
        """The de-identified request of a call."""
        request, change = call.request(), self.change_of(call)
        return msgspec.structs.replace(
            request,
            messages=rewrite_messages([*request.messages, call.response], change)[:-1],
            tools=rewrite_schema(request.tools, change),
            response_format=rewrite_schema(request.response_format, change),
            tool_choice=rewrite_schema(request.tool_choice, change),
        )

    def response_of(self, call: Call) -> Message:
        """The de-identified response of a call."""
        return rewrite_messages([*call.messages, call.response], self.change_of(call))[-1]

    def paraphrased_request(self, call: Call, paraphraser: Paraphraser) -> Request:
        """The de-identified request of a call with the prose of its sensitive texts paraphrased, but for system
        prompts."""
        request, change, vocabulary = self.request_of(call), self.change_of(call), self.vocabulary(call)
        _, copies = answer_values(call, vocabulary.words)
        kept = {change(value) for value in copies}
        messages: list[Message] = []
        for old, new in zip(call.messages, request.messages, strict=True):
            original, text = old.get("content"), new.get("content")
            if (
                old.get("role") in ("user", "tool")
                and isinstance(original, str)
                and isinstance(text, str)
                and self._has_sensitive(original)
            ):
                new = {**new, "content": paraphraser(text, vocabulary.is_template_line, kept)}
            messages.append(new)
        return msgspec.structs.replace(request, messages=messages)

    def leftover(self, call: Call) -> str | None:
        """The reason to quarantine a call: the type of a value that is left after replacement, or ANSWER_LOST.

        A value is left where the verification pass finds it, or where a found value is still in a rewritten text.
        """
        vocabulary, change = self.vocabulary(call), self.change_of(call)
        replacer = self._replacers.replacer_of(call)
        line_index = self._scanned.line_index
        for _, text in call_strings(call):
            for number in line_index.lines(text):
                if self._unmeasured == "quarantine" and line_index.has_type(number, UNMEASURED):
                    return UNMEASURED_LANGUAGE
                for hit in line_index.verification_findings(number):
                    is_public = hit.type in PUBLIC and vocabulary.contains(hit.value)
                    is_public = is_public or self._findings.is_confirmed(hit.value)
                    if hit.value in change(hit.value) and not is_public:
                        return hit.type
            if not replacer.is_empty and (kind := replacer.leaks(rewrite_text(text, change))):
                return kind
        if not labels_are_kept(call, change, vocabulary.words):
            return ANSWER_LOST
        if self._checks_answers and not answer_still_follows(call, change, vocabulary.words):
            return ANSWER_LOST
        return None

    def _has_sensitive(self, text: str) -> bool:
        line_index = self._scanned.line_index
        return any(
            finding.type == "SENSITIVE"
            for number in line_index.lines(text)
            for finding in line_index.findings(number)
        )
