"""The table of names."""

from __future__ import annotations

from deputize.stages.collect.importers import field_names


def test_no_row_names_a_header_or_an_address() -> None:
    rows = [value for name, value in vars(field_names).items() if name.isupper() and name != "NEVER_STORED"]
    text = repr(rows).lower()
    for word in ("authorization", "cookie", "ip_address", "'ip'", "api_key'", "remote_addr", "forwarded"):
        assert word not in text
    assert {"authorization", "api_key", "headers"} <= field_names.NEVER_STORED
