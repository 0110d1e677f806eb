"""The result of an import: what was read of each file, and why something was left out."""

from __future__ import annotations

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Record


class SkipReason(Record):
    """How often records of a file were not imported for one reason."""

    reason: str
    n: int
    first_line: int
    is_no_call: bool = False
    keys: list[str] = msgspec.field(default_factory=list)
    """Names of fields that such records have."""


class ImportedFile(Record):
    """Result of an import for one file."""

    name: str
    formats: dict[str, int] = msgspec.field(default_factory=dict)
    """Format -> calls read in it."""
    n_calls: int = 0
    n_skipped: int = 0
    """Records that could not be read."""
    n_no_calls: int = 0
    """Records that are no LLM calls by their nature."""
    reasons: list[SkipReason] = msgspec.field(default_factory=list)
    """The most frequent first."""


class Imported(Record):
    """Result of an import."""

    n_calls: int
    n_duplicates: int = 0
    n_skipped: int = 0
    """Records that could not be read."""
    n_no_calls: int = 0
    """Records that are no LLM calls by their nature."""
    n_not_kept: int = 0
    """Calls of tenants and sites of which `[recording]` keeps nothing."""
    skipped: list[Skip] = msgspec.field(default_factory=list)
    """The first 100 records that could not be read; n_skipped counts all."""
    files: list[ImportedFile] = msgspec.field(default_factory=list)
    """The first 1,000 files that held something."""
    hidden: list[str] = msgspec.field(default_factory=list)
    """Files and folders that begin with a dot, which are not read."""
