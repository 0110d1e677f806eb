"""YAML documents."""

from __future__ import annotations

import io

import pytest

from deputize.stages.collect.containers.decompress import UnreadableFile
from deputize.stages.collect.containers.yaml_text import yaml_documents


def test_binary_stays_bytes_and_code_is_refused() -> None:
    assert list(yaml_documents(io.BytesIO(b"a: !!binary aGk=\n"))) == [{"a": b"hi"}]
    with pytest.raises(UnreadableFile, match="not YAML"):
        list(yaml_documents(io.BytesIO(b"a: !!python/object/apply:os.system [ls]\n")))


def test_references_that_multiply_are_refused_before_they_are_written_out() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    bomb = "\n".join(["l0: &l0 [x, x, x]", *levels])
    with pytest.raises(UnreadableFile, match="stand for more than"):
        list(yaml_documents(io.BytesIO(bomb.encode())))
    with pytest.raises(UnreadableFile):
        list(yaml_documents(io.BytesIO(b"a: &a [*a]\n")))
    assert list(yaml_documents(io.BytesIO(b"a: &a [1]\nb: *a\n"))) == [{"a": [1], "b": [1]}]
