"""Models of a hub as detectors: where their folders are, and how texts are cut to fit the model's window.

A model is a folder, a model that `deputize models add` has added, or OWNER/NAME@COMMIT of a hub. No such model is
required, shipped or used by default: users fetch the weights and read the licence themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.locations import models_path
from deputize.specialists import catalogue, model_download

THRESHOLD = 0.5
CHUNK_CHARS = 1200
"""Characters read at once: some 300 tokens of prose, 500 of numbers. Where they are more than a window, less is
read."""
OVERLAP_CHARS = 200
NO_WINDOW = 1 << 20
"""Tokens; tokenizers that know no limit state one of thirty digits."""


def locate_model(model: str, *, kind: str, config: str = "config.json") -> tuple[Path, str]:
    """The folder of a model, and the name of its detector, with the digest of its weights where that is known.

    Args:
        model: a folder, a name under the fetched models, or OWNER/NAME@COMMIT of a hub, which is fetched.
        kind: hub or gliner.
        config: the file without which a folder is no model of that kind.

    Raises:
        BadInput: a folder without that file, or a hub's repository without a commit.
        MissingExtra: the model is not here and cannot be fetched.
        Tampered: the weights of a fetched model are not those that were fetched.
    """
    folder = next((p for p in (Path(model), models_path() / model) if p.is_dir()), None)
    if folder is not None:
        if not (folder / config).is_file():
            raise BadInput(f"The folder {folder} holds no {config}, so {kind}:{model} cannot be read from it")
        digest = catalogue.weights_digest(folder)
        return folder, f"{kind}:{model}@{digest[:12]}" if digest else f"{kind}:{model}"
    reference = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@(.*))?", model)
    if reference is None:
        raise MissingExtra(
            f"The model {model} is not on this machine. Put its folder here with `deputize models add NAME FOLDER`, then "
            f"name it as {kind}:NAME."
        )
    repository, commit = reference.groups()
    if not re.fullmatch(r"[0-9a-f]{40}", commit or ""):
        raise BadInput(
            f"There is no folder {model}. If you mean a repository of a hub, add the 40 digits of a commit from its list of "
            f"commits: {kind}:{repository}@COMMIT. Without a commit its weights could change from run to run."
        )
    folder = model_download.fetch_commit(repository, commit, models_path())
    if not (folder / config).is_file():
        raise BadInput(f"{model} holds no {config}, so it is no model for {kind}:")
    catalogue.weights_digest(folder)
    return folder, f"{kind}:{model}"


def overlapping_chunks(text: str, fits: Callable[[str], bool] = lambda chunk: True) -> list[tuple[int, str]]:
    """(start, chunk) for each chunk of a text, of at most CHUNK_CHARS, cut at white space where there is some.

    Neighbouring chunks share up to OVERLAP_CHARS, so that a value at a cut is whole in one of them. A chunk that does
    not fit is shortened until it does: a model ignores what is beyond its window without a warning. Chunks without a
    letter or digit are left out.

    Args:
        text: any text.
        fits: returns whether a chunk fits into the model's window.
    """
    out: list[tuple[int, str]] = []
    start = 0
    while start < len(text):
        end = _chunk_end(text, start, CHUNK_CHARS)
        while end - start > 1 and not fits(text[start:end]):
            end = _chunk_end(text, start, (end - start) // 2)
        if any(c.isalnum() for c in text[start:end]):
            out.append((start, text[start:end]))
        if end == len(text):
            break
        start = end - min(OVERLAP_CHARS, (end - start) // 4)
        # the rest of a word is no word: to a model it looks like a name or a number
        start = min((at for mark in " \n" if (at := text.find(mark, start, end)) >= 0), default=start)
    return out


def _chunk_end(text: str, start: int, size: int) -> int:
    """The end of a chunk of at most `size` characters: the last white space of its second half, if there is one."""
    end = start + size
    if end >= len(text):
        return len(text)
    cut = max(text.rfind(mark, start + size // 2 + 1, end) for mark in " \n")
    return cut if cut > 0 else end


def window_size(tokenizer: Any, config: Any) -> int:
    """Tokens that a model reads at once, by its tokenizer and its position embeddings."""
    positions = getattr(config, "max_position_embeddings", None) or NO_WINDOW
    # RoBERTa and its relatives count positions from 2
    return min(int(tokenizer.model_max_length), int(positions) - 2, NO_WINDOW)


def first_line(error: Exception) -> str:
    """The first line of an error's message; its type where it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
