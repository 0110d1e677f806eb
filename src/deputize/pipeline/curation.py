"""The curate step: which calls of the store are trained on, and with which detectors."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import ValidationError

from deputize.core.artifacts import Curated, EpisodeLinks
from deputize.core.config import Privacy, sentence
from deputize.core.errors import BadInput
from deputize.core.progress import note
from deputize.core.records import Call, Decision, Example
from deputize.files import write_atomic
from deputize.pipeline.readiness import hopeless
from deputize.runner.registry import make_runner
from deputize.stages.curate.synthetic import fitting, read_synthetic

if TYPE_CHECKING:
    from deputize.home import Home
    from deputize.pipeline.artifact import Artifact
    from deputize.pipeline.run import Run
    from deputize.privacy.replace.replacement_policy import ReplacementPolicy
    from deputize.privacy.standard_detectors import DetectorSet
    from deputize.stages.curate.traffic_sample import TrafficSample
    from deputize.upstreams.sync_client import SyncClient

CARD = "dataset-card.md"
"""The curation's description of its result, in the run's folder, in clear."""


def learnable(call: Call) -> bool:
    """True where a stored call shows what the LLM does: answered, in full, and not by one of our own specialists.

    An answer that the gateway saw come and that is empty or cannot be read is one: a specialist's would differ from it.
    The LLM's second answer to an audited call is not a call of the traffic; it belongs to the first (Example.repeated).
    """
    decision = call.decision or Decision()
    by_llm = decision.served_by == "llm" and decision.reason != "audit_repeat"
    is_answered = bool(call.response) or call.source == "gateway"
    is_model_call = call.protocol in _ROUTED if call.source == "gateway" else call.protocol != "tool"
    return by_llm and is_answered and not call.aborted and call.status < 400 and is_model_call


_ROUTED = ("chat", "messages", "responses")
"""Protocols of the gateway in which a specialist can answer; what else it records (embeddings, audio) is no task."""


class CallsOfEpisodes:
    """The calls by which episodes are told: those of specialists too, whose answers are in the histories of later
    calls."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __iter__(self) -> Iterator[Call]:
        return (
            call
            for call in self._run.calls()
            if (learnable(call) or _is_served(call)) and not (call.decision and call.decision.audit_of)
        )


def _is_served(call: Call) -> bool:
    """True where a specialist answered a call in full."""
    by_specialist = call.decision is not None and call.decision.served_by == "slm"
    return by_specialist and bool(call.response) and not call.aborted


def episode_links(run: Run, traffic: TrafficSample) -> EpisodeLinks:
    """Episodes of the calls of which the log does not name one; an audit is of the episode of the audited call."""
    from deputize.stages.collect.episodes import link_episodes

    links = link_episodes(CallsOfEpisodes(run))
    of_audits = {
        audit: links.episode_of[served]
        for audit, served in traffic.audit_of.items()
        if served in links.episode_of
    }
    return msgspec.structs.replace(links, episode_of=links.episode_of | of_audits)


def _corrected(call: Call) -> Call:
    """The call with the right answer where somebody has given one."""
    return call if call.correction is None else msgspec.structs.replace(call, response=call.correction)


