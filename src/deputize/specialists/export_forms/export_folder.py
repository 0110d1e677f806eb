"""The folder of an export: weights in their form, and beside them as JSON all that is needed to use them, with a model
card."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from deputize.core.errors import BadInput, DeputizeError
from deputize.core.percentages import percent
from deputize.core.records import Route
from deputize.specialists import catalogue
from deputize.specialists.export_forms.base import ExportForm
from deputize.specialists.export_forms.comparison import ExportComparison
from deputize.specialists.export_forms.tuned_copy import TUNED
from deputize.specialists.prompt_tokenizer import PromptTokenizer
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.specialist_card import OUT_OF_DISTRIBUTION_FILE
from deputize.specialists.tuned_model import base_folder

RECIPE, SCHEMA, CERTIFICATE, COMPARISON, CARD = (
    "recipe.json",
    "answer_schema.json",
    "certificate.json",
    "comparison.json",
    "README.md",
)


def begin(out: Path) -> Path:
    """A fresh folder next to `out`, which takes its place when the export is whole.

    Raises:
        BadInput: `out` is there and not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is there already; --out names a new or an empty folder.")
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def finish(fresh: Path, out: Path) -> None:
    """Puts the whole export in its place."""
    if out.is_dir():
        out.rmdir()
    fresh.rename(out)


def describe(
    stored: StoredSpecialist,
    route: Route,
    form: ExportForm,
    loading: str,
    comparison: ExportComparison,
    folder: Path,
) -> None:
    """Writes everything but the weights."""
    _json(folder / RECIPE, _recipe(stored, route))
    _json(folder / SCHEMA, {"contract": route.contract, "schema": stored.settings.schema})
    _json(folder / CERTIFICATE, {"threshold": route.threshold, "certificate": route.certificate})
    _json(folder / COMPARISON, {**msgspec.to_builtins(comparison), "sentence": comparison.sentence})
    detector = stored.folder / OUT_OF_DISTRIBUTION_FILE
    if detector.is_file():
        shutil.copy(detector, folder / OUT_OF_DISTRIBUTION_FILE)
    (folder / CARD).write_text(model_card(stored, route, form, loading, comparison), "utf-8")


def _json(path: Path, document: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def _recipe(stored: StoredSpecialist, route: Route) -> dict[str, object]:
    settings, frame = stored.settings, None
    # an encoder and a linear model read the prompt as it is
    if stored.card.kind in TUNED:
        frame = PromptTokenizer.of_folder(base_folder(stored)).frame
    return {
        "pruning": stored.card.task.recipe,
        "pruned_by": "deputize.core.prompt.prune(request, pruning)",
        "before": frame.before if frame else "",
        "after": frame.after if frame else "",
        "max_tokens": settings.max_tokens,
        "max_slot_tokens": settings.max_slot_tokens,
        "written": "one line for each slot of answer_schema.json that is no constant: a blank, its text, a line break",
        "threshold": route.threshold,
        "confidence": settings.calibration,
        "out_of_distribution_p": settings.out_of_distribution_p,
    }


def licence_of(stored: StoredSpecialist) -> dict[str, str]:
    """Name, licence and source of the base model; empty where there is none."""
    if not stored.card.base_sha256:
        return {}
    try:
        model = catalogue.find(stored.card.model, stored.models_dir)
    except DeputizeError:
        return {"model": stored.card.model, "licence": "unknown", "source": ""}
    return {"model": model.hub or model.name, "licence": model.licence, "source": model.source}


def model_card(
    stored: StoredSpecialist, route: Route, form: ExportForm, loading: str, comparison: ExportComparison
) -> str:
    """The model card, in Markdown."""
    card, base = stored.card, licence_of(stored)
    licence = (
        f"The base model {base['model']} is under {base['licence']} ({base['source'] or 'no source known'}); its terms hold for "
        "this copy."
        if base
        else "There is no base model; the weights are yours as far as your log is."
    )
    leak = card.leak.reason if card.leak else "There was nothing in its answers that could carry a secret."
    claim = route.certificate.claim if route.certificate else "There is no certificate."
    accuracy = "not measured" if card.validation_accuracy is None else percent(card.validation_accuracy)
    front = f"---\nlicense: {base['licence']}\nbase_model: {base['model']}\n---\n\n" if base else ""
    return f"""{front}# {route.task_name}

A specialist of `deputize`, exported as {form.name}. Route {route.id}, {route.state} when it was exported.

## How to load it

{loading}

A request is pruned by `recipe.json` first; what a decoder writes is read by `answer_schema.json`. Below the threshold in
`certificate.json`, and for requests that the detector takes for unlike those it was trained on (`out_of_distribution.npz`,
where there is one), the LLM is to answer.

## Does it answer like the specialist of the route?

{comparison.sentence}

## Certificate

{claim}

It was measured on the engine that deputize serves with, not on this copy: it holds for this copy as far as the comparison above
says that both answer alike, and no further.

## Lineage

- method {card.method}, model {card.model}, kind {card.kind}, seed {card.seed}
- trained on {card.n_train:,} de-identified answers in {card.train_s:,.0f} s; {accuracy} of validation answered as the LLM did
- leak test: {leak}
- SHA-256 of the base model: {card.base_sha256 or "none"}

## Licence

{licence}
"""
