"""Schema of report.json: everything a run found, in one document.

docs/reference/report.md is written from the fields and docstrings here (deputize.web.report_reference). Parts that are
results of their own (certificates, method rows, leak tests, ...) are the records of core.artifacts and core.records.
A number that is not known is null, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from deputize.core.earlier_route import EarlierRoute
from deputize.core.records import Record
from deputize.core.report_replay import ReportReplay
from deputize.core.report_tasks import ReportTask, ReportTaskCost
from deputize.core.sites import Site

REPORT_VERSION = 4


class PeriodCalls(Record):
    """Calls of one part of the time that a log is from; all parts are equally long."""

    start_s: float
    """Its beginning, in Unix seconds."""
    n_code: int
    """Calls meant for code."""
    n_human: int
    """Replies to people, at sites that also speak to code."""


class ReportSource(Record):
    """The log that the run read."""

    n_calls: int
    """Calls in the log."""
    n_episodes: int
    """Episodes (runs of an agent) they belong to."""
    n_code_calls: int
    """Calls whose reply is meant for code; the others are replies to a person and are never served."""
    tenants: dict[str, int]
    """Tenant -> its calls, without those that were withheld."""
    n_skipped: int
    """Lines that could not be read."""
    skipped: dict[str, int]
    """Reason -> lines that could not be read."""
    models: dict[str, int]
    """LLM -> calls it answered; names that few data subjects have are counted as "others"."""
    sites: list[Site]
    """Places in the agent that call a model."""
    agents: dict[str, int]
    """Agent -> calls at its sites."""
    first_s: float | None
    """Time of the first call, in Unix seconds; null where not every call has a time."""
    last_s: float | None
    """Time of the last call, likewise."""
    calls_per_month: float | None
    """Calls meant for code in 30 days, at the rate of the log; null where it has no times, or is of less than a day."""
    by_time: list[PeriodCalls]
    """Calls over time; [] where not every call has a time."""


class ReportSplit(Record):
    """Size of one split."""

    n_calls: int
    """Calls in it."""
    n_groups: int
    """Independent groups they belong to: episodes, or all attempts at one job."""


class ReportCuration(Record):
    """Calls that curation kept and dropped, and personal data that it replaced."""

    n_kept: int
    """Calls that may be trained on."""
    dropped: dict[str, int]
    """Reason -> calls that are not trained on."""
    entities: dict[str, int]
    """Kind of personal data or secret -> places where it was replaced."""
    detectors: list[str]
    """Detectors that looked for personal data."""
    tagger_recall: str
    """Measured recall of the tagger among them; "" where none was measured."""
    splits: dict[str, ReportSplit]
    """train, validation (or reserve, on a small log), calibration, test -> size."""
    n_missing_from_store: int
    """Calls of validation, calibration and test that had left the store (erased, expired) when specialists were
    tested."""
    warnings: list[str]
    """Things that were not as they should be."""


class ReportCost(ReportTaskCost, kw_only=True):
    """Costs of the whole log."""

    training_usd: float
    """Training, paid once; not in routed_usd."""
    promotion_usd: float
    """From shadow to live, paid once; not in routed_usd. Specialists in shadow, audits of canaries, second answers of
    the LLM; estimated from the loss in calibration."""
    audit_share: float
    """Share of the served calls that is audited, as the gateway's settings say."""
    llm_usd: float
    """Part of routed_usd: the LLM, calls it answers."""
    break_even_calls: int | None
    """Calls after which training and promotion are earned back; null where a call saves nothing."""
    n_calls_priced: int
    """Calls whose costs are counted."""
    n_calls_tokens_estimated: int
    """Of them, without token counts: estimated from characters."""
    n_calls_price_assumed: int
    """Of them, of a model without a listed price."""


class ReportEnergy(Record):
    """Energy and emissions of the recorded calls."""

    llm_only_wh: float
    """With the LLM alone."""
    routed_wh: float
    """With routes."""
    specialist_wh: float
    """Of it, specialists."""
    training_wh: float
    """Training, once."""
    llm_only_co2e_g: float
    """Emissions with the LLM alone."""
    routed_co2e_g: float
    """Emissions with routes."""
    training_co2e_g: float
    """Emissions of training, once."""


class ReportTotalEpsilonRow(Record):
    """Share of all calls meant for code that could be served at one loss; tasks without a specialist count as not
    served."""

    epsilon: float
    """The loss allowed in each task."""
    share_certified: float
    """With certificates, on calibration calls."""
    share_held_out: float
    """With certificates, on held-out calls."""
    oracle_coverage: float
    """By hindsight, on held-out calls: an upper bound."""
    oracle_coverage_calibration_and_test: float
    """By hindsight, on calibration and held-out calls."""


