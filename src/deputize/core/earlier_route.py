"""A published route that a later run has no successor for: kept or closed, and why."""

from __future__ import annotations

from deputize.core.records import Record


class EarlierRoute(Record):
    """A published route of which this run certified no successor."""

    route_id: str
    """Its id."""
    specialist: str
    """Folder of its specialist, relative to the home."""
    task_id: str
    """The task of this run that its calls belong to; "" where there is none."""
    task_name: str
    """For a reader."""
    kept: bool
    """It stays as it is, with its certificate; else it is closed."""
    reason: str
    """Why, for a reader."""
