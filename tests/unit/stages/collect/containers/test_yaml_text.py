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
