"""The population that certificates are about: the calls of the log as the gateway would see them, raw, in the store.

A call belongs to a task where the live route table would send its raw request to the task's route: it is keyed by the
same code, over the same key spaces. What curation withheld (quarantined calls, calls at sites that only speak to
people) is in it too, since its like is asked live. A call that the task's de-identified requests were filed with, but
whose raw request no route would get, is one of the task's calls that are not served; so is one that the router takes
for a changed prompt. A call outside the limits of the route (declared for a person, `n`, an earlier response; see
router.request_limits) is not served either.

Not in it: calls without an answer of the LLM to compare with (failed, cut off, answered by a specialist), calls without
a route beyond the share that was audited of the others (unrouted_calls), and what has left the store since (erased,
expired), which is counted. An answer that breaks the contract stays: whatever is served in
its place counts as wrong.

Texts are decrypted a few at a time, asked, compared and forgotten. What is kept of a call here is its id, its place in
the split, numbers, and the right answer where the log or somebody has given one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Literal, Protocol

import msgspec

from deputize.core.answer_params import answer_params
from deputize.core.artifacts import Curated, Discovered, Withheld
from deputize.core.contracts import CommonestAnswer, agree, answer_of
from deputize.core.decision_reason import DecisionReason
from deputize.core.records import Answer, Call, Example, Message, Request, RequestLimits, Split
from deputize.core.template_key import TemplateKeys
from deputize.router.request_limits import (
    RequestFacts,
    facts_of,
    limits_of,
    lists_unseen,
    only_llm_reason,
    outside_of_call,
)
from deputize.scoring.costs import Prices, Spend, spend_of
from deputize.stages.evaluate.listed_in_training import ListedInTraining, is_about_unseen
from deputize.stages.evaluate.unrouted_calls import UnroutedCalls
from deputize.wire.chat_request import pinned_reason, request_of

MEASURED: tuple[Split, ...] = ("validation", "reserve", "calibration", "test")
"""The splits that specialists are asked; nothing is trained on the raw calls of any of them."""


class RawCalls(Protocol):
    """Recorded calls, by a stream and by id (store.base.Store); only those that an LLM has answered."""

    def __iter__(self) -> Iterator[Call]: ...

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        """The calls with these ids, in their order; None for one that cannot be read."""
        ...


class PopulationCall(msgspec.Struct, frozen=True, gc=False):
    """One call of a task, without its texts."""

    call_id: str
    episode: str
    group: str
    audience: Literal["human", "code"]
    split: Split
    is_asked: bool
    """False where the gateway would not ask the task's specialist."""
    llm_usd: float
    is_commonest: bool
    """The LLM's answer is the one that it gives most often in training."""
    repeated: tuple[str, ...] = ()
    """Ids of the LLM's other answers to the same request."""
    cache_usd: float = 0.0
    """What the LLM was cheaper by thanks to its provider's cache."""
    label: Message | None = None
    """The right answer where it is known."""
    is_unseen: bool = False
    """It lists a tool or a reply schema that was not in training, and its task's certificate is about such calls
    too."""
    is_llm_wrong: bool = False
    """It is known that the LLM's answer was wrong: the episode failed, and it has no other call."""
    llm_s: float | None = None
    """Seconds that the LLM took; None where the log does not say."""
    not_asked: DecisionReason = "prompt_changed"
    """Where the gateway would not ask: the reason of its decision."""


class Population:
    """The calls of each task in the splits that are measured, and where their texts are."""

    def __init__(
        self,
        calls_of: Mapping[str, Sequence[PopulationCall]],
        raw: RawCalls,
        n_missing_from_store: int = 0,
        limits_of: Mapping[str, RequestLimits] | None = None,
    ) -> None:
        self._calls_of, self._raw = calls_of, raw
        self._limits_of = limits_of or {}
        self.n_missing_from_store = n_missing_from_store
        """Calls that were curated and have left the store since."""

    def of(self, task_id: str) -> Sequence[PopulationCall]:
        """The calls of a task, in the order of the log."""
        return self._calls_of.get(task_id, ())

    def limits_of(self, task_id: str) -> RequestLimits:
        """The requests that the calibration calls of a task cover: its route serves no others."""
        return self._limits_of.get(task_id, RequestLimits())

    def texts(self, calls: Sequence[PopulationCall]) -> Iterator[RecordedCall | None]:
        """The recorded calls with their repeated samples, one by one; None for one that has left the store."""
        found = self._raw.get([id for call in calls for id in (call.call_id, *call.repeated)])
        for call in calls:
            recorded = next(found)
            repeated = [next(found) for _ in call.repeated]
            yield None if recorded is None else RecordedCall(recorded, [r for r in repeated if r is not None])


