"""JSON inside texts."""

from __future__ import annotations

from deputize.stages.collect.importers.embedded_json import as_text, objects, structured


def test_json_is_opened_and_prose_is_not() -> None:
    assert structured('{"a": 1}') == {"a": 1} and structured('\n{"a": 1}\n') == {"a": 1}
    assert structured("[sic]") == "[sic]" and structured(3) == 3 and structured(" a ") == " a "
    assert as_text({"a": 1}) == '{"a":1}' and as_text(None) == "" and as_text("x") == "x"
    assert objects([{"a": 1}, 2]) == [{"a": 1}] and objects(True) == []


def test_objects_as_python_prints_them_are_opened() -> None:
    assert structured("[{'role': 'user', 'content': None}]") == [{"role": "user", "content": None}]
    for text in ("{'a': f()}", "{'a'}", "{'a': 1", "[{'a': " + "[" * 5000 + "]" * 5000 + "}]"):
        assert structured(text) == text
