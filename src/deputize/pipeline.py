"""Runs the stages in order, skips what is done, resumes after a stop.

Knows nothing of how a stage works; each stage's result is sealed in the run folder before the next one starts, so
that Ctrl-C, kill -9 or a full disk cost at most the stage in hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from pydantic import ValidationError

from deputize.core import artifacts as art
from deputize.core.config import Convert, Privacy, sentence
from deputize.core.errors import BadInput, DeputizeError, StoreError, UsageError
from deputize.core.progress import Progress, silent
from deputize.core.records import Call, Example, Record, RouteFile, shared
from deputize.files import write_atomic
from deputize.home import Home
from deputize.store.keys.keyring import Sealer
from deputize.store.keys.run_keys import rewrite, run_key
from deputize.store.sealed import is_stream, read_sealed, read_stream, sealed_stream, write_sealed

if TYPE_CHECKING:
    from deputize.stages.cluster.edits import Edit, Edits
    from deputize.upstreams.sync_client import SyncClient

STEPS: tuple[str, ...] = ("curate", "cluster", "select", "finetune", "evaluate")
"""Stages of a run after the import, by the name of their command."""

CARD = "dataset-card.md"
"""What S2 says of its result, in the run's folder, in clear."""

REPORT_PART = 0.03
"""Of the time budget, for intervals and pages at the end."""

A = TypeVar("A", bound=Record)


class RunState(Record):
    """What a run was started with, so that it is resumed with the same; in clear as run.json."""

    run_id: str
    settings: dict[str, Any]
    n_calls: int
    calls_digest: str
    source_skipped: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    timings_s: dict[str, float] = msgspec.field(default_factory=dict)
    finished: bool = False
    version: int = 1
    agents: list[str] = msgspec.field(default_factory=list)
    """The agents whose calls the run reads; empty: every call in the store."""
    privacy: dict[str, Any] = msgspec.field(default_factory=dict)
    """`[privacy]` as the run was started with it, the tagger by its number or folder."""


class Results(Record):
    """S6's rows, sealed like every other artifact."""

    results: list[art.TaskResult]


