"""A site says who it speaks to in the three words that the report knows."""

from __future__ import annotations

import msgspec
import pytest

from deputize.core.records import decode, encode
from deputize.core.sites import Site

SITE = Site(
    id="s",
    name="router",
    agent="desk",
    n_calls=5,
    n_human=0,
    n_code=5,
    audience="code",
    evidence="All are labels.",
)


def test_a_site_survives_a_file() -> None:
    assert decode(encode(SITE), Site) == SITE


def test_a_site_speaks_to_people_to_code_or_to_both() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(encode(msgspec.structs.replace(SITE, audience="robots")), Site)
