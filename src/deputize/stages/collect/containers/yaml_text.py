"""Documents of a YAML file, such as the cassettes of VCR."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from deputize.core.errors import MissingExtra
from deputize.stages.collect.containers.decompress import UnreadableFile
from deputize.stages.collect.containers.tabular import as_json

MAX_YAML_BYTES = 64 * 2**20
MAX_ALIASES = 1000
MAX_VALUES = 5_000_000


def yaml_documents(stream: BinaryIO) -> Iterator[Any]:
    """The documents of a YAML file, as JSON has them; bytes (`!!binary`) stay bytes.

    Raises:
        UnreadableFile: too large, not YAML, or full of references, by which a small file stands for an endless one.
        MissingExtra: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise MissingExtra.package("PyYAML", "all") from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = stream.read(MAX_YAML_BYTES + 1)
    if len(data) > MAX_YAML_BYTES:
        raise UnreadableFile("a YAML file of more than 64 MiB")
    try:
        n_aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, Loader=loader))
        if n_aliases > MAX_ALIASES:
            raise UnreadableFile(f"a YAML file with more than {MAX_ALIASES} references")
        loaded = list(yaml.load_all(data, Loader=loader))
        if _n_values(loaded, {}) > MAX_VALUES:
            raise UnreadableFile(f"a YAML file whose references stand for more than {MAX_VALUES:,} values")
        documents = [as_json(document) for document in loaded]
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UnreadableFile("not YAML, or with tags that are not read") from None
    yield from documents


def _n_values(value: Any, known: dict[int, int]) -> int:
    """The number of values in a document once its references are written out; RecursionError where one holds itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_n_values(item, known) for item in inner)
    return known[id(value)]
