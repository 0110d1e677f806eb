"""export: a route's specialist as a folder that other engines load."""

from __future__ import annotations

from pathlib import Path

import click

from deputize.cli.route_views import read_route_file
from deputize.cli.routes import find_route, of_challenger
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import UsageError


@click.command("export")
@click.argument("route_id", metavar="ROUTE")
@click.option(
    "--to",
    "form",
    required=True,
    metavar="FORM",
    help="peft: the adapter; merged: a whole model in safetensors; gguf: for llama.cpp; ollama: GGUF with a Modelfile; onnx: a "
    "graph; npz: the arrays of a linear model.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new or empty folder."
)
@click.option(
    "--precision", default="", metavar="NAME", help="Of the weights: f32, f16, bf16 or q8_0 (default f16)."
)
@click.option(
    "--compare",
    "n_compared",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Held-out requests that the export and the route's specialist are both asked.",
)
@click.option(
    "--share", is_flag=True, help="Also put it into the object store of [objects], sealed, for other homes."
)
@click.option(
    "--fetch",
    is_flag=True,
    help="Make nothing: write what another home has shared of ROUTE in this form into DIR, every file checked.",
)
@of_challenger
@pass_terminal
def export(
    terminal: Terminal,
    /,
    route_id: str,
    form: str,
    out: Path,
    precision: str,
    n_compared: int,
    share: bool,
    fetch: bool,
    challenger: bool,
) -> None:
    """Write the specialist of ROUTE into a folder that other engines load, with recipe, schema, certificate and model
    card.

    The export is loaded back and asked held-out requests beside the route's own specialist; how many answers are the
    same is said here and stands in the folder. No request or answer is written. Goes into the audit log.
    """
    from deputize.route_export import export_route, shared_exports

    if share and fetch:
        raise UsageError("Say --share or --fetch.")
    shared = shared_exports(terminal.home) if share or fetch else None
    file = read_route_file(terminal)
    one = find_route(file, route_id, challenger=challenger)
    name = f"{one.id}/{form}"
    if fetch and shared is not None:
        shared.fetch(name, out)
        terminal.result(
            {"export": name, "folder": str(out)},
            lambda: terminal.say(f"{one.task_name} as {form} is in {out}; the card is README.md."),
        )
        return
    with terminal.progress() as progress:
        done = export_route(
            terminal.home,
            one,
            one.run_id or file.run_id,
            form,
            out,
            precision=precision,
            n_compared=n_compared,
            progress=progress,
        )
    compared = done.comparison
    if shared is not None:
        shared.share(name, one.specialist, out)

    def show() -> None:
        terminal.say(
            f"{one.task_name} as {done.form} ({done.precision}) in {done.folder}; the card is README.md."
        )
        terminal.say(done.sentence)

    terminal.result(done, show)
    if compared.n_agreeing < compared.n:
        terminal.note("It does not answer like the route's specialist: the certificate does not hold for it.")
