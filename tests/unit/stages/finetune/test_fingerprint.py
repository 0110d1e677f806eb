"""Whatever a specialist depends on changes its fingerprint; a name does not."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.config import Convert
from deputize.specialists.fit_value_tools import LookupTable
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.examples import TrainingSet, training_set_of
from deputize.stages.finetune.fingerprint import fingerprint


@pytest.fixture(scope="module")
def examples() -> TrainingSet:
    curated, discovered = tiny_tasks.make(("label",), 20)
    return training_set_of(curated, discovered.assignment, discovered.tasks[0])


def test_everything_that_matters_is_in_it(examples: TrainingSet) -> None:
    schema = learn_schema(examples.task.contract, ["yes", "no"])
    config = Convert()

    def of(**changed: object) -> str:
        given = {
            "examples": examples,
            "schema": schema,
            "method": "lora",
            "epochs": 3,
            "config": config,
            "base_sha256": "b",
        }
        return fingerprint(**{**given, **changed})  # type: ignore[arg-type]

    first = examples.train[0]
    others = [
        of(method="dora"),
        of(epochs=4),
        of(base_sha256="c"),
        of(config=Convert(seed=1)),
        of(config=Convert(min_origins=3)),
        of(schema=msgspec.structs.replace(schema, slots=[])),
        of(examples=replace(examples, train=[replace(first, answer="maybe"), *examples.train[1:]])),
        of(examples=replace(examples, train=[replace(first, subject="somebody"), *examples.train[1:]])),
        of(examples=replace(examples, validation=examples.validation[1:])),
        of(examples=replace(examples, task=msgspec.structs.replace(examples.task, site="other"))),
    ]
    assert len({of(), *others}) == len(others) + 1
    table = LookupTable("t.csv", ["k", "v"], [["a", "1"]])
    looked_up = [of(method="tools", tables=tables) for tables in ((), (table,), (table._replace(rows=[]),))]
    assert len(set(looked_up)) == 3 and of(tables=(table,)) == of()
    renamed = replace(examples, task=msgspec.structs.replace(examples.task, name="other"))
    assert of() == of(examples=renamed) == of(config=Convert(minutes=1.0))
