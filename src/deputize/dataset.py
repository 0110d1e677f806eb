"""The curated data of a home as one person may see them: look, put back, export; every look is written down first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from deputize.core import artifacts as art
from deputize.core.config import Convert
from deputize.core.errors import AccessDenied, BadInput
from deputize.core.example_texts import source_id
from deputize.core.progress import Progress, silent
from deputize.core.records import EVERY_TENANT, Example, Record
from deputize.home import Home
from deputize.maintenance.lineage import noted_copy
from deputize.pipeline.curation import CARD
from deputize.pipeline.expansion import ExpansionLimits, TaskExpansion, expand
from deputize.pipeline.relabelling import RelabelLimits, Relabelling, relabel
from deputize.pipeline.run import artifact_of, latest_run, read_state
from deputize.stages.curate.dataset_card import CardCounts, dataset_card
from deputize.stages.curate.export import Format, export
from deputize.stages.curate.review import DroppedCall, dropped_calls, read_restored, write_restored
from deputize.store.access.roles import Actor, Right, require

if TYPE_CHECKING:
    from deputize.stages.curate.designer import Designer
    from deputize.upstreams.sync_client import SyncClient

BATCH = 500

Selected = Literal["trainable", "dropped", "all"]


class Exported(Record):
    """Files and counts of an export."""

    run_id: str
    folder: str
    format: str
    rows: dict[str, int]
    """split -> rows."""
    n_erased: int
    """Examples left out because their calls have been erased since."""


class Dataset:
    """The curated data of one run, for one actor."""

    def __init__(self, home: Home, run_id: str | None, actor: Actor) -> None:
        """
        Args:
            home: the home.
            run_id: a run; the newest one where None.
            actor: who looks.

        Raises:
            BadInput: no such run, or it has not been curated.
        """
        chosen = _chosen(home, run_id, actor)
        if chosen is None or not (home.runs_path / chosen / "curate.sealed").exists():
            raise BadInput(
                f"{'Run ' + repr(run_id) if run_id else 'The newest run'} in {home.path} has not been curated. "
                "`deputize curate` does it, `deputize convert` does all."
            )
        self.home, self.run_id, self.actor = home, chosen, actor
        home.require_keys()

    def dropped(self) -> list[DroppedCall]:
        """The side table: every dropped call of the tenant, with its de-identified text where there is one.

        Calls that were erased since are left out.

        Raises:
            AccessDenied: the actor may not read curated text.
        """
        self._open("read.curated", {"what": "dropped"})
        found = list(dropped_calls(self._records()))
        gone = self.home.store.erased([d.call_id for d in found])
        return [d for d in found if d.call_id not in gone]

    def restore(self, call_ids: Sequence[str]) -> frozenset[str]:
        """Has calls used for training although a filter dropped them, from the next curation on.

        Args:
            call_ids: calls that this run dropped.

        Returns:
            All calls that are put back now.

        Raises:
            AccessDenied: the actor may not read curated text, or not raw text where a call was quarantined: who
                overrules that has to have looked.
            BadInput: a call that was not dropped.
        """
        self._open("dataset.restore", {"calls": str(len(frozenset(call_ids)))})
        with self.home.exclusive("run"):
            reasons = {d.call_id: d.reason for d in dropped_calls(self._records())}
            for id in call_ids:
                if id not in reasons:
                    raise BadInput(f"The call {id!r} was not dropped by run {self.run_id}.")
                if reasons[id].startswith("quarantined"):
                    self._require(Right.READ_RAW)
            after = self._restored() | frozenset(call_ids)
            write_restored(self.home.path, self.home.keyring, after)
        return after

    def undo_restore(self, call_ids: Sequence[str]) -> frozenset[str]:
        """Lets the filters decide again on calls that were put back.

        Returns:
            All calls that are put back still.

        Raises:
            AccessDenied: the actor may not read curated text.
            BadInput: a call that was not put back.
        """
        self._open("dataset.undo_restore", {"calls": str(len(frozenset(call_ids)))})
        with self.home.exclusive("run"):
            before = self._restored()
            for id in call_ids:
                if id not in before:
                    raise BadInput(f"The call {id!r} was not put back.")
            after = before - frozenset(call_ids)
            write_restored(self.home.path, self.home.keyring, after)
        return after

    def relabel(
        self, clients: Mapping[str, SyncClient], limits: RelabelLimits, progress: Progress = silent
    ) -> Relabelling:
        """Puts calls of train to LLMs again; from the next curation on training learns from what most of them answer.

        Args:
            clients: model -> the client that asks it.
            limits: which calls, which models, and how much.
            progress: gets the number of questions.

        Raises:
            AccessDenied: the actor may not read curated text, which is what the LLMs are sent.
            BadInput: the run has no tasks, there is no such task, or nothing to ask about.
        """
        self._require(Right.RUN_STAGES)
        self._open("dataset.relabel", {"models": " ".join(limits.models), "task": limits.task})
        tenant = None if self.actor.tenant == EVERY_TENANT else self.actor.tenant
        with self.home.exclusive("run"):
            return relabel(
                self.home,
                self.run_id,
                tenant,
                lambda model, request: clients[model].complete(request),
                limits,
                progress,
            )

    def expand(
        self, designer: Designer, client: SyncClient, limits: ExpansionLimits, progress: Progress = silent
    ) -> TaskExpansion:
        """Has an LLM make up examples for a task; from the next curation on they are trained on.

        Args:
            designer: writes inputs.
            client: answers them.
            limits: for which task, how many, and for how much.
            progress: gets the number of examples.

        Raises:
            AccessDenied: the actor may not read curated text, which is what the LLM is sent.
            BadInput: there is no such task, it cannot be expanded, or data-designer fails.
            MissingExtra: data-designer is not installed.
        """
        self._require(Right.RUN_STAGES)
        self._open("dataset.expand", {"models": limits.model, "task": limits.task})
        tenant = None if self.actor.tenant == EVERY_TENANT else self.actor.tenant
        with self.home.exclusive("run"):
            return expand(self.home, self.run_id, tenant, designer.write, client.complete, limits, progress)

    def _restored(self) -> frozenset[str]:
        return read_restored(self.home.path, self.home.keyring)

    def export(
        self,
        out: Path,
        form: Format,
        *,
        task: str = "",
        splits: Sequence[str] = (),
        chosen: Selected = "trainable",
    ) -> Exported:
        """Writes examples and the card into a folder, in clear. Calls that were erased since are left out.

        Args:
            out: a new or empty folder.
            form: of the files.
            task: only calls of this task.
            splits: only these splits.
            chosen: what train and validation hold: only what may be trained on, only what was dropped, or both.

        Raises:
            AccessDenied: the actor may not read curated text.
            BadInput: no such task or split, or nothing is left.
            MissingExtra: pyarrow is not installed.
            StoreError: it cannot be written.
        """
        self._open("export.curated", {"format": form, "task": task, "splits": " ".join(splits)})
        task_of = self._tasks(task)
        tally, heads, n_erased, written = CardCounts(), list[art.Curated](), 0, list[str]()

        def is_chosen(example: Example) -> bool:
            return (
                (not task or task_of.get(example.call_id) == task)
                and (not splits or example.split in splits)
                and (chosen == "all" or example.trainable == (chosen == "trainable"))
            )

        def wanted() -> Iterator[Example]:
            nonlocal n_erased
            for batch in _batches(self._records()):
                heads.extend(r for r in batch if isinstance(r, art.Curated))
                fit = [e for e in batch if isinstance(e, Example) and is_chosen(e)]
                gone = self.home.store.erased([source_id(e) for e in fit])
                n_erased += sum(source_id(e) in gone for e in fit)
                for example in fit:
                    if source_id(example) not in gone:
                        tally.add(example)
                        written.append(source_id(example))
                        yield example

        def card() -> str:
            if not tally.n:
                raise BadInput("Nothing is left to export with these choices.")
            config = Convert.model_validate(read_state(self.home, self.run_id).settings)
            return dataset_card(heads[0], tally, config)

        key = self.home.keyring.derive("export")
        what, temporary = f"dataset of run {self.run_id}", out.with_name(f".{out.name}-{os.urandom(4).hex()}")
        with noted_copy(self.home, out, what, self.actor.name, temporary=temporary) as ids:
            rows = export(wanted(), out, temporary, form, key=key, card=card, task_of=task_of)
            ids += written
        return Exported(run_id=self.run_id, folder=str(out), format=form, rows=rows, n_erased=n_erased)

    def _records(self) -> Iterator[Example | art.Curated]:
        """Records that curation wrote: the examples of the actor's tenant, then the summary of the whole."""
        tenant = self.actor.tenant
        for record in artifact_of(self.home, self.run_id, "curate", art.Curated).parts():
            if tenant == EVERY_TENANT:
                yield record
            elif isinstance(record, art.Curated):
                withheld = [w for w in record.withheld if w.tenant == tenant]
                yield msgspec.structs.replace(record, withheld=withheld)
            elif record.tenant == tenant:
                yield record

    def _tasks(self, task: str) -> dict[str, str]:
        tasks = artifact_of(self.home, self.run_id, "cluster", art.Discovered)
        if not tasks.exists:
            if task:
                raise BadInput(f"Run {self.run_id} has found no tasks yet: run `deputize cluster` first.")
            return {}
        found = tasks.read()
        if task and task not in {t.id for t in found.tasks}:
            raise BadInput(f"Run {self.run_id} has no task {task!r}; `deputize tasks list` names them.")
        return found.assignment

    def _open(self, action: str, detail: dict[str, str]) -> None:
        """Checks the right and writes the look down; nothing is read before."""
        self._require(Right.READ_CURATED)
        tenant = "" if self.actor.tenant == EVERY_TENANT else self.actor.tenant
        self.home.audit.append(
            action, actor=self.actor.name, subject=self.run_id, tenant=tenant, detail=detail
        )

    def _require(self, right: Right) -> None:
        try:
            require(self.actor, right)
        except AccessDenied:
            self.home.audit.append(
                "denied", actor=self.actor.name, subject=self.run_id, detail={"right": right.value}
            )
            raise


