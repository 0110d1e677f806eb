"""Conversion, import and reports as functions, for programs and for the commands alike.

Everything takes a `Home`. The stages themselves are in `pipeline.conversion`; here their settings are put together and
their results become records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from deputize.core.config import Convert, sentence
from deputize.core.errors import BadInput, UsageError
from deputize.core.import_summary import Imported
from deputize.core.progress import Progress, silent
from deputize.core.records import Audience
from deputize.core.report_schema import Report, validate
from deputize.home import Home
from deputize.locations import models_path


def convert(
    home: Home,
    config: Convert | None = None,
    *,
    paths: Iterable[Path | str] = (),
    agent: str = "",
    log_format: str = "auto",
    tenant: str = "",
    fresh: bool = False,
    progress: Progress = silent,
) -> Report:
    """Imports `paths`, does every stage over the calls in the store, and publishes the routes that were certified.

    A stopped run goes on where it was when called again with the same settings over the same calls. Where no task has
    enough episodes for a certificate nothing is trained, and `nothing_trained_reason` of the report says why.

    Args:
        home: the home; its store is opened.
        config: settings of the run, from `run_settings`; None: those of the home.
        paths: logs to import first: files, folders, or addresses such as s3://bucket/folder.
        agent: name of the calls' agent where the log has none.
        log_format: form of the logs, "auto" or one of `deputize import --formats`.
        tenant: whose calls; "": those of the only tenant, or of all where they share specialists.
        fresh: start a new run even where one with these settings can be resumed.
        progress: called with (what is done, how far, of how many).

    Returns:
        The report (docs/reference/report.md); report.json and report.html are in the folder of the run.

    Raises:
        BadInput: nothing to learn from, or an unreadable file.
        MissingExtra: a model or package is not here.
        UsageError: another process converts this home, or no tenant is named of several.
    """
    from deputize.pipeline import conversion

    done = conversion.convert(
        home,
        config or run_settings(home),
        paths=paths,
        agent=agent,
        log_format=log_format,
        progress=progress,
        fresh=fresh,
        tenant=tenant,
    )
    return validate(done)


def convert_all(
    home: Home,
    config: Convert | None = None,
    *,
    paths: Iterable[Path | str] = (),
    agent: str = "",
    log_format: str = "auto",
    fresh: bool = False,
    progress: Progress = silent,
) -> list[Report]:
    """As `convert`, a run for each tenant in turn (one for all where they share specialists), and the report of each.

    A tenant whose calls teach nothing is left out, and `progress` is told so.

    Raises:
        As `convert`; BadInput only where that holds for every tenant.
    """
    from deputize.pipeline import conversion

    done = conversion.convert_all(
        home,
        config or run_settings(home),
        paths=paths,
        agent=agent,
        log_format=log_format,
        progress=progress,
        fresh=fresh,
    )
    return [validate(report) for report in done]


def run_settings(home: Home, base: Mapping[str, Any] | None = None, **given: Any) -> Convert:
    """The settings of a run: defaults, then [convert] and [audience] of HOME/config.toml, then what is given.

    Args:
        home: the home.
        base: taken in place of config.toml, as those of an earlier run.
        given: settings by name (docs/reference/settings.md), such as epsilon=.02, methods=("linear",), minutes=10.
            `audience` is added to that of the home, name by name.

    Raises:
        BadInput: config.toml holds something else, or a model is not in the catalogue.
        MissingExtra: a model has not been fetched, or a method cannot run on this machine.
        UsageError: a value that cannot be used.
    """
    stored = dict(base) if base is not None else home.table("convert")
    if base is None and home.table("audience"):
        stored = {**stored, "audience": home.table("audience")}
    try:
        before = Convert.model_validate(stored)
    except ValidationError as error:
        raise BadInput(f"{home.config_path}: {sentence(error)}") from None
    if "audience" in given:
        given["audience"] = {**before.audience, **given["audience"]}
    try:
        config = Convert.model_validate({**before.model_dump(), **given})
    except ValidationError as error:
        raise UsageError(sentence(error)) from None
    check_methods(config)
    check_models(config)
    return config


def check_models(config: Convert) -> None:
    """Raises BadInput for a model that is not in the catalogue, MissingExtra for one that has not been fetched."""
    from deputize.specialists import catalogue

    for name in config.models:
        if name != "auto":  # which are fetched is looked up when the tasks are known
            catalogue.model_path(name, models_path())


def check_methods(config: Convert) -> None:
    """Raises UsageError for a training method that is not known, MissingExtra for one that cannot run on this
    machine."""
    if config.methods == Convert().methods:
        return  # known to be there; finding out takes a second of imports
    from deputize.stages.finetune.methods.registry import find_methods

    for method in find_methods(config.methods):
        method.require()


def import_logs(
    home: Home,
    paths: Iterable[Path | str],
    log_format: str = "auto",
    *,
    agent: str = "",
    audience: Audience = "unknown",
    field_paths: Mapping[str, str] | None = None,
    progress: Progress = silent,
    unpack_all: bool = False,
) -> Imported:
    """Appends the calls of logs to the home's store, encrypted; importing the same log again adds nothing.

    Args:
        home: the home; its store is opened, and `[recording]` says what is kept of calls.
        paths: files, folders, "-" for standard input, or addresses such as s3://bucket/folder.
        log_format: "auto", or one of `deputize import --formats`.
        agent: the agent's name for calls that carry none.
        audience: who reads the replies that declare nothing: "code", "human" or "unknown".
        field_paths: fields of a call -> where a format of your own has them, such as {"messages": "payload.input"}.
        progress: told how many calls have been read.
        unpack_all: unpack files however far they expand; else at most to 100 times their size (bz2, xz, zstd: 200), 32
            MiB being free.

    Raises:
        BadInput: a path cannot be read, a packed file expands too far, or there is not one call in all of them.
        UsageError: there is no such format.
    """
    from deputize.stages.collect.import_logs import import_paths

    return import_paths(
        home.store,
        home.keyring,
        paths,
        log_format,
        agent,
        progress,
        field_paths=field_paths,
        audience=audience,
        recording=home.recording(),
        unpack_all=unpack_all,
    )


def read_report(home: Home, run_id: str | None = None, *, tenant: str = "") -> Report:
    """The report of a run.

    Args:
        home: the home; no key of it is touched.
        run_id: the run; None: the newest one that has a report.
        tenant: of this tenant; "": of any.

    Raises:
        BadInput: there is none, or it was written by another version.
    """
    names = [run_id] if run_id else sorted((p.name for p in home.runs_path.glob("*")), reverse=True)
    for name in names:
        path = home.runs_path / name / "report.json"
        if not path.is_file():
            continue
        whose = ""
        try:
            fields = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            whose = str(fields.get("tenant"))
            if not tenant or whose == tenant:
                return validate(fields)
        except msgspec.DecodeError as error:
            if whose == tenant or not tenant:  # else it is no business of this tenant
                raise BadInput(f"{path} is not a report of this version: {error}") from error
    wanted = (f"run {run_id!r}" if run_id else "finished run") + (
        f" of the tenant {tenant}" if tenant else ""
    )
    raise BadInput(f"There is no {wanted} in {home.path}. `deputize convert` makes one.")
