"""Property tests are not timed here: on a busy machine an example may take any time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
