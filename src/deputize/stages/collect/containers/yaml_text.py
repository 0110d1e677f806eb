"""Documents of a YAML file, such as the cassettes of VCR."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from deputize.core.errors import MissingExtra
from deputize.stages.collect.containers.decompress import UnreadableFile
from deputize.stages.collect.containers.tabular import as_json

MAX_YAML_BYTES = 64 * 2**20
MAX_ALIASES = 1000


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
        documents = [as_json(document) for document in yaml.load_all(data, Loader=loader)]
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UnreadableFile("not YAML, or with tags that are not read") from None
    yield from documents
