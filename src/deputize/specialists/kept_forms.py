"""The forms that the values of a task had in training, kept with its specialist: so the first value that a worker
writes is guessed whole, as later ones are.

Nothing of one person is kept: of a copied part only the tokens by which it is found in a prompt, and a form only where
enough data subjects' values have it, its own words included.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Record
from deputize.core.subjects import Subjects
from deputize.specialists.answer_forms import Copied, Form

FILE = "forms.json"
SlotKey = tuple[str | None, str]
"""Action and name of a slot."""


class Place(Record):
    """Where a part is copied from."""

    before: tuple[int, ...]
    after: int | None = None


class KeptForm(Record):
    """The form of some values of a slot."""

    action: str | None
    slot: str
    parts: tuple[Place | int, ...]
    n: int
    """Values of train that have it."""


def shared_forms(values: Sequence[Mapping[SlotKey, Form]], subjects: Subjects) -> list[KeptForm]:
    """The forms that enough data subjects share, the most frequent first.

    Args:
        values: of each answer, the form of each of its values.
        subjects: of the answers.
    """
    words = subjects.shared(
        [p for form in one.values() for p in form if isinstance(p, int)] for one in values
    )
    found = [{(key, _bare(form, words)) for key, form in one.items()} for one in values]
    shared = subjects.shared(found)
    often = Counter(one for each in found for one in each if one in shared)
    return [
        KeptForm(
            action=key[0],
            slot=key[1],
            parts=tuple(
                Place(before=part[0], after=part[1]) if isinstance(part, tuple) else part for part in parts
            ),
            n=n,
        )
        for (key, parts), n in often.most_common()
    ]


_Bare = tuple[tuple[tuple[int, ...], int | None] | int, ...]


def _bare(form: Form, words: Set[int]) -> _Bare:
    """A form without what was copied; a single token that is among the own words of others only stands in the prompt
    too, such as a comma."""
    return tuple(_part(part, words) if isinstance(part, Copied) else part for part in form)


def _part(copied: Copied, words: Set[int]) -> tuple[tuple[int, ...], int | None] | int:
    is_word = len(copied.tokens) == 1 and copied.tokens[0] in words
    return copied.tokens[0] if is_word else (copied.before, copied.after)


def as_written_before(forms: Iterable[KeptForm], most: int) -> dict[SlotKey, deque[Form]]:
    """The forms as those of values written last, each as often as its share of them; at most so many of a slot."""
    by_slot: dict[SlotKey, list[KeptForm]] = {}
    for one in forms:
        by_slot.setdefault((one.action, one.slot), []).append(one)
    out = {}
    for key, mine in by_slot.items():
        total = sum(one.n for one in mine)
        times = [max(1, round(min(1.0, most / total) * one.n)) for one in mine]
        # a full deque lets go of its end first: of the rarest
        out[key] = deque(
            [_form(one) for one, n in zip(mine, times, strict=True) for _ in range(n)][:most], most
        )
    return out


def _form(kept: KeptForm) -> Form:
    return [Copied(part.before, part.after, ()) if isinstance(part, Place) else part for part in kept.parts]


def write_forms(folder: Path, forms: Sequence[KeptForm]) -> None:
    """Writes the forms into a specialist's folder; no file where there are none."""
    if forms:
        (folder / FILE).write_bytes(msgspec.json.encode(forms))


def read_forms(folder: Path) -> list[KeptForm]:
    """The forms in a specialist's folder, [] where it has none.

    Raises:
        BadInput: they cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[KeptForm])
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
