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
    """The edits that a person made to tasks; none where there is no file. Raises BadInput where it is damaged."""
    from deputize.stages.cluster.task_edits import Edits

    path = edits_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Edits)
    except FileNotFoundError:
        return Edits()
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path} cannot be read ({error}); delete it to forget all edits of tasks.") from error
