"""One run: a folder with its state and its sealed artifacts, over the calls of one home."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.core.progress import Progress, silent
from deputize.core.records import DEFAULT_TENANT, EVERY_TENANT, Call, Record
from deputize.files import make_folder, write_atomic
from deputize.home import Home
from deputize.pipeline.artifact import Artifact
from deputize.pipeline.example_stream import without_synthetic
from deputize.stages.curate.synthetic import has_synthetic
from deputize.store.keys.keyring import Sealer
from deputize.store.keys.run_keys import run_key

IMPORT = "import"
"""Name under which the time of an import stands among the times of a run."""

REPORT_PART = 0.03
"""Of the time budget, for intervals and pages at the end."""

LEAST_FOR_EVALUATION = 0.15
"""Of the time budget, for evaluation whatever is left: what was trained and is never asked was trained for nothing. A
run may take so much longer, where the machine was busier than the first calls of training said."""

A = TypeVar("A", bound=Record)


class RunState(Record):
    """The settings a run was started with, so that it is resumed with the same; in clear as run.json."""

    run_id: str
    settings: dict[str, Any]
    n_calls: int
    calls_digest: str
    source_skipped: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    timings_s: dict[str, float] = msgspec.field(default_factory=dict)
    """step -> seconds, and those of the import."""
    finished: bool = False
    finished_s: float = 0.0
    """Unix seconds at which it was finished first; 0 before."""
    version: int = 1
    tenant: str = DEFAULT_TENANT
    """The tenant whose calls the run reads; "*": all tenants share it."""
    agents: list[str] = msgspec.field(default_factory=list)
    """The agents whose calls the run reads; empty: every call of the tenant."""
    privacy: dict[str, Any] = msgspec.field(default_factory=dict)
    """`[privacy]` as the run was started with it, the tagger by its number or folder."""


class Run:
    """One pass through the stages over the calls in the store. Knows nothing of what a stage does."""

    def __init__(self, home: Home, state: RunState, progress: Progress = silent) -> None:
        self.home, self.state, self.progress = home, state, progress
        self.folder = home.runs_path / state.run_id
        self.config = Convert.model_validate(state.settings)
        self._step_began = time.monotonic()

    def save(self) -> None:
        """Writes run.json. Raises StoreError where it cannot be written."""
        make_folder(self.folder)  # weights and cards in it are in clear
        write_atomic(self.folder / "run.json", msgspec.json.format(msgspec.json.encode(self.state), indent=2))

    @property
    def sealer(self) -> Sealer:
        """The key of this run's artifacts."""
        return run_key(self.folder, self.home.keyring)

    def has(self, step: str) -> bool:
        """True once a step's artifact has been written."""
        return _artifact_path(self.folder, step).exists()

    def artifact(self, step: str, kind: type[A]) -> Artifact[A]:
        """The artifact of a step, written or not."""
        return artifact_of(self.home, self.state.run_id, step, kind)

    def load(self, step: str, kind: type[A]) -> A:
        """The result of a step that has been done. Raises UsageError where it has not, else as Artifact.read."""
        return self._done(step, kind).read()

    def _done(self, step: str, kind: type[A]) -> Artifact[A]:
        if not self.has(step):
            raise UsageError(
                f"{step} has not been done in run {self.state.run_id}: run `deputize {step}` first"
            )
        return self.artifact(step, kind)

    def load_curated(self, *, synthetic: bool = False) -> Curated:
        """The curated data, its examples as a stream; that somebody reads de-identified text is noted in the audit log
        first.

        Args:
            synthetic: also those that an LLM made up; to train on, and for nothing else.
        """
        if self.has("curate"):
            self.home.audit.append("read.curated", subject=self.state.run_id)
        whole = self._done("curate", Curated).stream()
        return whole if synthetic or not has_synthetic(self.home.path) else without_synthetic(whole)

    def forget(self, steps: Sequence[str]) -> None:
        """Drops the results of steps, and the time spent on them is given back; trained specialists are kept."""
        for step in steps:
            _artifact_path(self.folder, step).unlink(missing_ok=True)
        kept = {name: s for name, s in self.state.timings_s.items() if name not in steps}
        # not finished any more, so that its routes are published again
        self.state = msgspec.structs.replace(self.state, finished=False, finished_s=0.0, timings_s=kept)
        self.save()

    def begin_step(self) -> None:
        """The clock of the step that is done now starts."""
        self._step_began = time.monotonic()

    def end_step(self, step: str) -> None:
        """Adds the time since `begin_step` to that of the step and saves it."""
        spent = self.state.timings_s.get(step, 0.0) + time.monotonic() - self._step_began
        self.add_timing(step, spent)

    def add_timing(self, name: str, seconds: float) -> None:
        """Notes how long something has taken in all, and saves it."""
        timings = {**self.state.timings_s, name: round(seconds, 2)}
        self.state = msgspec.structs.replace(self.state, timings_s=timings)
        self.save()

    def remaining_s(self) -> float:
        """Seconds of the budget left for models; time spent before a stop counts, and so does the step under way."""
        spent = sum(s for name, s in self.state.timings_s.items() if name != IMPORT)
        spent += time.monotonic() - self._step_began
        return max(0.0, (1 - REPORT_PART) * self.config.minutes * 60 - spent)

    def evaluation_s(self) -> float:
        """Seconds for evaluation: those left of the budget, and LEAST_FOR_EVALUATION of it at least."""
        return max(self.remaining_s(), LEAST_FOR_EVALUATION * self.config.minutes * 60)

    def calls(self) -> Iterator[Call]:
        """The calls that the run reads, as a stream from the store."""
        found = calls_of(self.home, self.state.tenant, self.state.agents)
        return islice(found, self.state.n_calls)


def calls_of(home: Home, tenant: str, agents: Collection[str] = ()) -> Iterator[Call]:
    """The calls of a tenant ("*": of all) that were kept in full, of these agents only where some are named; as a
    stream from the store."""
    found = home.store.calls(tenant=None if tenant == EVERY_TENANT else tenant)
    return (call for call in found if call.recorded == "full" and (not agents or call.agent in agents))


def _artifact_path(folder: Path, step: str) -> Path:
    return folder / f"{step}.sealed"


def artifact_of(home: Home, run_id: str, step: str, kind: type[A]) -> Artifact[A]:
    """The artifact of a run's step, written or not."""
    folder = home.runs_path / run_id
    return Artifact(folder, step, kind, run_key(folder, home.keyring))


def latest_run(home: Home, tenant: str | None = None) -> str | None:
    """The id of the newest run of a home, or of a tenant in it ("*": of those that all share); None where there is
    none.

    Raises:
        BadInput: a tenant is given, and the state of a run cannot be read.
    """
    runs = sorted((p.parent.name for p in home.runs_path.glob("*/run.json")), reverse=True)
    return next((id for id in runs if tenant is None or read_state(home, id).tenant == tenant), None)


def read_state(home: Home, run_id: str) -> RunState:
    """The state of a run. Raises BadInput where there is none or it cannot be read."""
    path = home.runs_path / run_id / "run.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunState)
    except FileNotFoundError:
        raise BadInput(f"There is no run {run_id!r} in {home.path}.") from None
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(
            f"The state of run {run_id} cannot be read ({error}); delete {path.parent} to forget it."
        ) from error


def newest_state(home: Home, tenant: str | None = None) -> RunState | None:
    """The state of the newest run (of a tenant), None where there is none. Raises BadInput as `read_state`."""
    newest = latest_run(home, tenant)
    return read_state(home, newest) if newest is not None else None
