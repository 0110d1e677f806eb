"""Segments of prompts: masked values, sentences of long lines, heads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.prompt_segments import (
    LONG_LINE,
    head_of,
    known_head_of,
    line_segments,
    normalise,
    segments,
)


class TestSegments:
    def test_numbers_quotes_and_ids_are_masked(self) -> None:
        assert normalise('Order AB-12345 of "Bob"  on 2024-05-01') == "Order ⟨⟩ of ⟨⟩ on ⟨⟩"
        assert normalise("id 123e4567-e89b-12d3-a456-426614174000.") == "id ⟨⟩."

    def test_apostrophes_are_not_quotes(self) -> None:
        assert normalise("don't touch the user's mail") == "don't touch the user's mail"

    @given(st.text())
    def test_masking_never_fails_and_leaves_no_digit(self, text: str) -> None:
        assert not any("0" <= c <= "9" for c in normalise(text))

    def test_long_lines_are_cut_into_sentences(self) -> None:
        line = "A first sentence that goes on. " * 8
        assert segments(line) == ["A first sentence that goes on."] * 8
        assert segments("Short. Line.\n\n  next  ") == ["Short. Line.", "next"]

    @pytest.mark.parametrize(
        ("segment", "head"),
        [
            ("Topic: dogs", "Topic:"),
            ("- **Order number:** 5", "Order number:"),
            ('"name": "x"', "name:"),
            ("see https://x.y", ""),
            ("one two three four five six: x", ""),
            ("no head here", ""),
            ("Key = 5", "Key:"),
        ],
    )
    def test_heads(self, segment: str, head: str) -> None:
        assert head_of(segment) == head

    @given(
        st.lists(
            st.sampled_from(["Key", "a b", ":", "=", " ", "//", "x", '"', "*", "- ", "\t", "5", "{"]),
            max_size=8,
        )
    )
    def test_the_quick_look_at_a_head_agrees_with_the_pattern(self, parts: list[str]) -> None:
        segment = "".join(parts).strip()
        heads = {"Key:", "a b:", "x:", "Key Key:", "xKey:"}
        head = head_of(segment)
        assert known_head_of(segment, heads) == (head if head in heads else "")

    @given(st.text())
    def test_the_segments_of_a_text_are_those_of_its_lines(self, text: str) -> None:
        assert segments(text) == [
            segment for line in text.splitlines() for segment in line_segments(line.strip())
        ]

    def test_a_line_of_the_limit_is_one_segment(self) -> None:
        line = ("a. " * LONG_LINE)[: LONG_LINE - 1] + "b"
        assert line_segments(line) == [line]
        assert len(line_segments(line + "b")) > 1
