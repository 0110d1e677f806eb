"""models: what there is to choose from, and getting it here."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec
from pydantic import ValidationError

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.core.percentages import whole_percent
from deputize.locations import home_path, models_path
from deputize.specialists.licences import licence_of, refusal_of_licence

if TYPE_CHECKING:
    from deputize.specialists.catalogue import Model
    from deputize.specialists.hardware import Hardware
    from deputize.specialists.model_memory import Fit

Row = TypeVar("Row")


@click.group()
def models() -> None:
    """The small models that can be tuned."""


@models.command("list")
@pass_terminal
def list_models(terminal: Terminal, /) -> None:
    """List the models that this machine can train and serve, and with how much memory, then all others."""
    from deputize.specialists import catalogue, model_memory
    from deputize.specialists.hardware import hardware

    machine, folder = hardware(), models_path()
    rows = [
        (model, model_memory.fit(model, machine), catalogue.is_fetched(model.name, folder))
        for model in catalogue.catalogue(folder, own_rows(terminal)).values()
    ]
    terminal.result(
        {
            "machine": machine,
            "budget_gb": round(model_memory.budget_gb(machine), 2),
            "models": [document_of(*row) for row in rows],
        },
        lambda: _list_for_people(terminal, machine, rows),
    )


def _list_for_people(terminal: Terminal, machine: Hardware, rows: list[tuple[Model, Fit, bool]]) -> None:
    from deputize.specialists.model_memory import SHARE, budget_gb

    budget = budget_gb(machine)
    terminal.say(_folded(f"This machine: {machine.sentence}."))
    terminal.say(
        _folded(
            f"Models may take {budget:.1f} GB here ({whole_percent(SHARE)} of the memory). The GB below are estimates."
        )
    )
    accepted = accepted_conditions(terminal)
    open_to, barred = _split(rows, lambda row: not refusal_of_licence(licences_of(row[0]), accepted))
    trained, others = _split(open_to, lambda row: bool(row[1].train))
    served, too_large = _split(others, lambda row: bool(row[1].serve))
    for title, group in (
        ("Can be trained and served here:", trained),
        ("Can be served here, but not trained:", served),
    ):
        if group:
            terminal.say(f"\n{title}")
            terminal.table(
                ("model", "M params", "train GB", "serve GB", "licence"),
                [_cells(*row) for row in sorted(group, key=lambda row: row[0].params_m)],
            )
    for title, group in (
        ("Too large for this machine", too_large),
        ("With licences that your settings do not accept, or without public weights", barred),
    ):
        if group:
            terminal.say(_folded(f"{title}: {', '.join(model.name for model, *_ in group)}."))
    terminal.say("* is here. All about one: deputize models show NAME; get it: models fetch NAME.")


def _cells(model: Model, can: Fit, is_here: bool) -> tuple[str | None, ...]:
    """A row of the table. The precision stands beside GB where it is not bf16; "free": the licence asks for its notice
    only."""
    is_free = all(set(licence_of(name).conditions) <= {"notice"} for name in licences_of(model))
    return (
        f"{model.name}{' *' if is_here else ''}",
        f"{model.params_m:.0f}",
        f"{can.train_gb:.1f}{'' if can.train == 'bf16' else ' ' + can.train}" if can.train else None,
        f"{can.serve_gb:.1f}{'' if can.serve == 'bf16' else ' ' + can.serve}" if can.serve else None,
        "free" if is_free else "terms",
    )


def _split(rows: list[Row], test: Callable[[Row], bool]) -> tuple[list[Row], list[Row]]:
    """(those that pass, the others)."""
    return [row for row in rows if test(row)], [row for row in rows if not test(row)]


def _folded(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 80))


def own_rows(terminal: Terminal) -> list[Path]:
    """The file of the home with the user's own rows, which need not exist."""
    from deputize.specialists.catalogue import OWN_ROWS

    return [home_path(terminal.given_home) / OWN_ROWS]


def accepted_conditions(terminal: Terminal) -> tuple[str, ...]:
    """Conditions of licences that the settings of the home accept; the defaults where there is no home."""
    if not (home_path(terminal.given_home) / "config.toml").is_file():
        return Convert().licence_conditions
    try:
        return Convert.model_validate(terminal.home.table("convert")).licence_conditions
    except ValidationError as error:
        raise BadInput(f"The table [convert] of config.toml is wrong: {error}") from error


def licences_of(model: Model) -> list[str]:
    """All licences that bind who uses a model."""
    return [model.licence, *model.also_licences]


def document_of(model: Model, can: Fit, is_here: bool) -> dict[str, Any]:
    """All that is known of a model, for programs."""
    from deputize.specialists import model_memory

    return {
        **{name: msgspec.to_builtins(value) for name, value in msgspec.structs.asdict(model).items()},
        "benchmarks": model.benchmarks,
        "unchecked": model.unchecked,
        "conditions": sorted({c for name in licences_of(model) for c in licence_of(name).conditions}),
        "memory_gb": {
            p: round(model_memory.weights_gb(model, p), 3) for p in ("fp32", *model_memory.PRECISIONS)
        },
        "kv_cache_mb_per_1k": _or_none(model_memory.kv_cache_gb(model), 1e3),
        "here": msgspec.structs.asdict(can),
        "in_paper": model.paper,
        "fetched": is_here,
    }


def _or_none(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 2)


@models.command()
@click.argument("name")
@pass_terminal
def show(terminal: Terminal, /, name: str) -> None:
    """All that is known of one model, with the pages, and whether it fits this machine and your settings."""
    from deputize.specialists import catalogue, model_memory
    from deputize.specialists.hardware import hardware

    folder, machine = models_path(), hardware()
    model = catalogue.find(name, folder, own_rows(terminal))
    can, is_here = model_memory.fit(model, machine), catalogue.is_fetched(model.name, folder)
    terminal.result(
        {**document_of(model, can, is_here), "machine": machine},
        lambda: terminal.say("\n".join(_about(model, can, is_here, accepted_conditions(terminal)))),
    )


