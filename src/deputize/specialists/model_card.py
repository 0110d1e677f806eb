"""The model card of a specialist: README.md of its folder in a run, and the end of that of an export."""

from __future__ import annotations

from pathlib import Path

from deputize.core.artifacts import Specialist
from deputize.core.errors import DeputizeError
from deputize.core.percentages import percent
from deputize.specialists import catalogue

MODEL_CARD = "README.md"


def write_model_card(folder: Path, card: Specialist, models_dir: Path) -> None:
    """Writes the card of a specialist into its folder. It holds figures and names, never text of a call."""
    base = licence_of(card, models_dir)
    text = f"""{front_matter(base)}# {card.task.name}

A specialist of `deputize` for the task {card.task_id}. What it may answer, and with which threshold, its route says
(`deputize route show`); without a certificate the LLM is to answer. `deputize export` takes it out of the home.

{lineage_and_licence(card, base)}"""
    (folder / MODEL_CARD).write_text(text, "utf-8")


def front_matter(base: dict[str, str]) -> str:
    """The fields that hubs of models read; "" where there is no base model."""
    return f"---\nlicense: {base['licence']}\nbase_model: {base['model']}\n---\n\n" if base else ""


def licence_of(card: Specialist, models_dir: Path) -> dict[str, str]:
    """Name, licence and source of the base model; empty where there is none."""
    if not card.base_sha256:
        return {}
    try:
        model = catalogue.find(card.model, models_dir)
    except DeputizeError:
        return {"model": card.model, "licence": "unknown", "source": ""}
    return {"model": model.hub or model.name, "licence": model.licence, "source": model.source}


def lineage_and_licence(card: Specialist, base: dict[str, str]) -> str:
    """Lineage, figures and the terms of its base model, as Markdown."""
    licence = (
        f"The base model {base['model']} is under {base['licence']} ({base['source'] or 'no source known'}); its terms hold for "
        "this copy."
        if base
        else "There is no base model; the weights are yours as far as your log is."
    )
    return f"""## Lineage

- {_parts(card)}, kind {card.kind}, seed {card.seed}
- trained on {card.n_train:,} de-identified answers in {card.train_s:,.0f} s
- SHA-256 of the base model: {card.base_sha256 or "none"}

## Figures

{_figures(card)}

## Leak test

{_leak(card)}

## Licence

{licence}
"""


def _parts(card: Specialist) -> str:
    members = card.method.split("+")
    if len(members) > 1:
        return f"cascade of {len(members)} methods, asked in turn ({', '.join(members)}), model {card.model}"
    return f"method {card.method}, model {card.model}"


def _figures(card: Specialist) -> str:
    rows = [("of validation answered as the LLM did", card.validation_accuracy)]
    rows += [("of validation could be served, by hindsight", card.validation_coverage)]
    found = [f"- {'not measured:' if share is None else percent(share)} {what}" for what, share in rows]
    if card.prompt_tokens_before is not None and card.prompt_tokens_after is not None:
        found.append(
            f"- it reads {card.prompt_tokens_after:,.0f} tokens of {card.prompt_tokens_before:,.0f} of a prompt"
        )
    if card.ood_detector is not None:
        found.append("- a detector leaves requests that are unlike those it was trained on to the LLM")
    return "\n".join(found)


def _leak(card: Specialist) -> str:
    if card.leak is None:
        return "There was nothing in its answers that could carry a secret."
    return (
        f"{card.leak.reason} {card.leak.n_planted} secrets were planted in its training data and looked for."
    )
