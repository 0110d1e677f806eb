"""What one stage hands to the next, as a sealed file in the run's folder: examples one by one, then one record.

Only curated data has examples; they are written and read as a stream, so that neither stage holds all of them because
of the file. Every other artifact is the record alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from deputize.core.artifacts import Curated, Discovered
from deputize.core.example_texts import Shared
from deputize.core.records import Example, Record
from deputize.pipeline.example_stream import ExampleStream
from deputize.store.keys.keyring import Sealer
from deputize.store.sealed import SealedStream, read_last, read_stream, sealed_stream

A = TypeVar("A", bound=Record)


class Artifact(Generic[A]):
    """One stage's result: RUN/<step>.sealed, bound to the run and the record type."""

    def __init__(self, folder: Path, step: str, kind: type[A], sealer: Sealer) -> None:
        self.path = folder / f"{step}.sealed"
        self._kind, self._sealer = kind, sealer

    @property
    def exists(self) -> bool:
        """True once it has been written as a whole."""
        return self.path.exists()

    def writing(self) -> AbstractContextManager[SealedStream]:
        """A stream to which examples are added and which the record ends; the file is there when the block has ended.

        Raises:
            StoreError: it cannot be written; what was there before is unchanged.
        """
        return sealed_stream(self.path, self._sealer)

    def write(self, record: A) -> None:
        """Writes the whole artifact; the examples of curated data go one by one. Raises StoreError as `writing`."""
        with self.writing() as stream:
            if isinstance(record, Curated):
                for example in record.examples:
                    stream.add(example)
                stream.end(msgspec.structs.replace(record, examples=[]))
            else:
                stream.end(record)

    def parts(self) -> Iterator[Example | A]:
        """The examples in their order, then the record, one in memory at a time.

        Raises:
            BadInput, Tampered, StoreError: as store.sealed.read_stream.
        """
        return read_stream(self.path, Example, self._kind, self._sealer)

    def examples(self) -> Iterator[Example]:
        """The examples alone."""
        return (part for part in self.parts() if isinstance(part, Example))

    def stream(self) -> A:
        """The artifact; the examples of curated data stay on the disk and are read each time they are asked for.

        Raises:
            As `parts`, and so does reading the examples.
        """
        if self._kind is not Curated:
            return self.read()
        head, n = read_last(self.path, self._kind, self._sealer)
        return msgspec.structs.replace(_shared(head), examples=ExampleStream(self.examples, n))

    def read(self) -> A:
        """The whole artifact in memory; what many examples hold alike is there once. Raises as `parts`."""
        examples, shared = list[Example](), Shared()
        for part in self.parts():
            if isinstance(part, Example):
                examples.append(shared.example(part))
            else:
                record = _shared(part)  # the last one: the stream ends with it or raises
        return msgspec.structs.replace(record, examples=examples) if isinstance(record, Curated) else record


def _shared(record: A) -> A:
    """An equal record that holds once what it has for many calls: ids of tasks, reasons and sites."""
    shared = Shared()
    if isinstance(record, Discovered):
        assignment = {call_id: shared.name(task_id) for call_id, task_id in record.assignment.items()}
        return msgspec.structs.replace(record, assignment=assignment)
    if isinstance(record, Curated):
        return msgspec.structs.replace(record, withheld=list(map(shared.withheld, record.withheld)))
    return record