class ReportTotal(Record):
    """The whole log: tasks weighed by their calls, those without a route counted as left to the LLM."""

    n_code_calls: int
    """Calls meant for code."""
    n_routes: int
    """Tasks with a certificate."""
    share_of_code_calls_served: float
    """Of the calls meant for code, served by specialists; measured on held-out episodes. A route without held-out calls
    adds nothing."""
    n_routes_without_held_out: int
    """Routes of which no held-out call was evaluated: their shares, of calibration calls, are in the costs only."""
    quality_difference: float
    """Change in agreement with the LLM, over all calls meant for code; negative: worse than the LLM alone."""
    quality_difference_interval: tuple[float, float]
    """95 % interval of quality_difference."""
    agreement_of_served: float | None
    """Of the served calls, those answered as the LLM did; null where none is served."""
    cost: ReportCost
    """Costs."""
    energy: ReportEnergy
    """Energy and emissions."""
    by_epsilon: list[ReportTotalEpsilonRow]
    """Shares that could be served at other losses."""


class ReportEnvironment(Record):
    """The machine."""

    python: str = ""
    """Version."""
    torch: str | None = None
    """Version; null where it is not installed."""
    cpu: str = ""
    """Model."""
    gpu: str | None = None
    """Model; null without one."""
    n_cores: int | None = None
    """Cores the run might use."""


class Report(Record):
    """Everything a run found."""

    version: int
    """Version of this schema; raised when a field changes its name or meaning."""
    run_id: str
    """Name of the run and of its folder."""
    created_s: float
    """When the report was made, in Unix seconds; 0: not known."""
    home: str
    """Folder of the home; "" where it is not known."""
    tenant: str
    """Whose calls were read, and whose the specialists answer; "*": all tenants share them."""
    settings: dict[str, str]
    """Setting of the run -> its value as JSON text (docs/reference/settings.md)."""
    seed: int
    """Seed of the run: the same log and seed give the same splits and draws."""
    epsilon: float
    """The loss that certificates allow, over all calls of a task."""
    delta: float
    """The probability with which a certificate may be false."""
    scope: Literal["per-route", "all-routes"]
    """Whether delta is for each certificate by itself, or for all of the run at once."""
    source: ReportSource
    """The log."""
    curate: ReportCuration
    """Calls that were kept of it."""
    tasks: list[ReportTask]
    """Discovered tasks, the largest first."""
    unassigned: dict[str, int]
    """Reason -> calls in no task."""
    earlier_routes: list[EarlierRoute]
    """Routes that were published before and of which this run certified no successor; their shares are not in the
    totals."""
    total: ReportTotal
    """The whole log."""
    timings_s: dict[str, float]
    """Stage -> time."""
    environment: ReportEnvironment
    """The machine."""
    notes: list[str]
    """Remarks to read before quoting a figure."""
    assumptions: list[str]
    """Assumptions of the costs."""
    nothing_trained_reason: str | None
    """Why nothing was trained, where no task can be certified with this log; else null."""
    replay: ReportReplay | UnsetType = UNSET
    """Fresh calls through the gateway; only in reports of `deputize demo`."""


def document(value: Any) -> Any:
    """A record as plain JSON values, every field present: tuples as lists, numpy's numbers as numbers, NaN and infinity
    as null."""
    if isinstance(value, msgspec.Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: document(inner) for name, inner in fields if inner is not UNSET}
    if isinstance(value, Mapping):
        return {str(k): document(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [document(v) for v in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if math.isfinite(value) else None


def validate(report: Any) -> Report:
    """The report of a document of plain JSON values.

    Raises:
        msgspec.ValidationError: a field is missing, has another type, or is not in the schema.
    """
    parsed = msgspec.convert(report, Report)
    if document(parsed) != report:
        raise msgspec.ValidationError(f"not in the schema: {', '.join(_unknown(report, document(parsed)))}")
    return parsed


def _unknown(given: Any, known: Any, where: str = "$") -> list[str]:
    """Paths at which a document holds something that its parsed form does not."""
    if isinstance(given, dict) and isinstance(known, dict):
        return [
            path
            for key, inner in given.items()
            for path in (
                _unknown(inner, known[key], f"{where}.{key}") if key in known else [f"{where}.{key}"]
            )
        ] + [f"{where}.{key} is missing" for key in known if key not in given]
    if isinstance(given, list) and isinstance(known, list):
        return [
            path
            for i, (one, other) in enumerate(zip(given, known, strict=True))
            for path in _unknown(one, other, f"{where}[{i}]")
        ]
    return [] if given == known else [where]