class LearnableCalls:
    """The calls of a run that show what the LLM does; read from the store each time they are asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __iter__(self) -> Iterator[Call]:
        return (call for call in self._run.calls() if learnable(call))

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        """The calls with these ids, in their order; None for one that cannot be read any more."""
        return self._run.home.store.get(call_ids)


class CorrectedCalls(LearnableCalls):
    """The same with the right answer in place of the LLM's where somebody has given one. To train on: a certificate is
    about what the LLM says."""

    def __iter__(self) -> Iterator[Call]:
        return map(_corrected, super().__iter__())


def curate(run: Run, out: Artifact[Curated]) -> None:
    """Curation from the store into a sealed stream: neither the log nor the examples are in memory as a whole."""
    from deputize.privacy.detectors.verification import VerificationDetector
    from deputize.privacy.replace.paraphrase import Paraphraser
    from deputize.privacy.replace.replacement_policy import policy_of
    from deputize.stages.collect.audience import infer_sites
    from deputize.stages.curate.dataset_card import CardCounts, dataset_card
    from deputize.stages.curate.new_answers import read_new_answers, with_new_answer
    from deputize.stages.curate.review import read_restored
    from deputize.stages.curate.run import CurateOptions
    from deputize.stages.curate.run import run as curate_calls
    from deputize.stages.curate.traffic_sample import traffic_sample

    run.progress("reading the store", 0)
    calls = CorrectedCalls(run)
    inference = infer_sites(calls, run.config.min_origins, run.config.audience)
    if not inference.sites:
        raise BadInput("There is nothing to learn from: no call in the store was answered by an LLM.")
    if why_hopeless := hopeless(inference.sites, run.config):
        note(run.progress, why_hopeless)
    traffic = traffic_sample(run.calls())
    privacy = run.home.privacy()
    policy = policy_of(run.config.privacy)
    detectors = _detectors(run, policy)
    tally, in_train = CardCounts(), set[str]()
    restored = read_restored(run.home.path, run.home.keyring)
    new_answers = read_new_answers(run.home.path, run.home.keyring)
    model = paraphrasing_model(privacy) if policy.paraphrases else None
    paraphraser = Paraphraser(model, [*detectors.lines, VerificationDetector()]) if model else None
    with (
        contextlib.closing(model) if model else contextlib.nullcontext(),
        out.writing() as stream,
    ):

        def write(example: Example) -> None:
            stream.add(example)
            tally.add(example)
            if example.split == "train" and example.trainable:
                in_train.add(example.call_id)

        head = curate_calls(
            calls,
            inference,
            run.config,
            key=run.home.keyring.derive("surrogates"),
            progress=run.progress,
            detectors=detectors,
            write=lambda example: write(with_new_answer(example, new_answers)),
            options=CurateOptions(
                restored,
                paraphraser,
                links=episode_links(run, traffic),
                traffic=traffic,
                runner=make_runner(run.home.runner_settings()),
            ),
        )
        for made_up in fitting(read_synthetic(run.home.path, run.home.keyring).values(), in_train):
            write(made_up)
        stream.end(head)
    write_atomic(run.folder / CARD, dataset_card(head, tally, run.config).encode())


def _detectors(run: Run, policy: ReplacementPolicy) -> DetectorSet:
    """The detectors that the run was started with; what is missing of them is told."""
    from deputize.privacy.standard_detectors import standard_detectors
    from deputize.privacy.tagger.versions import check_tagger

    check_tagger(run.home)
    privacy = run.home.privacy()
    terms = {"sensitive": privacy.sensitive, "confirmed": privacy.confirmed}
    settings = Privacy.model_validate({**run.state.privacy, **terms})
    detectors = standard_detectors(policy, home=run.home.path, privacy=settings)
    for missing in detectors.warnings:
        note(run.progress, missing)
    return detectors


def paraphrasing_model(privacy: Privacy) -> SyncClient | None:
    """The model of `[privacy] paraphraser`, None where none is named.

    Raises:
        BadInput: it is named wrongly.
        UsageError: its key is not there.
    """
    if not privacy.paraphraser:
        return None
    from deputize.upstreams.sync_client import SyncClient
    from deputize.upstreams.upstream_config import UpstreamConfig

    settings = dict(privacy.paraphraser)
    model = settings.pop("model", "")
    try:
        config = UpstreamConfig.model_validate({"name": "paraphraser", **settings})
    except ValidationError as error:
        raise BadInput(f"[privacy] paraphraser: {sentence(error)}") from None
    if not model:
        raise BadInput('[privacy] paraphraser: it has to say which model, as model = "...".')
    return SyncClient(config, model)


def privacy_now(home: Home) -> dict[str, Any]:
    """`[privacy]` of a home with the tagger that it means today: a new one makes a new run."""
    from deputize.privacy.tagger.versions import chosen_name

    privacy = home.privacy()
    out: dict[str, Any] = {
        "tagger": chosen_name(home.path, privacy.tagger),
        "detectors": list(privacy.detectors),
    }
    for name in ("sensitive", "confirmed"):
        terms = getattr(privacy, name)
        if terms:  # named by a digest: the terms themselves stay out of the run's folder
            out[name] = [hashlib.blake2b("\0".join(terms).encode(), digest_size=16).hexdigest()]
    chosen = {"unmeasured": privacy.unmeasured, "pseudonyms": privacy.pseudonyms}
    out |= {name: value for name, value in chosen.items() if name in privacy.model_fields_set}
    if privacy.paraphraser:
        out["paraphraser"] = dict(privacy.paraphraser)
    return out
