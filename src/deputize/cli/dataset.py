"""dataset: curated data, for people and for other programs."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

import click

from deputize.cli.ids import whole_run_id
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.contracts import text_of, tool_calls_of
from deputize.core.errors import UsageError
from deputize.core.records import Split

if TYPE_CHECKING:
    from deputize.stages.curate.review import DroppedCall

_SPLITS = [split for split in get_args(Split) if split]


@click.group()
def dataset() -> None:
    """The curated data: card, drops, export."""


@dataset.command("card")
@click.argument("run_id", metavar="[RUN]", required=False)
@pass_terminal
def show_card(terminal: Terminal, /, run_id: str | None) -> None:
    """The dataset card of a run (the newest by default), as Markdown: counts, detectors, recall, k-anonymity,
    licences."""
    from deputize.dataset import card

    run, text = card(terminal.home, whole_run_id(terminal.home, run_id), terminal.actor)
    terminal.result({"run_id": run, "card": text}, lambda: terminal.say(text))


@dataset.command("dropped")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--reason", help="Show the calls of this reason, with their de-identified text.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many calls.")
@pass_terminal
def show_dropped(terminal: Terminal, /, run_id: str | None, reason: str | None, limit: int) -> None:
    """Show what was kept out of training, by reason. Goes into the audit log as a look at curated text."""
    from deputize.dataset import Dataset, as_rows

    data = Dataset(terminal.home, whole_run_id(terminal.home, run_id), terminal.actor)
    found = data.dropped()
    counts = Counter(d.reason for d in found)
    if reason is None:
        document = {"run_id": data.run_id, "reasons": dict(counts.most_common())}
        terminal.result(document, lambda: terminal.table(("reason", "calls"), counts.most_common()))
        return
    if reason not in counts:
        terminal.note(f"No call was dropped for that; reasons are: {', '.join(sorted(counts)) or 'none'}.")
    rows = [d for d in found if d.reason == reason][:limit]

    def show() -> None:
        for drop in rows:
            _show(terminal, drop)

    terminal.result({"run_id": data.run_id, "calls": as_rows(rows)}, show)
    if counts[reason] > len(rows):
        terminal.note(f"{len(rows)} of {counts[reason]:,} calls; --limit shows more.")


def _show(terminal: Terminal, drop: DroppedCall) -> None:
    terminal.say(f"--- {drop.call_id}  {drop.split}")
    if drop.example is None:
        terminal.say("(its text was not de-identified, so it is not shown)")
        return
    terminal.say(
        _shortened(text_of(drop.example.request.messages[-1]) if drop.example.request.messages else "")
    )
    made = tool_calls_of(drop.example.response)
    answer = (
        "; ".join(f"{c['name']} {c['arguments']}" for c in made) if made else text_of(drop.example.response)
    )
    terminal.say(f"=> {_shortened(answer)}")


def _shortened(text: str, most: int = 600) -> str:
    return text if len(text) <= most else text[:most] + " ..."


@dataset.command("restore")
@click.argument("call_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--undo", is_flag=True, help="Apply the filters to them again.")
@pass_terminal
def restore(terminal: Terminal, /, call_ids: tuple[str, ...], undo: bool) -> None:
    """Put dropped calls back into training; takes effect with `deputize curate --again` and in later runs."""
    from deputize.dataset import Dataset

    data = Dataset(terminal.home, None, terminal.actor)
    after = data.undo_restore(call_ids) if undo else data.restore(call_ids)
    terminal.result(
        {"run_id": data.run_id, "restored": sorted(after)},
        lambda: terminal.say(
            f"{len(after)} calls are put back; this takes effect with `deputize curate --again`."
        ),
    )


@dataset.command("relabel")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    help="An LLM to ask; given several times, they are asked in turn.",
)
@click.option("--upstream", default="", metavar="NAME", help="Of config.toml; the first one where left out.")
@click.option("--task", default="", metavar="ID", help="Only the calls of one task.")
@click.option(
    "--votes",
    "n_votes",
    type=click.IntRange(3, 9),
    default=3,
    show_default=True,
    help="Answers to a call, the logged one included, of which more than half decide; an odd number.",
)
@click.option(
    "--max-questions", type=click.IntRange(2), default=500, show_default=True, help="To all calls together."
)
@click.option(
    "--budget-usd", type=click.FloatRange(0, min_open=True), help="No more is asked once this is spent."
)
@pass_terminal
def relabel_calls(
    terminal: Terminal,
    /,
    run_id: str | None,
    models: tuple[str, ...],
    upstream: str,
    task: str,
    n_votes: int,
    max_questions: int,
    budget_usd: float | None,
) -> None:
    """Ask LLMs again about training calls, and learn from what most of them answer.

    They are sent de-identified requests. Calibration and held-out calls keep the logged answers: a certificate is about
    those. It takes effect with `deputize curate --again` and in later runs, and is in the dataset card.
    """
    from deputize.dataset import Dataset
    from deputize.gateway.settings import named_upstream
    from deputize.pipeline.relabelling import RelabelLimits
    from deputize.upstreams.sync_client import SyncClient

    if n_votes % 2 == 0:
        raise UsageError(f"--votes has to be odd, so that more than half can decide: {n_votes} is even.")
    config = named_upstream(terminal.home.path, upstream)
    data = Dataset(terminal.home, whole_run_id(terminal.home, run_id), terminal.actor)
    with ExitStack() as stack:
        clients = {model: stack.enter_context(closing(SyncClient(config, model))) for model in models}
        progress = stack.enter_context(terminal.progress())
        done = data.relabel(
            clients, RelabelLimits(models, n_votes, max_questions, budget_usd, task), progress
        )

    def show() -> None:
        terminal.say(
            f"{done.n_questions:,} questions, {done.usd:.2f} US dollars: {done.same:,} logged answers have the majority, "
            f"{done.other:,} calls get another one, {done.divided:,} have none and are not trained on. {done.n_left:,} calls of "
            "train were not asked about. This takes effect with `deputize curate --again`."
        )

    terminal.result(done, show)
    if done.stopped:
        terminal.note(f"It ended early: {done.stopped}.")


@dataset.command("expand")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--task", required=True, metavar="ID", help="The task that gets examples.")
@click.option("--model", required=True, help="The LLM that writes and answers them.")
@click.option("--upstream", default="", metavar="NAME", help="Of config.toml; the first one where left out.")
@click.option(
    "--examples", "n_examples", type=click.IntRange(1), default=100, show_default=True, help="How many."
)
@click.option(
    "--budget-usd", type=click.FloatRange(0, min_open=True), help="No more is asked once this is spent."
)
@click.option(
    "--python", default="", metavar="PATH", help="The interpreter of an environment that has data-designer."
)
@pass_terminal
def expand_task(
    terminal: Terminal,
    /,
    run_id: str | None,
    task: str,
    model: str,
    upstream: str,
    n_examples: int,
    budget_usd: float | None,
    python: str,
) -> None:
    """Have an LLM make up training examples for a task, by NVIDIA's Data Designer, and answer them.

    It is sent de-identified inputs of train. Synthetic examples are trained on, never measured on; it takes effect with
    `deputize curate --again` and in later runs, and is in the dataset card.
    """
    from deputize.dataset import Dataset
    from deputize.gateway.settings import named_upstream
    from deputize.pipeline.expansion import ExpansionLimits
    from deputize.stages.curate.designer import Designer
    from deputize.upstreams.sync_client import SyncClient

    config = named_upstream(terminal.home.path, upstream)
    data = Dataset(terminal.home, whole_run_id(terminal.home, run_id), terminal.actor)
    with ExitStack() as stack:
        client = stack.enter_context(closing(SyncClient(config, model)))
        progress = stack.enter_context(terminal.progress())
        designer = Designer(_endpoint(config.base_url), model, config.key(), python)
        done = data.expand(designer, client, ExpansionLimits(task, model, n_examples, budget_usd), progress)

    def show() -> None:
        terminal.say(
            f"{done.n_made:,} examples made up for {done.task}, {done.usd:.2f} US dollars for {done.n_questions:,} questions; left out "
            f"{done.n_repeated:,} that repeat others and {done.n_unanswered:,} without an answer in the task's form. This takes "
            "effect with `deputize curate --again`."
        )

    terminal.result(done, show)
    if done.stopped:
        terminal.note(f"It ended early: {done.stopped}.")


def _endpoint(base_url: str) -> str:
    """The address up to and with its version, as OpenAI's clients are given it."""
    return base_url if urlsplit(base_url).path.strip("/") else f"{base_url}/v1"


