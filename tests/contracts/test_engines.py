"""One suite over every engine that answers for specialists."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests import tiny_tasks
from tests.a_users_engine import InProcessEngine
from tests.contracts.conftest import Install

from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Prediction, Request
from deputize.specialists.serving.registry import OURS, make_engine
from deputize.testing import check_engine

Tiny = tuple[Path, str]
SPECIALIST = "specialists/label-linear"
REQUESTS = [tiny_tasks.example("label", i, "test").request for i in (1, 2, 3, 5)]


@pytest.fixture(scope="module")
def home(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    tiny_tasks.train(folder, *tiny, ("label",), ("linear",), n=40)
    return folder


@pytest.mark.parametrize("name", sorted(OURS))
async def test_ours_keep_the_contract(name: str, home: Path, tiny: Tiny) -> None:
    await check_engine(lambda: make_engine(name, home, tiny[0]), SPECIALIST, REQUESTS)


async def test_a_users_engine_is_reached_by_its_name_and_keeps_the_contract(
    home: Path, tiny: Tiny, install: Install
) -> None:
    with pytest.raises(UsageError, match=r"'in-process'.* Known: local"):
        make_engine("in-process", home, tiny[0])
    install({"deputize.engines": {"in-process": "tests.a_users_engine:InProcessEngine"}})
    assert isinstance(make_engine("in-process", home, tiny[0]), InProcessEngine)
    await check_engine(lambda: make_engine("in-process", home, tiny[0]), SPECIALIST, REQUESTS)


def test_an_entry_point_that_cannot_be_imported_is_bad_input(tmp_path: Path, install: Install) -> None:
    install({"deputize.engines": {"gone": "tests.a_users_engine:gone"}})
    with pytest.raises(BadInput, match="gone"):
        make_engine("gone", tmp_path, tmp_path)


class AlwaysThere(InProcessEngine):
    """Answers before it is started."""

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        await self.start()
        return await super().predict(specialist_path, request, timeout_s)


class Patient(InProcessEngine):
    """Never gives up."""

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        return await super().predict(specialist_path, request, 1e9)


class Mixed(InProcessEngine):
    """Gives answers to whoever asks next."""

    last: Prediction | None = None

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        mine = await super().predict(specialist_path, request, timeout_s)
        await asyncio.sleep(0)
        given, self.last = self.last or mine, mine
        return given


class Inventive(InProcessEngine):
    """Answers for specialists that are not there."""

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        return await super().predict(SPECIALIST, request, timeout_s)


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        (AlwaysThere, "not started"),
        (Patient, "in time"),
        (Mixed, "change"),
        (Inventive, "not there"),
    ],
)
async def test_a_wrong_engine_fails(
    wrong: type[InProcessEngine], promise: str, home: Path, tiny: Tiny
) -> None:
    with pytest.raises(AssertionError, match=promise):
        await check_engine(lambda: wrong(home, tiny[0]), SPECIALIST, REQUESTS)
