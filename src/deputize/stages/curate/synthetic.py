"""Examples that an LLM made up from calls of train: the file that keeps them, and which of them a curation takes.

They go into train and nowhere else: a certificate is about calls that there were. One stays with the call that it was
made from: it is in train only while that call is, counts as of its group and person, and goes with it when it is
erased.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from deputize.core.records import Example, Message, Record
from deputize.store.keys.keyring import KeyRing
from deputize.store.sealed import read_sealed, write_sealed


class SyntheticExamples(Record):
    """All synthetic examples of a home."""

    examples: list[Example]


def has_synthetic(home: Path) -> bool:
    """False where no example was ever made up in a home."""
    return _path(home).exists()


def read_synthetic(home: Path, keyring: KeyRing) -> dict[str, Example]:
    """Synthetic examples by id. Raises Tampered or StoreError where they cannot be read."""
    path = _path(home)
    found = read_sealed(path, SyntheticExamples, keyring).examples if path.exists() else []
    return {one.call_id: one for one in found}


def write_synthetic(home: Path, keyring: KeyRing, examples: Mapping[str, Example]) -> None:
    """Replaces the synthetic examples of a home."""
    write_sealed(_path(home), SyntheticExamples(examples=[examples[id] for id in sorted(examples)]), keyring)


def forget_synthetic(home: Path, keyring: KeyRing, gone: Callable[[Sequence[str]], set[str]]) -> None:
    """Takes out examples made from calls that can no longer be read.

    Args:
        gone: the calls among some that cannot be read any more.
    """
    known = read_synthetic(home, keyring)
    lost = gone(sorted({one.made_from for one in known.values()})) if known else set()
    if lost:
        kept = {id: one for id, one in known.items() if one.made_from not in lost}
        write_synthetic(home, keyring, kept)


def synthetic_example(source: Example, text: str, response: Message, model: str) -> Example:
    """An example with another last message than the one of train that it was made from.

    Args:
        source: of train.
        text: of the new last message.
        response: of the LLM to the new request.
        model: its name.
    """
    messages = [*source.request.messages[:-1], {**source.request.messages[-1], "content": text}]
    digest = blake2b(f"{source.call_id}\0{text}".encode(), digest_size=12).hexdigest()
    return msgspec.structs.replace(
        source,
        call_id=f"synthetic-{digest}",
        made_from=source.call_id,
        request=msgspec.structs.replace(source.request, messages=messages),
        response=response,
        model=model,
        answered_by=model,
        weight=1.0,
        outcome=None,
        usage=None,
        cost_usd=None,
        latency_ms=None,
        repeated=[],
        logprobs=[],
        training_only=True,
    )


def fitting(known: Iterable[Example], in_train: Container[str]) -> list[Example]:
    """Those whose source is an example of train that may be trained on.

    Args:
        known: all synthetic examples.
        in_train: ids of such examples of this curation.
    """
    return [one for one in known if one.made_from in in_train]


def _path(home: Path) -> Path:
    return home / "synthetic.sealed"
