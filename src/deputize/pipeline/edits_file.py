"""The file of a person's edits of tasks, from which every later run makes them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deputize.core.errors import BadInput

if TYPE_CHECKING:
    from deputize.home import Home
    from deputize.stages.cluster.task_edits import Edits


def edits_path(home: Home) -> Path:
    """The file of a person's edits of tasks: names and template keys, in clear."""
    return home.path / "tasks.json"


def read_edits(home: Home) -> Edits:
    """The edits that a person made to tasks; none where there is no file.

    Raises:
        BadInput: it is damaged.
        Tampered: the home is shared, and it is not the version that a command wrote last.
    """
    from deputize.stages.cluster.task_edits import Edits

    path = edits_path(home)
    try:
        data = home.noted_files.read(
            path, "Put the newest copy back, or delete it to forget all edits of tasks."
        )
        return msgspec.json.decode(data, type=Edits)
    except FileNotFoundError:
        return Edits()
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path} cannot be read ({error}); delete it to forget all edits of tasks.") from error


def write_edits(home: Home, edits: Edits) -> None:
    """Replaces the edits. Raises StoreError."""
    data = msgspec.json.format(msgspec.json.encode(edits), indent=1)
    home.noted_files.write(edits_path(home), data)