class RecordedCall(msgspec.Struct, frozen=True):
    """A raw call and the LLM's other answers to the same request, for as long as they are compared."""

    call: Call
    repeated: list[Call]


def asked_request(call: Call) -> Request | None:
    """The request that the gateway would ask a specialist, formed as it forms it; None where only an LLM can answer, or
    it is refused."""
    if not call.messages:
        return None
    chat = {
        **call.params,
        "messages": call.messages,
        "tools": call.tools,
        "response_format": call.response_format,
        "tool_choice": call.tool_choice,
    }
    if pinned_reason(call.params) or only_llm_reason(answer_params(call.params), call.audience):
        return None
    return request_of(chat, agent=call.agent, site=call.site)


class AnswersInTraining:
    """The most frequent answer of each task in training, from examples that come by one at a time."""

    def __init__(self, discovered: Discovered, examples: Iterable[Example] = ()) -> None:
        self._assignment = discovered.assignment
        self._found = {task.id: (task.contract, CommonestAnswer(task.contract)) for task in discovered.tasks}
        for example in examples:
            self.see(example)

    def see(self, example: Example) -> None:
        """Counts the answer of an example of training."""
        found = (
            self._found.get(self._assignment.get(example.call_id, "")) if example.split == "train" else None
        )
        answer = answer_of(example.response, found[0]) if found is not None else None
        if found is not None and answer is not None:
            found[1].add(answer)

    def commonest(self) -> dict[str, Answer | None]:
        """By task; None where there is none."""
        return {task_id: found.answer for task_id, (_, found) in self._found.items()}


def read_population(
    raw: RawCalls,
    curated: Curated,
    discovered: Discovered,
    prices: Prices,
    *,
    least_unseen: int = 63,
    training: AnswersInTraining | None = None,
    unread_reserve: Container[str] = (),
) -> Population:
    """The population of every task, by one pass over the raw calls.

    Args:
        raw: the calls of the run.
        curated: their splits, those of withheld calls included.
        discovered: tasks, key spaces, and the calls filed by their de-identified request.
        prices: of the LLM's calls.
        least_unseen: calibration groups from which a certificate is about tools and schemas too that were not in
            training (listed_in_training).
        training: has seen the examples of training; None: they are in `curated` with their answers.
        unread_reserve: tasks (Finetuned.unread_reserve) whose calls in the reserve are calibration; those of other
            tasks are validation.
    """
    places = _places(curated)
    listed = ListedInTraining(curated, discovered)
    tasks = {task.id: task for task in discovered.tasks}
    task_of_key = {key: task.id for task in discovered.tasks for key in task.keys}
    keys = TemplateKeys(discovered.keyspaces)
    commonest = (training or AnswersInTraining(discovered, curated.examples)).commonest()
    calls_of: dict[str, list[PopulationCall]] = {task.id: [] for task in discovered.tasks}
    facts: dict[str, list[RequestFacts]] = {task.id: [] for task in discovered.tasks}
    unrouted = UnroutedCalls()
    n_of_episode: Counter[str] = Counter()
    n_seen = 0
    for call in raw:
        unrouted.see(call)
        listed.see(call, asked_request)
        place = places.get(call.id)
        if place is None:
            continue
        n_seen += 1
        n_of_episode[place.episode] += 1
        request = asked_request(call)
        found = keys.match(request if request is not None else call.request())
        live = task_of_key.get(found.key, "")
        task_id = live or discovered.assignment.get(call.id) or task_of_key.get(found.closest, "")
        task = tasks.get(task_id)
        if task is None:
            continue
        unrouted.belongs(call, task_id)
        subject = call.origin or place.group or place.episode or call.id
        facts[task_id].append(facts_of(call, subject, listed.listed(task_id, request)))
        is_commonest = agree(commonest[task_id], answer_of(call.response, task.contract), task.contract)
        is_asked, mine = bool(live) and request is not None, _of_task(place, task_id in unread_reserve)
        calls_of[task_id].append(_population_call(call, mine, _spend(call, prices), is_asked, is_commonest))
    within, limits = _limited(
        calls_of, facts, unrouted.beyond(), listed, discovered.min_origins, least_unseen
    )
    within = {id: _judged_alone(calls, n_of_episode) for id, calls in within.items()}
    return Population(within, raw, n_missing_from_store=len(places) - n_seen, limits_of=limits)


