"""SQL by name: one .sql file per database, statements under `-- name:` lines."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$\n?", re.MULTILINE)


def load_queries(database: str) -> dict[str, str]:
    """name -> statement of `<database>.sql`."""
    text = files(__name__).joinpath(f"{database}.sql").read_text("utf-8")
    pieces = _NAME.split(text)[1:]
    return {
        name: _COMMENT.sub("", body).strip() for name, body in zip(pieces[::2], pieces[1::2], strict=True)
    }
