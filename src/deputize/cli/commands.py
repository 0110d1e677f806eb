"""The one table of the commands: grouped by purpose, with a sentence each, as `deputize` and `deputize --help` show
them."""

from __future__ import annotations

from collections.abc import Iterator

import click

GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Set up": {
        "demo": ("deputize.cli.demo:demo", "Run the whole loop on a simulated help-desk agent."),
        "init": ("deputize.cli.init:init", "Write a first config.toml, from questions or options."),
        "doctor": (
            "deputize.cli.doctor:doctor",
            "Check this machine and home; say how to mend what is wrong.",
        ),
        "completion": ("deputize.cli.completion:completion", "Print the completion script of a shell."),
    },
    "Record and answer": {
        "serve": ("deputize.cli.serve:serve", "Run the gateway between an agent and its LLM."),
        "specialists": (
            "deputize.cli.specialists:specialists",
            "Answer for specialists on a machine of their own.",
        ),
        "mcp": ("deputize.cli.mcp:mcp", "Offer certified specialists to other agents as tools."),
        "tail": ("deputize.cli.tail:tail", "Show calls as they come: who answered, why, saving."),
        "feedback": (
            "deputize.cli.feedback:feedback",
            "Tell how an episode turned out, or the right answer.",
        ),
        "import": ("deputize.cli.imports:import_", "Read logs of LLM calls into the encrypted store."),
    },
    "Learn": {
        "convert": ("deputize.cli.convert:convert", "Do all five stages below and publish the routes."),
        "curate": ("deputize.cli.convert:curate", "De-identify, filter and split the stored calls."),
        "cluster": ("deputize.cli.convert:cluster", "Find the recurring tasks."),
        "select": ("deputize.cli.convert:select", "Choose what to train for each task."),
        "finetune": ("deputize.cli.convert:finetune", "Train the specialists."),
        "evaluate": ("deputize.cli.convert:evaluate", "Certify the specialists and write the report."),
        "watch": ("deputize.cli.watch:watch", "Convert again whenever there is enough new to learn from."),
        "models": ("deputize.cli.models:models", "List, fetch and add small models."),
    },
    "Look and steer": {
        "status": ("deputize.cli.status:status", "What is recorded, enough for what, routes, saving."),
        "dashboard": (
            "deputize.cli.dashboard:dashboard",
            "Show calls, routes, tasks and runs as a live page.",
        ),
        "report": ("deputize.cli.report:report", "Show the report of a run."),
        "runs": ("deputize.cli.runs:runs", "List runs and compare two of them."),
        "route": ("deputize.cli.routes:route", "List, promote, roll back, close and explain routes."),
        "export": ("deputize.cli.export_route:export", "Write a specialist for other engines."),
        "shadow": ("deputize.cli.shadow:shadow", "Ask a specialist about real calls that the LLM answers."),
        "tasks": ("deputize.cli.tasks:tasks", "List, merge, split, rename and hide tasks."),
        "dataset": ("deputize.cli.dataset:dataset", "Card, drops, new answers, new examples, export."),
    },
    "Privacy, access and upkeep": {
        "privacy": ("deputize.cli.privacy:privacy", "Find personal data in logs; train a detector for it."),
        "keys": ("deputize.cli.keys_and_audit:keys", "API keys, and the keys that seal the store."),
        "audit": ("deputize.cli.keys_and_audit:audit", "Read and verify the audit log."),
        "config": (
            "deputize.cli.config:config",
            "Check the settings, show which are in force, accept changes.",
        ),
        "backup": ("deputize.cli.backup:backup", "Write the home into one file."),
        "restore": ("deputize.cli.backup:restore", "Make a home of a backup."),
        "publish": ("deputize.cli.publish:publish", "Publish routes, keys and specialists for other homes."),
        "store": ("deputize.cli.stores:store", "Move the calls to PostgreSQL; versions of tables there."),
        "erase": ("deputize.cli.erase:erase", "Erase the calls of a person, a run or a tenant."),
        "retention": ("deputize.cli.erase:retention", "Delete the calls that are older than allowed."),
        "subject": ("deputize.cli.subject:subject", "What is stored of one person, for that person."),
        "raw": ("deputize.cli.raw:raw", "Export raw calls, which takes two people."),
    },
}
"""Heading -> command -> where it is written (imported only when it is asked for), and what it does in at most 64
characters."""

COMMANDS: dict[str, str] = {verb: where for group in GROUPS.values() for verb, (where, _) in group.items()}
"""Command -> where it is written."""

START_HERE = (
    ("deputize demo", "see the whole loop on a simulated agent"),
    ("deputize init, deputize serve", "record the calls of your own agent"),
    ("deputize convert LOG", "learn from a log that you have"),
)
"""The three ways in."""

_MORE = (
    "Every command explains itself: deputize COMMAND --help. Manual: docs/ of the source, from README.md on."
)


def overview() -> str:
    """The commands by group, without sentences: a page of 80 columns and 24 lines."""
    formatter = click.HelpFormatter(width=80)
    formatter.write_text(
        "deputize finds the small jobs in an agent's calls to an LLM, trains a small model for each, and routes what a "
        "certificate covers."
    )
    _write_start(formatter)
    with formatter.section("Commands"):
        formatter.write_dl([(title, ", ".join(group)) for title, group in GROUPS.items()])
    formatter.write_paragraph()
    formatter.write_text(f"What each does: deputize --help. {_MORE}")
    return formatter.getvalue().rstrip("\n")


def write_help(formatter: click.HelpFormatter, found: set[str]) -> None:
    """The ways in and every command with its sentence, by group, for `deputize --help`.

    Args:
        formatter: of click.
        found: the commands that there are.
    """
    _write_start(formatter)
    for title, rows in _sections(found):
        with formatter.section(title):
            # one column for all groups
            width = max(map(len, COMMANDS))
            formatter.write_dl([(verb.ljust(width), sentence) for verb, sentence in rows])
    formatter.write_paragraph()
    formatter.write_text(_MORE)


def _write_start(formatter: click.HelpFormatter) -> None:
    with formatter.section("Start here"):
        formatter.write_dl(START_HERE)


def _sections(found: set[str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for title, group in GROUPS.items():
        yield title, [(verb, sentence) for verb, (_, sentence) in group.items() if verb in found]