def _batches(records: Iterator[Example | art.Curated]) -> Iterator[list[Example | art.Curated]]:
    while batch := list(islice(records, BATCH)):
        yield batch


def _chosen(home: Home, run_id: str | None, actor: Actor) -> str | None:
    """The run that an actor looks at: the one named, else the newest of its tenant, or of those that all tenants share.

    Raises:
        AccessDenied: the named run is of another tenant.
    """
    if actor.tenant == EVERY_TENANT:
        return run_id or latest_run(home)
    if run_id is not None:
        whose = read_state(home, run_id).tenant
        if whose not in (actor.tenant, EVERY_TENANT):
            home.require_keys()
            detail = {"why": "another tenant"}
            home.audit.append("denied", actor=actor.name, subject=run_id, tenant=whose, detail=detail)
            raise AccessDenied(f"{actor.name} is for the tenant {actor.tenant} only, not for {whose}.")
        return run_id
    both = [latest_run(home, name) for name in (actor.tenant, EVERY_TENANT)]
    return max((id for id in both if id is not None), default=None)


def card(home: Home, run_id: str | None, actor: Actor) -> tuple[str, str]:
    """(run id, the dataset card that curation wrote).

    Raises:
        AccessDenied: the run is of another tenant, or of all and the actor is for one only.
        BadInput: there is none.
    """
    if actor.tenant != EVERY_TENANT and run_id is None:
        chosen = latest_run(home, actor.tenant)
    else:
        chosen = _chosen(home, run_id, actor)
        if chosen is not None and actor.tenant not in (EVERY_TENANT, read_state(home, chosen).tenant):
            raise AccessDenied(
                f"The card of run {chosen} is about all tenants; {actor.name} is for {actor.tenant} only."
            )
    path = home.runs_path / (chosen or "") / CARD
    if chosen is None or not path.is_file():
        raise BadInput(
            f"No dataset card of {'run ' + run_id if run_id else 'the newest run'} in {home.path}; `deputize curate` writes one."
        )
    return chosen, path.read_text("utf-8")


def as_rows(found: Iterable[DroppedCall]) -> list[dict[str, Any]]:
    """Drops as JSON rows."""
    return [
        {
            "call_id": d.call_id,
            "reason": d.reason,
            "site": d.site,
            "split": d.split,
            "messages": d.example.request.messages if d.example else None,
            "response": d.example.response if d.example else None,
        }
        for d in found
    ]
