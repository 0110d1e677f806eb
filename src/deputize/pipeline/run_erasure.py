"""Erasure in the artifacts of runs: calls that can no longer be read in the store leave every one of them."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from deputize.core.artifacts import Curated, Discovered
from deputize.core.errors import StoreError
from deputize.core.example_texts import source_id
from deputize.core.records import Example, Record
from deputize.core.task_results import Evaluated
from deputize.files import reason
from deputize.home import Home
from deputize.pipeline.artifact import Artifact
from deputize.pipeline.run import Run, read_state
from deputize.pipeline.run_sharing import share_runs_again
from deputize.pipeline.stage_table import STAGES
from deputize.stages.curate.new_answers import forget_new_answers
from deputize.stages.curate.synthetic import forget_synthetic
from deputize.store.keys.keyring import Sealer
from deputize.store.keys.run_keys import rewrite

_log = logging.getLogger("deputize.pipeline")


def forget_in_runs(home: Home) -> dict[str, int]:
    """Takes calls that can no longer be read in the store (erased, expired) out of the artifacts of every run.

    Each run concerned gets a fresh key, and its old one is destroyed.

    Returns:
        run -> examples taken out.

    Raises:
        UsageError: another process converts this home.
    """
    with home.exclusive("run"):
        _remove_parts(home)
        out: dict[str, int] = {}
        for path in sorted(home.runs_path.glob("*/curate.sealed")):
            run = Run(home, read_state(home, path.parent.name))
            n_examples = forget_in_run(run)
            if n_examples:
                out[run.state.run_id] = n_examples
        for forget in (forget_new_answers, forget_synthetic):
            forget(home.path, home.keyring, lambda ids: home.store.gone(list(ids)))
        if out and (said := share_runs_again(home)):
            _log.warning("%s", said)
        return out


def _remove_parts(home: Home) -> None:
    """Removes what stages that were killed had written of their artifacts: nobody reads it, and it may hold a call that
    is gone.

    Raises:
        StoreError: a file cannot be removed.
    """
    for path in home.runs_path.glob("*/.*.sealed.part"):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{path} cannot be removed: {reason(error)}.") from error


def forget_in_run(run: Run) -> int:
    """As `forget_in_runs`, for one run; the caller holds the lock. Returns the number of examples taken out, and of
    calls of which there was none."""
    source_of: dict[str, str] = {}
    for part in run.artifact("curate", Curated).parts():
        if isinstance(part, Example):
            source_of[part.call_id] = source_id(part)
        else:
            source_of |= {w.call_id: w.call_id for w in part.withheld}
    lost = run.home.store.gone(list(dict.fromkeys(source_of.values())))
    gone = {id for id, source in source_of.items() if source in lost}
    if not gone:
        return 0

    def write(folder: Path, sealer: Sealer) -> None:
        for stage in STAGES:
            if run.has(stage.step):
                old = run.artifact(stage.step, stage.artifact)
                _copy_without(gone, old, Artifact(folder, stage.step, stage.artifact, sealer))

    rewrite(run.folder, run.home.keyring, write)
    return len(gone)


def _copy_without(gone: set[str], old: Artifact[Record], new: Artifact[Record]) -> None:
    with new.writing() as stream:
        for part in old.parts():
            if not isinstance(part, Example):
                stream.end(_without(gone, part))
            elif part.call_id not in gone:
                stream.add(part)


def _without(gone: set[str], record: Record) -> Record:
    if isinstance(record, Discovered):
        assignment = {call: task for call, task in record.assignment.items() if call not in gone}
        return msgspec.structs.replace(record, assignment=assignment)
    if isinstance(record, Curated):
        withheld = [w for w in record.withheld if w.call_id not in gone]
        return msgspec.structs.replace(record, withheld=withheld)
    if isinstance(record, Evaluated):
        results = [
            msgspec.structs.replace(r, calibration=[c for c in r.calibration if c.call_id not in gone])
            for r in record.results
        ]
        return msgspec.structs.replace(record, results=results)
    return record
