"""Artifacts: examples one by one, then the record; changed or cut ones are noticed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from deputize.core.artifacts import Curated, Discovered
from deputize.core.errors import Tampered
from deputize.core.records import Example, Request
from deputize.pipeline.artifact import Artifact
from deputize.store.keys.keyring import Sealer

SEALER = Sealer(bytes(32))


def curated(n: int) -> Curated:
    examples = [
        Example(
            call_id=f"c{i}",
            request=Request(messages=[{"role": "user", "content": f"text {i}"}]),
            response={"role": "assistant", "content": "yes"},
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"e{i}",
            origin="",
            split="train",
        )
        for i in range(n)
    ]
    return Curated(examples=examples, sites=[], n_calls=n, n_episodes=n, n_code_calls=n)


def test_curated_data_comes_back_whole_and_one_by_one(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "curate", Curated, SEALER)
    assert not artifact.exists
    artifact.write(curated(5))
    assert artifact.exists and artifact.path == tmp_path / "curate.sealed"
    assert artifact.read() == curated(5)
    assert [e.call_id for e in artifact.examples()] == [f"c{i}" for i in range(5)]
    *_, last = artifact.parts()
    assert isinstance(last, Curated) and last.examples == [] and last.n_calls == 5
    assert b"text 1" not in artifact.path.read_bytes()


def test_the_id_of_a_task_is_in_memory_once(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "cluster", Discovered, SEALER)
    found = Discovered(tasks=[], keyspaces=[], assignment={f"c{i}": f"task-{i % 2}" for i in range(6)})
    artifact.write(found)
    again = artifact.read()
    assert again == found and list(again.assignment) == list(found.assignment)
    assert len({id(task) for task in again.assignment.values()}) == 2


def test_what_examples_hold_alike_is_in_memory_once(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "curate", Curated, SEALER)
    tools = [{"type": "function", "function": {"name": "look_up", "description": "d" * 500}}]
    whole = curated(2)
    system = {"role": "system", "content": "Be brief. " * 50}
    asked = [
        msgspec.structs.replace(e.request, tools=tools, messages=[dict(system), *e.request.messages])
        for e in whole.examples
    ]
    examples = [msgspec.structs.replace(e, request=r) for e, r in zip(whole.examples, asked, strict=True)]
    artifact.write(msgspec.structs.replace(whole, examples=examples))
    first, second = artifact.read().examples
    assert first.request.tools is second.request.tools == tools
    assert first.request.messages[0] is second.request.messages[0]
    assert first.request.messages[1] is not second.request.messages[1]


def test_a_record_alone_is_an_artifact_too(tmp_path: Path) -> None:
    found = Discovered(tasks=[], keyspaces=[], assignment={"c1": "t"})
    artifact = Artifact(tmp_path, "cluster", Discovered, SEALER)
    artifact.write(found)
    assert artifact.read() == found and list(artifact.examples()) == []


def test_an_artifact_that_is_not_ended_is_not_there(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "curate", Curated, SEALER)
    with pytest.raises(KeyError), artifact.writing() as stream:
        stream.add(curated(1).examples[0])
        raise KeyError
    assert not artifact.exists


def test_other_keys_other_kinds_and_changes_are_noticed(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "curate", Curated, SEALER)
    artifact.write(curated(2))
    for other in (
        Artifact(tmp_path, "curate", Curated, Sealer(bytes(31) + b"1")),
        Artifact(tmp_path, "curate", Discovered, SEALER),
    ):
        with pytest.raises(Tampered):
            other.read()
    artifact.path.write_bytes(artifact.path.read_bytes()[:-20])
    with pytest.raises(Tampered, match="cut off"):
        artifact.read()