class Run:
    """One pass of S2-S6 over the calls in the store: a folder, its state and its sealed artifacts."""

    def __init__(self, home: Home, state: RunState, progress: Progress) -> None:
        self.home, self.state, self.progress = home, state, progress
        self.folder = home.runs_path / state.run_id
        self.config = Convert.model_validate(state.settings)
        self.step_began = time.monotonic()

    def save(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # weights and cards in it are in clear
        write_atomic(self.folder / "run.json", msgspec.json.format(msgspec.json.encode(self.state), indent=2))

    @property
    def sealer(self) -> Sealer:
        """What this run's artifacts are sealed with."""
        return run_key(self.folder, self.home.keyring)

    def _path(self, step: str) -> Path:
        return self.folder / f"{step}.sealed"

    def done(self, step: str) -> bool:
        return self._path(step).exists()

    def load(self, step: str, kind: type[A]) -> A:
        if not self.done(step):
            raise UsageError(
                f"{step} has not been done in run {self.state.run_id}: run `deputize {step}` first"
            )
        path = self._path(step)
        if kind is art.Curated:
            self.home.audit.append("read.curated", subject=self.state.run_id)
            if is_stream(path):
                return cast(A, read_curated(path, self.sealer))
        return read_sealed(path, kind, self.sealer)

    def forget_from(self, step: str) -> None:
        """Drops the results of a step and of all steps after it; trained specialists are kept and reused if equal."""
        gone = STEPS[STEPS.index(step) :]
        for later in gone:
            self._path(later).unlink(missing_ok=True)
        # the run is not finished any more, so its routes are published anew; time it spent on them is given back
        kept = {name: s for name, s in self.state.timings_s.items() if name not in gone}
        self.state = msgspec.structs.replace(self.state, finished=False, timings_s=kept)
        self.save()

    def remaining_s(self) -> float:
        """Seconds of the budget left for models; time spent before a stop counts, and so does the step under way."""
        spent = (
            sum(self.state.timings_s.get(step, 0.0) for step in STEPS) + time.monotonic() - self.step_began
        )
        return max(0.0, (1 - REPORT_PART) * self.config.minutes * 60 - spent)

    def do(self, step: str) -> None:
        """Does one step unless it is done already. Raises UsageError when an earlier one is missing."""
        if self.done(step):
            return
        began = self.step_began = time.monotonic()
        try:
            result = _DO[step](self)
        finally:
            spent = self.state.timings_s.get(step, 0.0) + time.monotonic() - began
            self.state = msgspec.structs.replace(
                self.state, timings_s={**self.state.timings_s, step: round(spent, 2)}
            )
            self.save()
        if result is not None:
            write_sealed(self._path(step), result, self.sealer)

    def calls(self) -> Iterator[Call]:
        """The calls that the run reads, as a stream from the store."""
        wanted = set(self.state.agents)
        return islice(
            (c for c in self.home.store.calls() if not wanted or c.agent in wanted), self.state.n_calls
        )


def _curate(run: Run) -> None:
    """S2, from the store into a sealed stream: neither the log nor the examples are in memory as a whole."""
    from deputize.privacy.detectors.verification import VerificationDetector
    from deputize.privacy.replace.paraphrase import Paraphraser
    from deputize.privacy.replace.replacement_policy import policy_of
    from deputize.privacy.standard_detectors import standard_detectors
    from deputize.stages.collect.audience import infer_sites
    from deputize.stages.curate.card import CardCounts, dataset_card
    from deputize.stages.curate.review import read_restored
    from deputize.stages.curate.run import CurateOptions
    from deputize.stages.curate.run import run as curate

    run.progress("reading the store", 0)
    calls = _Learnable(run)
    inference = infer_sites(calls, run.config.min_origins)
    if not inference.sites:
        raise BadInput("There is nothing to learn from: no call in the store was answered by an LLM.")
    privacy = run.home.privacy()
    policy = policy_of(run.config.privacy)
    detectors = standard_detectors(
        policy,
        home=run.home.path,
        privacy=Privacy.model_validate({**run.state.privacy, "sensitive": privacy.sensitive}),
    )
    tally = CardCounts()
    model = paraphrasing_model(privacy) if policy.paraphrases else None
    paraphraser = Paraphraser(model, [*detectors.lines, VerificationDetector()]) if model else None
    with (
        contextlib.closing(model) if model else contextlib.nullcontext(),
        sealed_stream(run.folder / "curate.sealed", run.sealer) as stream,
    ):

        def write(example: Example) -> None:
            stream.add(example)
            tally.add(example)

        head = curate(
            calls,
            inference,
            run.config,
            key=run.home.keyring.derive("surrogates"),
            progress=run.progress,
            detectors=detectors,
            write=write,
            options=CurateOptions(read_restored(run.home.path, run.home.keyring), paraphraser),
        )
        stream.end(head)
    write_atomic(run.folder / CARD, dataset_card(head, tally, run.config).encode())


def paraphrasing_model(privacy: Privacy) -> SyncClient | None:
    """The model of `[privacy] paraphraser`, None where none is named.

    Raises:
        BadInput: it is named wrongly.
        UsageError: its key is not there.
    """
    if not privacy.paraphraser:
        return None
    from deputize.upstreams.config import UpstreamConfig
    from deputize.upstreams.sync_client import SyncClient

    settings = dict(privacy.paraphraser)
    model = settings.pop("model", "")
    try:
        config = UpstreamConfig.model_validate({"name": "paraphraser", **settings})
    except ValidationError as error:
        raise BadInput(f"[privacy] paraphraser: {sentence(error)}") from None
    if not model:
        raise BadInput('[privacy] paraphraser: it has to say which model, as model = "...".')
    return SyncClient(config, model)


class _Learnable:
    """The calls of a run that show what the LLM does; read from the store each time they are asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __iter__(self) -> Iterator[Call]:
        return (call for call in self._run.calls() if learnable(call))


def read_curated(path: Path, sealer: Sealer) -> art.Curated:
    """What S2 wrote, with its examples in memory; what many of them hold alike is there once.

    Raises:
        BadInput, Tampered, StoreError: as for store.sealed.read_stream.
    """
    examples: list[Example] = []
    head: art.Curated | None = None
    known: dict[bytes, Any] = {}
    for record in read_stream(path, Example, art.Curated, sealer):
        if isinstance(record, Example):
            examples.append(shared(record, known))
        else:
            head = record
    assert head is not None  # the reader ends with it or raises
    return msgspec.structs.replace(head, examples=examples)


def privacy_now(home: Home) -> dict[str, Any]:
    """`[privacy]` of a home with the tagger that it means today: a new one makes a new run."""
    from deputize.privacy.tagger.versions import NONE, chosen_path

    privacy = home.privacy()
    path = chosen_path(home.path, privacy.tagger)
    tagger = NONE if path is None else path.name if path.parent == home.path / "taggers" else str(path)
    out: dict[str, Any] = {"tagger": tagger, "detectors": list(privacy.detectors)}
    if privacy.sensitive:  # named by a digest: the terms themselves stay out of the run's folder
        digest = hashlib.blake2b("\0".join(privacy.sensitive).encode(), digest_size=16).hexdigest()
        out["sensitive"] = [digest]
    if privacy.paraphraser:
        out["paraphraser"] = dict(privacy.paraphraser)
    return out


def learnable(call: Call) -> bool:
    """Whether a stored call shows what the LLM does: answered, in full, and not by one of our own specialists."""
    by_llm = call.decision is None or call.decision.served_by == "llm"
    return (
        by_llm and bool(call.response) and not call.aborted and call.status < 400 and call.protocol != "tool"
    )


def _cluster(run: Run) -> Record:
    from deputize.stages.cluster import edits, stable_ids
    from deputize.stages.cluster.run import run as cluster

    curated = run.load("curate", art.Curated)
    found = cluster(curated, run.config, progress=run.progress)
    edited, notes = edits.apply(found, curated.examples, read_edits(run.home).edits)
    for note in notes:
        run.progress(note, 0)
    before = _tasks_before(run)
    return stable_ids.keep_ids(edited, before) if before is not None else edited


def _tasks_before(run: Run) -> art.Discovered | None:
    """The tasks of the newest earlier run; None where there is none, or its keys are erased."""
    earlier = sorted(run.home.runs_path.glob("*/cluster.sealed"), reverse=True)
    for path in earlier:
        if path.parent.name < run.state.run_id:
            try:
                return read_sealed(path, art.Discovered, run_key(path.parent, run.home.keyring))
            except DeputizeError as error:
                run.progress(f"the tasks of run {path.parent.name} cannot be compared with: {error}", 0)
    return None


def edits_path(home: Home) -> Path:
    """Where the changes that a person made to tasks are kept: names and template keys, in clear."""
    return home.path / "tasks.json"


def read_edits(home: Home) -> Edits:
    """The changes that a person made to tasks; none where there is no file. Raises BadInput where it is damaged."""
    from deputize.stages.cluster.edits import Edits

    path = edits_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Edits)
    except FileNotFoundError:
        return Edits()
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path} cannot be read ({error}); delete it to forget all edits of tasks.") from error


def edit_tasks(
    home: Home, change: Callable[[art.Discovered, art.Curated], tuple[art.Discovered, Edit]]
) -> Edited:
    """Changes the tasks of the newest run and remembers the change, so that later runs make it again.

    What later stages of the run made of the tasks is forgotten; a new name alone costs nothing.

    Args:
        home: the home.
        change: (tasks, examples) -> (tasks after, the edit to remember).

    Raises:
        BadInput: no run has found tasks.
        UsageError: another process converts this home.
    """
    newest = latest_run(home)
    if newest is None or not (home.runs_path / newest / "cluster.sealed").exists():
        raise BadInput(
            f"The newest run in {home.path} has found no tasks. `deputize cluster` does it, `deputize convert` does all."
        )
    with alone(home):
        return _edit_tasks(home, newest, change)


def _edit_tasks(
    home: Home,
    newest: str,
    change: Callable[[art.Discovered, art.Curated], tuple[art.Discovered, Edit]],
) -> Edited:
    from deputize.stages.cluster.edits import Edits

    home.require_keys()
    home.note_keys_used()
    run = Run(home, read_state(home, newest), silent)
    after, edit = change(run.load("cluster", art.Discovered), run.load("curate", art.Curated))
    edits = read_edits(home)
    forgotten = tuple(s for s in STEPS[2:] if run.done(s)) if edit.action != "rename" else ()
    # forgotten first: a stop in between costs work, but never leaves results that belong to other tasks
    if edit.action != "rename":
        run.forget_from("select")
    write_sealed(run.folder / "cluster.sealed", after, run.sealer)
    kept = Edits(edits=[*edits.edits, edit])
    write_atomic(edits_path(home), msgspec.json.format(msgspec.json.encode(kept), indent=1))
    return Edited(run_id=newest, forgotten=forgotten, discovered=after)


class Edited(Record):
    """What an edit of tasks did."""

    run_id: str
    forgotten: tuple[str, ...]
    """Stages whose results are gone."""
    discovered: art.Discovered


def _select(run: Run) -> Record:
    from deputize.stages.select.run import run as select

    return select(
        run.load("curate", art.Curated),
        run.load("cluster", art.Discovered),
        run.config,
        models_dir=run.home.models_path,
        progress=run.progress,
    )


def _finetune(run: Run) -> Record:
    from deputize.stages.finetune.run import run as finetune

    # keeps a part for calibration, held-out scoring and the report
    return finetune(
        run.load("curate", art.Curated),
        run.load("cluster", art.Discovered),
        run.load("select", art.Selected),
        run.config,
        home=run.home.path,
        out_dir=run.folder / "specialists",
        models_dir=run.home.models_path,
        deadline_s=run.remaining_s(),
        progress=run.progress,
    )


def _evaluate(run: Run) -> Record:
    from deputize.specialists.predictor import load
    from deputize.stages.evaluate.run import run as refine

    models = run.home.models_path
    results = refine(
        run.load("curate", art.Curated),
        run.load("cluster", art.Discovered),
        run.load("select", art.Selected),
        run.load("finetune", art.Finetuned),
        run.config,
        home=run.home.path,
        load=lambda folder: load(folder, models),
        progress=run.progress,
        deadline_s=run.remaining_s(),
    )
    return Results(results=results)


_DO: dict[str, Callable[[Run], Record | None]] = {
    "curate": _curate,
    "cluster": _cluster,
    "select": _select,
    "finetune": _finetune,
    "evaluate": _evaluate,
}


@contextmanager
def alone(home: Home, name: str = "run") -> Iterator[None]:
    """Only one process works on the runs of a home; the lock goes with the process, however it ends.

    Raises:
        UsageError: another one does.
        StoreError: the lock cannot be made.
    """
    path = home.path / f"{name}.lock"
    try:
        home.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"Another {name} is at work on {home.path}; wait for it or stop it.") from None
        yield
    finally:
        os.close(descriptor)


def latest_run(home: Home) -> str | None:
    """The id of the newest run of a home, None where there is none."""
    runs = sorted(p.parent.name for p in home.runs_path.glob("*/run.json"))
    return runs[-1] if runs else None


def open_run(
    home: Home,
    config: Convert,
    progress: Progress,
    *,
    agents: Iterable[str] = (),
    fresh: bool = False,
    imported: art.Imported | None = None,
    privacy: dict[str, Any] | None = None,
) -> Run:
    """The unfinished run with the same settings over the same calls, else a new one.

    `privacy` of None is what the newest run was started with, so that later stages do not begin anew when a tagger
    was trained in between.
    """
    wanted = sorted(set(agents))
    n_calls, seen = 0, hashlib.blake2b(digest_size=16)
    for call in home.store.calls():
        if not wanted or call.agent in wanted:
            seen.update((call.id if n_calls == 0 else f"\n{call.id}").encode())
            n_calls += 1
    digest = seen.hexdigest()
    settings = config.model_dump(mode="json")
    newest = latest_run(home)
    before = read_state(home, newest) if newest else None
    if privacy is None:
        privacy = before.privacy if before else privacy_now(home)
    if before and not fresh:
        state = before
        same = state.settings == settings and state.calls_digest == digest and state.agents == wanted
        if same and state.privacy == privacy:
            return Run(home, state, progress)
    number = 1 + (int(newest.split("-")[0]) if newest else 0)
    state = RunState(
        run_id=f"{number:04d}-{digest[:6]}",
        settings=settings,
        n_calls=n_calls,
        calls_digest=digest,
        agents=wanted,
        source_skipped=imported.n_skipped if imported else 0,
        skipped=_reasons(imported),
        privacy=privacy,
    )
    run = Run(home, state, progress)
    run.save()
    return run


def _reasons(imported: art.Imported | None) -> dict[str, int]:
    out: dict[str, int] = {}
    for skip in imported.skipped if imported else ():
        out[skip.reason] = out.get(skip.reason, 0) + 1
    return out


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


def convert(
    home: Home,
    config: Convert,
    *,
    paths: Iterable[Path] = (),
    agent: str = "",
    log_format: str = "auto",
    progress: Progress = silent,
    stop_after: str | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """Imports `paths`, then runs S2-S6 over the calls in the store and publishes the routes that earned a certificate.

    A stopped run goes on where it was when called again with the same settings over the same calls.

    Returns:
        The report (docs/reference/report.md), {} when `stop_after` ended the run before it.

    Raises:
        BadInput: nothing to learn from, or an unreadable file.
        MissingExtra: a model or package is not here.
        UsageError: another process converts this home.
    """
    with alone(home):
        return _convert(home, config, paths, agent, log_format, progress, stop_after, fresh)


def _convert(
    home: Home,
    config: Convert,
    paths: Iterable[Path],
    agent: str,
    log_format: str,
    progress: Progress,
    stop_after: str | None,
    fresh: bool,
) -> dict[str, Any]:
    from deputize.stages.collect.import_logs import import_paths

    began = time.monotonic()
    listed = list(paths)
    imported = import_paths(home.store, home.keyring, listed, log_format, agent, progress) if listed else None
    run = open_run(home, config, progress, imported=imported, fresh=fresh, privacy=privacy_now(home))
    if imported is not None and "import" not in run.state.timings_s:
        run.state = msgspec.structs.replace(
            run.state, timings_s={"import": round(time.monotonic() - began, 2), **run.state.timings_s}
        )
        run.save()
    for step in STEPS:
        run.do(step)
        if step == stop_after:
            return {}
    return finish(run)


def run_stage(
    home: Home, step: str, config: Convert, *, progress: Progress = silent, again: bool = False
) -> Run:
    """One stage of the current run; `again` forgets its result and all later ones first.

    Raises:
        UsageError: an earlier stage has not been done, or another process converts this home.
    """
    if step not in STEPS:
        raise UsageError(f"{step!r} is not a stage; stages are {', '.join(STEPS)}")
    with alone(home):
        return _run_stage(home, step, config, progress, again)


def _run_stage(home: Home, step: str, config: Convert, progress: Progress, again: bool) -> Run:
    now = privacy_now(home) if step == "curate" else None
    run = open_run(home, config, progress, privacy=now)
    if again:
        run.forget_from(step)
    run.do(step)
    if step == "evaluate":
        finish(run)
    return run


_KINDS: dict[str, type[Record]] = {
    "curate": art.Curated,
    "cluster": art.Discovered,
    "select": art.Selected,
    "finetune": art.Finetuned,
    "evaluate": Results,
}


def forget(home: Home) -> dict[str, int]:
    """Takes calls that can no longer be read in the store (erased, expired) out of the artifacts of every run.

    Each run concerned gets a fresh key, and its old one is destroyed.

    Returns:
        run -> examples taken out.

    Raises:
        UsageError: another process converts this home.
    """
    with alone(home):
        out: dict[str, int] = {}
        for path in sorted(home.runs_path.glob("*/curate.sealed")):
            run = Run(home, read_state(home, path.parent.name), silent)
            n_examples = _forget(run)
            if n_examples:
                out[run.state.run_id] = n_examples
        return out


def _forget(run: Run) -> int:
    gone = run.home.store.gone([e.call_id for e in _examples(run)])
    if not gone:
        return 0

    def write(folder: Path, sealer: Sealer) -> None:
        for step in STEPS:
            path, new = run.folder / f"{step}.sealed", folder / f"{step}.sealed"
            if step == "curate" and is_stream(path):
                with sealed_stream(new, sealer) as stream:
                    for one in read_stream(path, Example, art.Curated, run.sealer):
                        if isinstance(one, art.Curated):
                            stream.end(one)
                        elif one.call_id not in gone:
                            stream.add(one)
            elif run.done(step):
                write_sealed(new, _without(gone, read_sealed(path, _KINDS[step], run.sealer)), sealer)

    rewrite(run.folder, run.home.keyring, write)
    return len(gone)


def _examples(run: Run) -> Iterator[Example]:
    path = run.folder / "curate.sealed"
    if is_stream(path):
        yield from (e for e in read_stream(path, Example, art.Curated, run.sealer) if isinstance(e, Example))
    else:
        yield from read_sealed(path, art.Curated, run.sealer).examples


def _without(gone: set[str], record: Record) -> Record:
    if isinstance(record, art.Curated):
        return msgspec.structs.replace(record, examples=[e for e in record.examples if e.call_id not in gone])
    if isinstance(record, art.Discovered):
        return msgspec.structs.replace(
            record, assignment={c: t for c, t in record.assignment.items() if c not in gone}
        )
    return record


def finish(run: Run) -> dict[str, Any]:
    """Writes report.json and report.html, publishes the certified routes, marks the run finished."""
    from deputize.routes_file import read_routes, write_routes
    from deputize.stages.evaluate import build_report, publish
    from deputize.web.page import write_report

    curated, discovered = run.load("curate", art.Curated), run.load("cluster", art.Discovered)
    selected, finetuned = run.load("select", art.Selected), run.load("finetune", art.Finetuned)
    results = run.load("evaluate", Results).results
    report = build_report.build(
        run_id=run.state.run_id,
        config=run.config,
        curated=curated,
        discovered=discovered,
        selected=selected,
        finetuned=finetuned,
        results=results,
        timings_s=run.state.timings_s,
        environment=environment(),
        n_skipped=run.state.source_skipped,
        skipped=run.state.skipped,
    )
    write_report(run.folder, report)
    if not run.state.finished:
        routes_path = run.home.routes_path
        fresh = publish.route_file(run.state.run_id, discovered, results, finetuned)
        written = write_routes(routes_path, _keep_closed(read_routes(routes_path), fresh))
        for route in written.routes:
            run.home.audit.append(
                "route.publish",
                subject=route.id,
                detail={"state": route.state, "specialist": route.specialist, "run": run.state.run_id},
            )
        run.state = msgspec.structs.replace(run.state, finished=True)
        run.save()
    _forget(run)  # what was erased while it was at work
    return report


def _keep_closed(old: RouteFile | None, new: RouteFile) -> RouteFile:
    """A route that a person closed stays closed when its task, or one with a template of it, is published again."""
    shut = [r for r in old.routes if r.state in ("closed", "rolled_back")] if old else []
    closed, keys = {r.task_id for r in shut}, {key for r in shut for key in r.keys}
    routes = [
        msgspec.structs.replace(r, state="closed") if r.task_id in closed or keys.intersection(r.keys) else r
        for r in new.routes
    ]
    return msgspec.structs.replace(new, routes=routes, generation=(old.generation if old else 0))


def environment() -> dict[str, Any]:
    """The machine a run was made on, for the report."""
    try:
        import torch

        torch_version: str | None = torch.__version__
        gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    except ImportError:
        torch_version, gpu = None, None
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {
        "python": platform.python_version(),
        "torch": torch_version,
        "cpu": cpu,
        "gpu": gpu,
        "n_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
