"""The protocol of writers, as far as code can say it."""

from __future__ import annotations

from deputize.specialists.writing.base import Writer, WrittenToken


class Yes:
    """Writes yes."""

    label, at_once = "yes", 1

    def write(self, prompt: object) -> list[WrittenToken]:
        return [WrittenToken(" yes", -0.1, {" no": -2.3}), WrittenToken("\n", 0.0, {})]

    def close(self) -> None: ...


def test_a_writer_gives_tokens_with_what_else_was_likely() -> None:
    writer: Writer = Yes()
    first, end = writer.write([1, 2])
    assert (first.key, first.others, end.key) == (" yes", {" no": -2.3}, "\n")
