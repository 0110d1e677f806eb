"""One task with everything the report derives from it: shares, costs and the entry of the document."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import msgspec

from deputize.core.artifacts import Finetuned, Selected, Specialist
from deputize.core.config import AUDIT_SHARE, Convert, RouteSettings
from deputize.core.records import Certificate, Contract, Task
from deputize.core.report_tasks import (
    LossPoint,
    ReportContract,
    ReportField,
    ReportLeakTest,
    ReportSpecialist,
    ReportTask,
    ReportTaskCost,
)
from deputize.core.task_results import TaskResult
from deputize.core.text_measures import TextMeasure
from deputize.scoring.call_costs import colder_cache_usd
from deputize.scoring.costs import Prices
from deputize.scoring.monitor import allowed_loss, comparisons_to_gain
from deputize.stages.evaluate.publish import route_id_of
from deputize.stages.evaluate.task_verdict import verdict_on
from deputize.stages.evaluate.text_counts import TaskTexts

MAX_LABELS = 12
"""Labels of a contract that the report names."""


class TaskFigures:
    """A task, its calls, its result, and the shares and costs that follow from them."""

    def __init__(
        self,
        task: Task,
        texts: TaskTexts,
        result: TaskResult,
        specialists: Sequence[Specialist],
        prices: Prices,
        n_cores: int,
        audit_share: float = AUDIT_SHARE,
    ) -> None:
        self.task, self.texts, self.result, self.specialists = task, texts, result, specialists
        self.chosen = next((s for s in specialists if s.id == result.chosen), None)
        self.n_calls = len(texts.examples)
        self.code_calls = [e for e in texts.examples if e.audience == "code"]
        self.n_code_calls = len(self.code_calls)
        self.spend = texts.spend
        certificate, held_out = result.certificate, result.held_out
        self.routed = certificate is not None
        self.share_on_held_out = held_out.share_served if held_out is not None else 0.0
        # costs: where no held-out call is left to measure on, the share is the one seen in calibration
        self.share_served = self.share_of_cost_served = 0.0
        if held_out is not None:
            self.share_served = held_out.share_served
            self.share_of_cost_served = held_out.share_of_cost_served
        elif certificate is not None:
            self.share_served = self.share_of_cost_served = certificate.share_served
        self.seconds_per_call = result.evaluation.seconds_per_call or 0.0
        # a specialist is asked at every call of its site, those for people included; what it does not serve is spent
        # twice
        self.specialist_s = self.seconds_per_call * self.n_calls if self.routed else 0.0
        asked_usd = prices.specialist_usd(self.specialist_s, n_cores)
        served = self.share_served * self.n_code_calls
        self.specialist_usd = asked_usd * served / self.n_calls if self.n_calls else 0.0
        self.deferred_usd = asked_usd - self.specialist_usd
        # an audit asks the LLM what a specialist has answered already
        n_answers = 2 if certificate is not None and certificate.kind == "not_worse_than_repeats" else 1
        self.audit_usd = audit_share * n_answers * self.spend.usd * self.share_of_cost_served
        self.cache_usd = float(colder_cache_usd(self.spend.cache_usd, self.share_served))
        self.promotion_usd = (
            self._promotion_usd(certificate, asked_usd, n_answers) if certificate is not None else 0.0
        )

    def _promotion_usd(self, certificate: Certificate, asked_usd: float, n_answers: int) -> float:
        """Cost of the way from shadow to live by default settings: the specialist beside the LLM, then the LLM in
        audits."""
        allowed = allowed_loss(certificate)
        if allowed >= 1 or not self.n_calls or not self.share_served:
            return 0.0
        loss = certificate.n_errors / certificate.n_served if certificate.n_served else 0.0
        n_episodes = comparisons_to_gain(allowed, loss, math.log(1 / RouteSettings().step_delta))
        # an episode is one bet, however many of its calls are compared
        n_compared = n_episodes * max(1.0, self.n_calls / max(1, self.task.n_episodes))
        specialist_usd, llm_usd = asked_usd / self.n_calls, self.spend.usd / max(1, self.n_code_calls)
        in_shadow = n_compared * (specialist_usd / self.share_served + (n_answers - 1) * llm_usd)
        return in_shadow + n_compared * n_answers * llm_usd

    @property
    def llm_usd_left(self) -> float:
        """Cost of the LLM for the calls that are not served."""
        return self.spend.usd * (1 - self.share_of_cost_served)

    def entry(
        self, n_code_calls: int, llm_usd: float, selected: Selected, finetuned: Finetuned, config: Convert
    ) -> ReportTask:
        """The task in the report.

        Args:
            n_code_calls: calls of the whole log meant for code.
            llm_usd: cost of the LLM for them.
            selected: models that were considered for the task, and whether it could be certified.
            finetuned: methods that were not needed.
            config: of the run.
        """
        task, result = self.task, self.result
        return ReportTask(
            id=task.id,
            name=task.name,
            kind=task.contract.kind,
            n_calls=self.n_code_calls,
            n_calls_for_people=self.n_calls - self.n_code_calls,
            share_of_calls=self.n_code_calls / n_code_calls if n_code_calls else 0.0,
            share_of_cost=self.spend.usd / llm_usd if llm_usd else 0.0,
            n_origins=task.n_origins,
            n_episodes=task.n_episodes or len({e.episode for e in self.texts.examples}),
            site=task.site,
            signature=task.signature,
            template=task.template,
            contract=_contract(task.contract),
            candidates=[*selected.candidates.get(task.id, []), *finetuned.not_needed.get(task.id, [])],
            specialist=self._specialist(),
            leak_tests=[
                ReportLeakTest(method=s.method, **msgspec.structs.asdict(s.leak))
                for s in self.specialists
                if s.leak is not None
            ],
            test=result.test,
            verdict=verdict_on(
                task,
                self.code_calls,
                result,
                found=self.texts.repeated,
                epsilon=config.epsilon,
                least_subjects=config.min_origins,
            ),
            certificate=result.certificate,
            route_id=route_id_of(task) if self.routed else None,
            held_out=result.held_out,
            refusal_reason=result.refusal_reason or None,
            feasibility=selected.feasibility.get(task.id),
            delta_spending=result.delta_spending,
            family_wise=result.family_wise,
            median_llm_latency_ms=_median(e.latency_ms for e in self.code_calls),
            cost=self._cost(),
            methods=result.methods,
            curve=result.curve,
            by_confidence=result.by_confidence,
            by_epsilon=result.by_epsilon,
            evaluation=result.evaluation,
        )

    def _cost(self) -> ReportTaskCost:
        besides = self.specialist_usd + self.deferred_usd + self.audit_usd + self.cache_usd
        return ReportTaskCost(
            llm_only_usd=self.spend.usd,
            routed_usd=self.llm_usd_left + besides,
            specialist_usd=self.specialist_usd,
            deferred_usd=self.deferred_usd,
            audit_usd=self.audit_usd,
            cache_usd=self.cache_usd,
        )

    def _specialist(self) -> ReportSpecialist | None:
        chosen = self.chosen
        if chosen is None:
            return None
        return ReportSpecialist(
            id=chosen.id,
            model=chosen.model,
            method=chosen.method,
            n_train=chosen.n_train,
            train_s=chosen.train_s,
            tokens_per_s=chosen.tokens_per_s,
            prompt_tokens_before=chosen.prompt_tokens_before,
            prompt_tokens_after=chosen.prompt_tokens_after,
            kind=chosen.kind,
            path=chosen.path,
            seconds_per_call=self.seconds_per_call or None,
            losses=_losses(chosen),
        )


def _losses(specialist: Specialist) -> list[LossPoint]:
    """The losses of a training that kept a history of them."""
    history = specialist.settings.get("training", {}).get("history", [])
    return [
        LossPoint(epoch=e["number"], train=e["train_loss"], validation=e["validation_loss"])
        for e in history
        if {"number", "train_loss", "validation_loss"} <= e.keys()
    ]


def _contract(contract: Contract) -> ReportContract:
    return ReportContract(
        kind=contract.kind,
        n_labels=len(contract.labels),
        labels=contract.labels[:MAX_LABELS],
        fields=[
            ReportField(name=f.name, type=f.type, n_labels=len(f.labels), measure=_in_words(f.measure))
            for f in contract.fields
        ],
        tools=contract.tools,
        may_defer=contract.may_defer,
        measure=_in_words(contract.measure),
    )


def _in_words(measure: TextMeasure | None) -> str:
    return "" if measure is None else measure.in_words()


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None
