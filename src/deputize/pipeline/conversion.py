"""Runs the stages in order, skips what is done, resumes after a stop.

Knows nothing of how a stage works; each stage's result is sealed in the run folder before the next one starts, so that
Ctrl-C, kill -9 or a full disk cost at most the stage in hand.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.artifacts import Discovered, Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.core.import_summary import Imported
from deputize.core.progress import Progress, begin_stage, note, silent
from deputize.core.records import DEFAULT_TENANT, EVERY_TENANT, RouteFile
from deputize.core.task_results import Evaluated
from deputize.home import Home
from deputize.pipeline.certify_on_engine import audit_share_of
from deputize.pipeline.curation import privacy_now
from deputize.pipeline.machine_info import machine_info
from deputize.pipeline.run import IMPORT, Run, RunState, calls_of, latest_run, newest_state
from deputize.pipeline.run_erasure import forget_in_run
from deputize.pipeline.run_sharing import share_run
from deputize.pipeline.stage_table import STAGES, Stage, stage_of, steps_from


def convert(
    home: Home,
    config: Convert,
    *,
    paths: Iterable[Path | str] = (),
    agent: str = "",
    log_format: str = "auto",
    progress: Progress = silent,
    stop_after: str | None = None,
    fresh: bool = False,
    tenant: str = "",
) -> dict[str, Any]:
    """Imports `paths`, then does every stage over the calls in the store and publishes the routes that were certified.

    A stopped run goes on where it was when called again with the same settings over the same calls. `convert_all` does
    it for each tenant.

    Args:
        home: the home; its store is opened.
        config: settings of the run.
        paths: logs to import first.
        agent: name of the calls' agent where the log has none.
        log_format: form of the logs.
        progress: called throughout.
        stop_after: the last step to do; None: all.
        fresh: start a new run even where one with these settings can be resumed.
        tenant: whose calls; by default those of the only tenant, or of all where they share specialists.

    Returns:
        The report (docs/reference/report.md), {} when `stop_after` ended the run before it.

    Raises:
        BadInput: nothing to learn from, or an unreadable file.
        MissingExtra: a model or package is not here.
        UsageError: another process converts this home, or no tenant is named of several.
    """
    with home.exclusive("run"):
        imported, import_s = _import(home, list(paths), agent, log_format, progress)
        require_calls(home)
        chosen = tenant or only_tenant(home, config)
        return _convert_one(home, config, chosen, imported, import_s, progress, fresh, stop_after)


def convert_all(
    home: Home,
    config: Convert,
    *,
    paths: Iterable[Path | str] = (),
    agent: str = "",
    log_format: str = "auto",
    progress: Progress = silent,
    fresh: bool = False,
) -> list[dict[str, Any]]:
    """As `convert`, a run for each tenant in turn (one for all where they share specialists), and the report of each.

    A tenant whose calls teach nothing is named, and the others are done all the same.

    Raises:
        As `convert`; BadInput only where that holds for every tenant.
    """
    with home.exclusive("run"):
        imported, import_s = _import(home, list(paths), agent, log_format, progress)
        require_calls(home)
        tenants = tenants_to_convert(home, config)
        reports: list[dict[str, Any]] = []
        failed: BadInput | None = None
        for tenant in tenants:
            if len(tenants) > 1:
                note(progress, f"tenant {tenant}")
            try:
                reports.append(_convert_one(home, config, tenant, imported, import_s, progress, fresh))
            except BadInput as error:
                failed = error
                if len(tenants) > 1:
                    note(progress, f"tenant {tenant} is left out: {error}")
        if failed is not None and not reports:
            raise failed
        return reports


def _convert_one(
    home: Home,
    config: Convert,
    tenant: str,
    imported: Imported | None,
    import_s: float | None,
    progress: Progress,
    fresh: bool,
    stop_after: str | None = None,
) -> dict[str, Any]:
    run = open_run(
        home, config, progress, tenant=tenant, imported=imported, fresh=fresh, privacy=privacy_now(home)
    )
    if import_s is not None and IMPORT not in run.state.timings_s:
        run.add_timing(IMPORT, import_s)
    for stage in STAGES:
        do(run, stage)
        if stage.step == stop_after:
            return {}
    return finish(run)


def require_calls(home: Home) -> None:
    """Raises BadInput where no calls are stored, or settings of a later stage are wrong, before anything is loaded and
    before there is an empty run."""
    home.engine_settings()
    if (home.keys_path / "ring.json").exists():  # a store made here would be one without an audit log
        with contextlib.closing(home.open_store_for_writing()) as store:  # no call is read
            if store.count():
                return
    raise BadInput(
        f"There is nothing to learn from: no calls are in {home.path}. `deputize serve --upstream URL` records an agent's"
        " calls; `deputize import LOG` reads a log of them."
    )


def tenants_to_convert(home: Home, config: Convert) -> list[str]:
    """The tenants that get a run of their own: everybody whose calls are here; "*" alone where they share
    specialists."""
    if config.share_across_tenants:
        return [EVERY_TENANT]
    if not (home.keys_path / "ring.json").exists():
        return [DEFAULT_TENANT]
    with contextlib.closing(home.open_store_for_writing()) as store:  # no call is read
        return [name for name in sorted(store.tenants()) if name != EVERY_TENANT] or [DEFAULT_TENANT]


def only_tenant(home: Home, config: Convert) -> str:
    """The one tenant to convert. Raises UsageError where there are several."""
    tenants = tenants_to_convert(home, config)
    if len(tenants) > 1:
        raise UsageError(
            f"{home.path} holds calls of several tenants ({', '.join(tenants)}): name one with --tenant, or set "
            "share_across_tenants to train on the calls of all together and have all answered by what comes of it."
        )
    return tenants[0]


def _import(
    home: Home, paths: list[Path | str], agent: str, log_format: str, progress: Progress
) -> tuple[Imported | None, float | None]:
    """The summary of the import and the seconds it took; None where there are no logs."""
    if not paths:
        return None, None
    from deputize.stages.collect.import_logs import import_paths

    began = time.monotonic()
    imported = import_paths(
        home.store, home.keyring, paths, log_format, agent, progress, recording=home.recording()
    )
    return imported, time.monotonic() - began


def run_stage(
    home: Home,
    step: str,
    config: Convert,
    *,
    progress: Progress = silent,
    again: bool = False,
    tenant: str = "",
) -> Run:
    """One stage of the current run; `again` forgets its result and all later ones first.

    Args:
        home: the home.
        step: the stage.
        config: settings of the run.
        progress: called throughout.
        again: see above.
        tenant: whose run; as in `convert`.

    Raises:
        UsageError: an earlier stage has not been done, another process converts this home, or no tenant is named of
            several.
    """
    stage = stage_of(step)
    with home.exclusive("run"):
        require_calls(home)
        chosen = tenant or only_tenant(home, config)
        privacy = privacy_now(home) if step == "curate" else None
        run = open_run(home, config, progress, tenant=chosen, privacy=privacy)
        if again:
            run.forget(steps_from(step))
        do(run, stage)
        if stage is STAGES[-1]:
            finish(run)
        else:
            forget_in_run(run)  # what was erased while it was at work
        return run


def do(run: Run, stage: Stage) -> None:
    """Does one stage unless it is done already. Raises UsageError when an earlier one is missing."""
    if run.has(stage.step):
        return
    run.begin_step()
    number = len(STAGES) - len(steps_from(stage.step)) + 1
    begin_stage(run.progress, stage.step, number, len(STAGES), run.remaining_s())
    try:
        stage.run(run, run.artifact(stage.step, stage.artifact))
    finally:
        run.end_step(stage.step)


def open_run(
    home: Home,
    config: Convert,
    progress: Progress,
    *,
    tenant: str = DEFAULT_TENANT,
    agents: Iterable[str] = (),
    fresh: bool = False,
    imported: Imported | None = None,
    privacy: dict[str, Any] | None = None,
) -> Run:
    """The unfinished run with the same settings over the same calls, else a new one.

    `privacy` of None is what the newest run was started with, so that later stages do not begin again when a tagger
    was trained in between.
    """
    wanted = sorted(set(agents))
    n_calls, digest = _digest(home, tenant, set(wanted))
    settings = config.model_dump(mode="json")
    before = newest_state(home, tenant)
    if privacy is None:
        privacy = before.privacy if before else privacy_now(home)
    if before and not fresh:
        same = before.settings == settings and before.calls_digest == digest and before.agents == wanted
        if same and before.privacy == privacy:
            return Run(home, before, progress)
    newest = latest_run(home)
    number = 1 + (int(newest.split("-")[0]) if newest else 0)
    state = RunState(
        run_id=f"{number:04d}-{digest[:6]}",
        settings=settings,
        n_calls=n_calls,
        calls_digest=digest,
        tenant=tenant,
        agents=wanted,
        source_skipped=imported.n_skipped if imported else 0,
        skipped=_reasons(imported),
        privacy=privacy,
    )
    run = Run(home, state, progress)
    run.save()
    return run


def _digest(home: Home, tenant: str, agents: set[str]) -> tuple[int, str]:
    """(number of calls, digest of their ids in order) of a tenant and these agents, of all agents where it is empty."""
    n_calls, seen = 0, hashlib.blake2b(digest_size=16)
    for call in calls_of(home, tenant, agents):
        seen.update((call.id if n_calls == 0 else f"\n{call.id}").encode())
        n_calls += 1
    return n_calls, seen.hexdigest()


def _reasons(imported: Imported | None) -> dict[str, int]:
    out: dict[str, int] = {}
    for file in imported.files if imported else ():
        for reason in file.reasons:
            if not reason.is_no_call:
                out[reason.reason] = out.get(reason.reason, 0) + reason.n
    return out


def finish(run: Run) -> dict[str, Any]:
    """Writes report.json and report.html, publishes the certified routes, marks the run finished."""
    from deputize.stages.evaluate import build_report
    from deputize.web.page import write_report

    curated, discovered = run.load_curated(), run.load("cluster", Discovered)
    selected, finetuned = run.load("select", Selected), run.load("finetune", Finetuned)
    evaluated = run.load("evaluate", Evaluated)
    finished_s = run.state.finished_s or run.home.now()
    report = build_report.build(
        run_id=run.state.run_id,
        tenant=run.state.tenant,
        config=run.config,
        curated=curated,
        discovered=discovered,
        selected=selected,
        finetuned=finetuned,
        results=evaluated.results,
        timings_s=run.state.timings_s,
        environment=machine_info(),
        n_skipped=run.state.source_skipped,
        skipped=run.state.skipped,
        earlier=evaluated.earlier,
        n_missing_from_store=evaluated.n_missing_from_store,
        audit_share=audit_share_of(run.home),
        home=str(run.home.path),
        now_s=finished_s,
    )
    write_report(run.folder, report)
    if not run.state.finished:
        _publish(run, discovered, finetuned, evaluated)
        run.state = msgspec.structs.replace(run.state, finished=True, finished_s=finished_s)
        run.save()
    forget_in_run(run)  # what was erased while it was at work
    if said := share_run(run.home, run.state.run_id):
        note(run.progress, said)
    return report


def _publish(run: Run, discovered: Discovered, finetuned: Finetuned, evaluated: Evaluated) -> None:
    from deputize.pipeline.publication import publish_routes
    from deputize.stages.evaluate import publish

    publish_routes(
        run.home,
        _with_cards(run, publish.route_file(run.state.run_id, discovered, evaluated.results, finetuned)),
        evaluated.earlier,
        evaluated.outdated,
        tenant=run.state.tenant,
        shared_stay=run.config.share_across_tenants,
    )


def _with_cards(run: Run, file: RouteFile) -> RouteFile:
    """The routes with the digests of their specialists' cards, so that no other card is served."""
    from deputize.specialists.specialist_card import CARD, digest_of

    return msgspec.structs.replace(
        file,
        routes=[
            msgspec.structs.replace(route, card_sha256=digest_of(run.home.path / route.specialist / CARD))
            for route in file.routes
        ],
    )
