"""The version of this package, by the rules of semantic versioning (docs/reference/api.md says of which names)."""

from __future__ import annotations

VERSION = "0.1.0"
