"""convert, and one command for each of its stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from deputize.cli.imports import log_format_option
from deputize.cli.rights import tenant_of, tenant_option
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.config import Convert
from deputize.core.errors import AccessDenied
from deputize.core.records import EVERY_TENANT
from deputize.home import Home
from deputize.library import run_settings
from deputize.pipeline.stage_table import STAGES, Stage

TOO_FEW_EPISODES = 6
"""Exit code where nothing was trained, since no task of the log can be certified."""

F = TypeVar("F", bound=Callable[..., Any])


audience_option = click.option(
    "--audience",
    "readers",
    multiple=True,
    metavar="[NAME=]code|human",
    help="Reader of the replies that declare none: of a site or agent by its name, or of all (may be repeated).",
)


def run_options(command: F) -> F:
    """The settings of a run, as options."""
    for option in reversed(
        (
            click.option(
                "--model",
                "models",
                multiple=True,
                metavar="NAME",
                help="Base model to tune (may be repeated; auto: the most promising of the fetched ones).",
            ),
            click.option(
                "--method",
                "methods",
                multiple=True,
                metavar="NAME",
                help="Training method that may be used: cache, linear, tools, listed, frozen, encoder, frozen_base, lora, lora_from_head, token_distillation, multitask, listed_lora, rslora, minifinetuning, on_policy_distillation, dora, dpo, qlora, full, "
                "or a package's own (may be repeated; default auto: linear, listed, frozen and lora, as each task needs them).",
            ),
            click.option(
                "--epsilon",
                type=float,
                help="Maximum quality loss of a route, over all calls of its task (default .05).",
            ),
            click.option(
                "--served-limit",
                type=float,
                help="Maximum share of errors among the calls that a specialist serves (default 3 epsilon).",
            ),
            click.option("--delta", type=float, help="Chance that a certificate is wrong (default .05)."),
            click.option(
                "--scope",
                type=click.Choice(["per-route", "all-routes"]),
                help="Apply delta to each certificate separately (default) or to all certificates of the run together.",
            ),
            click.option(
                "--reference",
                type=click.Choice(["llm", "labels"]),
                help="Answers that a certificate is about: the LLM's (default), or right ones.",
            ),
            click.option(
                "--share-across-tenants/--no-share-across-tenants",
                default=None,
                help="Train on the calls of all tenants together, and have all of them answered by what comes of it "
                "(default no: a run for each tenant).",
            ),
            click.option(
                "--explore/--no-explore",
                default=None,
                help="Also train tasks that have too few episodes for a certificate, and methods that a cheaper one makes unnecessary (default no).",
            ),
            audience_option,
            click.option("--seed", type=int, help="Seed of every random choice (default 0)."),
            click.option("--minutes", type=float, help="Time budget; training is cut to fit (default 30)."),
            click.option("--min-calls", type=int, help="Tasks with fewer calls are left alone (default 60)."),
        )
    ):
        command = option(command)
    return command


def settings(home: Home, given: dict[str, Any], base: dict[str, Any] | None = None) -> Convert:
    """The settings of a run: defaults, then [convert] in HOME/config.toml (or `base`), then the command line.

    Raises:
        As library.run_settings.
    """
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    if "readers" in chosen:
        chosen["audience"] = _readers(chosen.pop("readers"))
    return run_settings(home, base, **chosen)


def _readers(given: tuple[str, ...]) -> dict[str, str]:
    """The readers that --audience names, by the name of a site or agent, "*" for all."""
    pairs = (value.rpartition("=") for value in given)
    return {name or "*": reader for name, _, reader in pairs}


@click.command()
@click.argument("paths", nargs=-1)
@log_format_option
@click.option("--agent", default="", help="Name the calls' agent where the log has none.")
@click.option(
    "--fresh", is_flag=True, help="Start a new run even where one with these settings can be resumed."
)
@tenant_option
@run_options
@pass_terminal
def convert(
    terminal: Terminal,
    /,
    paths: tuple[str, ...],
    log_format: str,
    agent: str,
    fresh: bool,
    tenant: str,
    **given: Any,
) -> None:
    """Import PATHS (if any), then do every stage over the calls in the store and publish the routes that were
    certified.

    Each tenant gets a run of its own, whose specialists answer for that tenant only; where there are several, --json
    gives {"reports": [...]}. Where no task can be certified with so few
    episodes, nothing is trained (unless --explore), and the exit code is 6.
    """
    from deputize import library
    from deputize.cli.report import show_report
    from deputize.core.report_schema import document

    chosen = tenant_of(terminal, tenant)
    if paths and terminal.actor.tenant != EVERY_TENANT:
        raise AccessDenied(f"{terminal.actor.name} is for one tenant only and may not import a log.")
    config = settings(terminal.home, given)
    log: dict[str, Any] = {"paths": paths, "agent": agent, "log_format": log_format, "fresh": fresh}
    with terminal.progress() as progress:
        if chosen:
            done = [library.convert(terminal.home, config, progress=progress, tenant=chosen, **log)]
        else:
            done = library.convert_all(terminal.home, config, progress=progress, **log)
    reports = [document(report) for report in done]

    def show() -> None:
        for report in reports:
            show_report(terminal, report)

    terminal.result(reports[0] if len(reports) == 1 else {"reports": reports}, show)
    if all(report["nothing_trained_reason"] for report in reports):
        if terminal.json:
            for report in reports:
                terminal.note(report["nothing_trained_reason"])
        raise click.exceptions.Exit(TOO_FEW_EPISODES)


def _command(stage: Stage) -> click.Command:
    """The command of one stage."""

    @click.command(stage.step, help=stage.help)
    @click.option(
        "--again", is_flag=True, help="Forget the result of this stage and of all later ones first."
    )
    @tenant_option
    @run_options
    @pass_terminal
    def command(terminal: Terminal, /, again: bool, tenant: str, **given: Any) -> None:
        from deputize.pipeline.conversion import run_stage
        from deputize.pipeline.run import newest_state

        chosen = tenant_of(terminal, tenant)
        before = newest_state(terminal.home, chosen or None)
        config = settings(terminal.home, given, before.settings if before else None)
        with terminal.progress() as progress:
            run = run_stage(terminal.home, stage.step, config, progress=progress, again=again, tenant=chosen)
        facts = stage.facts(run.artifact(stage.step, stage.artifact).stream())
        document = {"run_id": run.state.run_id, "stage": stage.step, **facts}
        terminal.result(document, lambda: _show(terminal, document))

    return command


def _show(terminal: Terminal, facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        shown = ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        terminal.say(f"{name.replace('_', ' '):<12} {shown}")


curate, cluster, select, finetune, evaluate = map(_command, STAGES)