@dataset.command("export")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "openai", "parquet", "hf"]),
    default="jsonl",
    show_default=True,
    help="openai: lines for OpenAI's fine-tuning; hf: a folder for Hugging Face's load_dataset.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new or empty folder."
)
@click.option("--task", default="", metavar="ID", help="Only the calls of one task.")
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(_SPLITS), help="Only this split (may be repeated)."
)
@click.option(
    "--rows",
    type=click.Choice(["trainable", "dropped", "all"]),
    default="trainable",
    show_default=True,
    help="Of train and validation: what may be trained on, what was dropped, or both.",
)
@pass_terminal
def export_files(
    terminal: Terminal,
    /,
    run_id: str | None,
    form: str,
    out: Path,
    task: str,
    splits: tuple[str, ...],
    rows: str,
) -> None:
    """Write de-identified examples and their card into a folder, in clear. Goes into the audit log."""
    from deputize.dataset import Dataset

    done = Dataset(terminal.home, whole_run_id(terminal.home, run_id), terminal.actor).export(
        out,
        form,  # type: ignore[arg-type]
        task=task,
        splits=splits,
        chosen=rows,  # type: ignore[arg-type]
    )
    counts = ", ".join(f"{n:,} {split}" for split, n in done.rows.items())
    terminal.result(done, lambda: terminal.say(f"{counts} in {out}; the card is README.md."))
    if done.n_erased:
        terminal.note(f"{done.n_erased:,} examples were left out: their calls have been erased.")