def _about(model: Model, can: Fit, is_here: bool, accepted: tuple[str, ...]) -> Iterator[str]:
    """Lines about one model, for people."""
    from deputize.specialists import model_memory
    from deputize.specialists.catalogue import BENCHMARKS

    marked = {
        name: f"{value}{' (not checked)' if name in model.unchecked else ''}"
        for name, value in model.columns.items()
    }
    yield f"{model.name} ({'here' if is_here else 'not here'}; {'a language model' if model.role == 'lm' else model.role})"
    yield from (f"  {name.replace('_', ' ')}: {value}" for name, value in marked.items())
    for name in licences_of(model):
        found = licence_of(name)
        yield from textwrap.wrap(
            f"licence {found.name}: {found.sentence} ({', '.join(found.conditions)}) {found.url}",
            80,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    weights = ", ".join(
        f"{p} {model_memory.weights_gb(model, p):.2f}" for p in ("fp32", *model_memory.PRECISIONS)
    )
    yield f"  weights, GB: {weights}"
    if (counted := model_memory.counted_params_m(model)) is not None:
        yield f"  parameters counted from the shape, millions: {counted:.1f}"
    cache = model_memory.kv_cache_gb(model)
    yield f"  KV cache, MB for 1,000 tokens: {'not known' if cache is None else f'{cache * 1e3:.1f}'}"
    for figures in model.figures:
        found_figures = ", ".join(
            f"{k} {v:g} ({BENCHMARKS.get(k, 'other')})" for k, v in figures.percent.items()
        )
        yield from textwrap.wrap(
            f"figures, percent: {found_figures}; {figures.page}, read {figures.read}",
            80,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
        )
    for check in model.checked:
        how = " (a word-for-word copy of it)" if check.copy else ""
        yield from textwrap.wrap(
            f"checked against {check.page}{how}, read {check.read}: {', '.join(check.fields)}",
            80,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
        )
    yield from textwrap.wrap(
        f"weights from: {_origin(model)}", 80, initial_indent="  ", subsequent_indent="    "
    )
    if model.note:
        yield from textwrap.wrap(f"note: {model.note}", 80, initial_indent="  ", subsequent_indent="    ")
    yield from textwrap.wrap(
        f"here: {_verdict(model, can, accepted)}", 80, initial_indent="  ", subsequent_indent="    "
    )


def _origin(model: Model) -> str:
    parts = [f"{model.hub}{'@' + model.commit if model.commit else ' of a model hub'}"] if model.hub else []
    parts += [f"the package {model.wheel.package}=={model.wheel.version}"] if model.wheel else []
    return " or ".join(parts) or "nowhere that we know"


def _verdict(model: Model, can: Fit, accepted: tuple[str, ...]) -> str:
    barred = refusal_of_licence(licences_of(model), accepted)
    parts = [f"can be trained ({can.train}, about {can.train_gb:.1f} GB)"] if can.train else []
    parts += [f"can be served ({can.serve}, about {can.serve_gb:.1f} GB)"] if can.serve else []
    parts += [text for text in (can.why, barred) if text]
    return "; ".join(dict.fromkeys(parts))


@models.command()
@click.argument("name", default="", metavar="[NAME]")
@click.option(
    "--recommended",
    is_flag=True,
    help="The models that a conversion with its defaults uses, instead of one by name.",
)
@click.option("--again", is_flag=True, help="Fetch even where it is here already.")
@click.option(
    "--commit",
    default="",
    help="Commit of the hub's repository (default: the one of the catalogue's row, else the newest).",
)
@pass_terminal
def fetch(terminal: Terminal, /, name: str, recommended: bool, again: bool, commit: str) -> None:
    """Get a model's weights: from a model hub where one answers, else from a pinned package."""
    from deputize.specialists import model_download
    from deputize.specialists.catalogue import manifest

    if bool(name) == recommended:
        raise UsageError("Say which model, or --recommended.")
    if recommended and commit:
        raise UsageError("--commit is of one model's repository, so it takes a NAME.")
    rows = []
    for one in recommended_models() if recommended else (name,):
        with terminal.progress() as progress:
            folder = model_download.fetch(
                one, models_path(), progress, again=again, also=own_rows(terminal), commit=commit
            )
        rows.append({"name": one, "path": str(folder), "origin": manifest(folder.name, models_path()).origin})

    def show() -> None:
        for row in rows:
            terminal.say(f"{row['name']} is in {row['path']} ({row['origin']})")

    terminal.result(rows if recommended else rows[0], show)


def recommended_models() -> tuple[str, ...]:
    """The models that a conversion with its defaults uses."""
    return (*Convert().models, Convert().encoder)


@models.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--licence", default="unknown", show_default=True)
@click.option(
    "--context",
    type=int,
    default=2048,
    show_default=True,
    help="Tokens it can read, where its config does not say.",
)
@pass_terminal
def add(terminal: Terminal, /, name: str, folder: Path, licence: str, context: int) -> None:
    """Take a FOLDER with weights (config.json, *.safetensors, tokenizer), or a file in GGUF, into the catalogue under
    NAME.

    A GGUF file is read, recorded by its digest, architecture and quantisation, and converted to 16 bits.

    A model for token classification, or a GLiNER's folder (gliner_config.json), becomes a detector for [privacy].
    """
    from deputize.specialists import model_download

    path = model_download.add(name, folder, models_path(), licence=licence, context=context)
    terminal.result({"name": name, "path": str(path)}, lambda: terminal.say(f"{name} is in {path}"))
