"""JSON inside texts."""

from __future__ import annotations

from deputize.stages.collect.importers.embedded_json import as_text, objects, structured


def test_json_is_opened_and_prose_is_not() -> None:
    assert structured('{"a": 1}') == {"a": 1} and structured('\n{"a": 1}\n') == {"a": 1}
    assert structured("[sic]") == "[sic]" and structured(3) == 3 and structured(" a ") == " a "
    assert as_text({"a": 1}) == '{"a":1}' and as_text(None) == "" and as_text("x") == "x"
    assert objects([{"a": 1}, 2]) == [{"a": 1}] and objects(True) == []
