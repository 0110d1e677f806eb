"""watch: the continuous loop, as a command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from deputize.cli.convert import run_options, settings
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.config import Convert
from deputize.core.errors import MissingExtra
from deputize.core.records import DEFAULT_TENANT
from deputize.home import Home

if TYPE_CHECKING:
    from deputize.watcher import CycleResult


@click.command()
@click.option(
    "--every", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds between checks."
)
@click.option(
    "--min-new-calls",
    "min_new",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="New calls answered by the LLM that are reason enough to convert again.",
)
@click.option(
    "--audits-per-false-rollback",
    "audits_per_false_rollback",
    type=click.FloatRange(100),
    default=None,
    show_default="as [gateway] of config.toml says, else 20000",
    help="A route that meets its certificate is rolled back within n audits with probability at most n divided by this.",
)
@click.option("--once", is_flag=True, help="Do one check, act, and end.")
@run_options
@pass_terminal
def watch(
    terminal: Terminal,
    /,
    every: float,
    min_new: int,
    audits_per_false_rollback: float | None,
    once: bool,
    **given: Any,
) -> None:
    """Convert again whenever there is enough new to learn from, and report whether routes still meet their certificates.

    Rolls back routes whose audits go bad, where the gateway, which does so itself, has not done it. Uses the settings of
    the newest run where no others are given. Ctrl-C ends it.
    """
    from deputize.gateway.settings import read_settings
    from deputize.pipeline.conversion import tenants_to_convert
    from deputize.watcher import Watcher, hourly, watching

    home = terminal.home
    gateway = read_settings(home.path)

    # a bad setting or a missing model is reported now, not in a week; a single cycle may find that there is nothing to do
    with contextlib.suppress(*([MissingExtra] if once else [])):
        _settings(home, given)
    keep_to_limits = hourly(lambda: _retain(terminal), tell=terminal.note)
    watchers: dict[str, Watcher] = {}

    def watcher_of(tenant: str) -> Watcher:
        return Watcher(
            home,
            min_new=min_new,
            tenant=tenant,
            audits_per_false_rollback=audits_per_false_rollback or gateway.audits_per_false_rollback,
            audit_share=gateway.audit_share,
            convert=lambda: _convert(terminal, _settings(home, given, tenant), tenant),
        )

    def cycle() -> Iterator[CycleResult]:
        keep_to_limits()
        for tenant in tenants_to_convert(home, settings(home, given)):
            if tenant not in watchers:
                watchers[tenant] = watcher_of(tenant)
            yield watchers[tenant].run_single_cycle() if once else watchers[tenant].run_cycle()

    acted: list[CycleResult] = []

    def tell(result: CycleResult) -> None:
        acted.append(result)
        if not terminal.json:
            _show(terminal, result)

    with home.exclusive("watch"):
        if once:
            for result in cycle():
                tell(result)
        else:
            terminal.note(f"Watching {home.path}: a check every {every:g} s. Ctrl-C ends it.")
            watching(cycle, every_s=every, sleep=time.sleep, tell=tell)
            terminal.note("Stopped watching.")
    terminal.result({"cycles": acted}, lambda: None)


def _settings(home: Home, given: dict[str, Any], tenant: str | None = None) -> Convert:
    """The settings of the newest run (of a tenant), changed by the options that are given."""
    from deputize.pipeline.run import newest_state

    state = newest_state(home, tenant)
    return settings(home, given, state.settings if state is not None else None)


def _convert(terminal: Terminal, config: Convert, tenant: str) -> dict[str, Any]:
    from deputize.core.report_schema import document
    from deputize.library import convert

    with terminal.progress() as progress, terminal.home.fresh() as home:
        made: dict[str, Any] = document(convert(home, config, progress=progress, tenant=tenant))
    return made


def _retain(terminal: Terminal) -> None:
    """Deletes what [retention] does not allow to be kept any longer, and takes out of the runs what an erasure that was
    stopped has left there."""
    from deputize.maintenance.erasure import RUNS_TO_CLEAN
    from deputize.maintenance.retention import retain

    limits = terminal.home.retention()
    if not limits and not (terminal.home.path / RUNS_TO_CLEAN).exists():
        return
    try:
        deleted, _ = retain(terminal.home, terminal.actor, limits, note=terminal.note)
    finally:
        terminal.home.close()
    for tenant, n_calls in deleted.items():
        if n_calls:
            terminal.note(
                f"{n_calls} calls of {tenant} are over the age set in [retention] and were deleted."
            )


def _show(terminal: Terminal, result: CycleResult) -> None:
    for line in result.rolled_back:
        terminal.say(f"rolled back: {line}. Its calls go to the LLM until `deputize route promote`.")
    for line in result.unwatched:
        terminal.say(f"{line}.")
    for line in result.to_renew:
        terminal.say(f"to be renewed: {line}. `deputize convert` does it.")
    whose = "" if result.tenant == DEFAULT_TENANT else f"tenant {result.tenant}: "
    terminal.say(f"{whose}{result.action}: {result.reason}.")
    if result.run_id:
        terminal.say(
            f"Run {result.run_id} is done; `deputize report` shows it, `deputize route list` its routes."
        )
    if result.failed:
        terminal.say(f"The run failed and is tried again when more calls have come: {result.failed}")