def _limited(
    calls_of: Mapping[str, list[PopulationCall]],
    facts_of_task: Mapping[str, list[RequestFacts]],
    beyond: frozenset[str],
    listed: ListedInTraining,
    min_origins: int,
    least_unseen: int,
) -> tuple[dict[str, list[PopulationCall]], dict[str, RequestLimits]]:
    """(the calls of each task but those in `beyond`, those outside its limits not asked; the limits)."""
    within: dict[str, list[PopulationCall]] = {}
    limits: dict[str, RequestLimits] = {}
    for id, every in calls_of.items():
        stays = [call.call_id not in beyond for call in every]
        calls, facts = list(compress(every, stays)), list(compress(facts_of_task[id], stays))
        found = listed.limited(id, _limits(calls, facts, min_origins))
        limits[id], calls = _by_lists(calls, facts, found, least_unseen)
        within[id] = _within(calls, facts, limits[id])
    return within, limits


def _limits(
    calls: Sequence[PopulationCall], facts: Sequence[RequestFacts], min_origins: int
) -> RequestLimits:
    calibration = [
        one for call, one in zip(calls, facts, strict=True) if call.is_asked and call.split == "calibration"
    ]
    return limits_of(calibration, min_origins)


def _by_lists(
    calls: list[PopulationCall], facts: Sequence[RequestFacts], limits: RequestLimits, least_unseen: int
) -> tuple[RequestLimits, list[PopulationCall]]:
    """(the limits, the calls with whether they list what was not in training), where the certificate is to be about
    such calls too."""
    if limits.listed is None:
        return limits, calls
    unseen = [lists_unseen(limits, one.listed) for one in facts]
    calibration = [
        (c.group, u) for c, u in zip(calls, unseen, strict=True) if c.is_asked and c.split == "calibration"
    ]
    n_groups, n_unseen = len({g for g, _ in calibration}), len({g for g, u in calibration if u})
    if not is_about_unseen(n_groups, n_unseen, least_unseen):
        return limits, calls
    flagged = [msgspec.structs.replace(c, is_unseen=u) for c, u in zip(calls, unseen, strict=True)]
    return msgspec.structs.replace(limits, listed=None), flagged


def _within(
    calls: Sequence[PopulationCall], facts: Sequence[RequestFacts], limits: RequestLimits
) -> list[PopulationCall]:
    """The calls, those outside the limits not asked."""
    reasons = [outside_of_call(limits, one) for one in facts]
    return [
        call if reason is None else msgspec.structs.replace(call, is_asked=False, not_asked=reason)
        for call, reason in zip(calls, reasons, strict=True)
    ]


def _of_task(place: _Place, is_unread: bool) -> _Place:
    """The place with the reserve as what it is for its task."""
    if place.split != "reserve":
        return place
    return msgspec.structs.replace(place, split="calibration" if is_unread else "validation")


def _population_call(
    call: Call, place: _Place, spent: Spend, is_asked: bool, is_commonest: bool
) -> PopulationCall:
    return PopulationCall(
        call_id=call.id,
        episode=place.episode,
        group=place.group,
        audience=place.audience,
        split=place.split,
        is_asked=is_asked,
        llm_usd=spent.usd,
        cache_usd=spent.cache_usd,
        is_commonest=is_commonest,
        repeated=place.repeated,
        label=call.correction,
        is_llm_wrong=_is_failed(call),
        llm_s=None if call.latency_ms is None else call.latency_ms / 1000,
    )


def _is_failed(call: Call) -> bool:
    """True where the run failed in which an LLM, and no specialist beside it, answered this call."""
    routed = call.decision is not None and bool(call.decision.route_id)
    return call.outcome is not None and call.outcome.success is False and not routed


def _judged_alone(calls: Sequence[PopulationCall], n_of_episode: Counter[str]) -> list[PopulationCall]:
    """The calls; a failed episode says of none of its calls that it was wrong where it has several."""
    return [
        msgspec.structs.replace(call, is_llm_wrong=False)
        if call.is_llm_wrong and n_of_episode[call.episode] != 1
        else call
        for call in calls
    ]


class _Place(msgspec.Struct, frozen=True, gc=False):
    episode: str
    group: str
    audience: Literal["human", "code"]
    split: Split
    repeated: tuple[str, ...]


def _places(curated: Curated) -> dict[str, _Place]:
    """Call id -> its place in the splits that are measured."""
    places: list[Example | Withheld] = [*curated.examples, *curated.withheld]
    return {
        one.call_id: _Place(
            one.episode,
            one.group,
            "human" if one.audience == "human" else "code",
            one.split,
            tuple(one.repeated),
        )
        for one in places
        if one.split in MEASURED
    }


def _spend(call: Call, prices: Prices) -> Spend:
    return spend_of(call.model, call.usage, call.cost_usd, call.messages, call.tools, call.response, prices)
