"""Specialists that workers of a runner ask: what takes long in evaluation is read on many machines at once.

Only specialists that are not fast go there, with their files; an answer depends on the request alone, so it is the same
wherever it is computed, as long as all workers answer with one engine. What is compared, certified and written stays in
this process.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deputize.core.errors import UsageError
from deputize.core.records import Prediction, Request
from deputize.runner.base import Workers, map_shards
from deputize.runner.registry import make_runner
from deputize.specialists.packed_files import Files, pack, unpack

if TYPE_CHECKING:
    from deputize.core.artifacts import Specialist
    from deputize.core.config import EngineSettings
    from deputize.home import Home
    from deputize.specialists.base import Predictor
    from deputize.stages.evaluate.evaluated_method import Load

MOST_LOADED = 8
"""Specialists that a worker holds; of more, those that were not asked for the longest time go."""


class RequestShard(NamedTuple):
    """Requests for one specialist."""

    path: str
    """Of its folder, relative to the home."""
    is_short: bool
    """Without text that is not compared."""
    requests: list[Request]


class Answers(NamedTuple):
    """The answers of a worker, and its engine."""

    predictions: list[Prediction]
    engine: str


@dataclass(frozen=True)
class AsksSpecialists:
    """Makes the function of a worker that answers questions; can be pickled."""

    files: Mapping[str, Files]
    """Of each specialist, by its folder relative to the home."""
    models_dir: Path
    engine: EngineSettings

    def __call__(self) -> Callable[[RequestShard], Answers]:
        from deputize.specialists.base import engine_of, without_free_text
        from deputize.specialists.predictor import unload

        loaded: OrderedDict[str, Any] = OrderedDict()

        def ask(question: RequestShard) -> Answers:
            whole = loaded.get(question.path)
            if whole is None:
                while len(loaded) >= MOST_LOADED:
                    unload(loaded.popitem(last=False)[1])
                whole = loaded[question.path] = self._load(question.path)
            loaded.move_to_end(question.path)
            asked = without_free_text(whole) if question.is_short else whole
            return Answers(asked.predict(question.requests) if question.requests else [], engine_of(whole))

        return ask

    def _load(self, path: str) -> Predictor:
        from deputize.specialists.predictor import load

        with tempfile.TemporaryDirectory(prefix="specialist-") as parent:
            folder = Path(parent) / "specialist"
            unpack(folder, self.files[path])
            return load(folder, self.models_dir, engine=self.engine)


class AskedWorkers:
    """A specialist on the workers of a runner, each of which answers a part of the requests."""

    def __init__(self, workers: Workers, make: AsksSpecialists, path: str, *, is_short: bool = False) -> None:
        """
        Args:
            workers: hold what `make` makes.
            make: knows the specialist.
            path: of its folder, relative to the home.
            is_short: text that is not compared is left out.
        """
        self._workers, self._make, self._path, self._is_short = workers, make, path, is_short
        self._engine = ""

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        """As Predictor.predict.

        Raises:
            UsageError: workers answer with different engines, so that no certificate could name one.
        """
        size = max(1, -(-len(requests) // max(1, self._workers.n)))
        return self._ask([list(requests[at : at + size]) for at in range(0, len(requests), size)])

    @property
    def engine(self) -> str:
        """As NamesItsEngine.engine; that of the workers."""
        if not self._engine:
            self._ask([[]])
        return self._engine

    def without_free_text(self) -> AskedWorkers:
        """As WritesFreeText.without_free_text."""
        return AskedWorkers(self._workers, self._make, self._path, is_short=True)

    def _ask(self, parts: list[list[Request]]) -> list[Prediction]:
        questions = [RequestShard(self._path, self._is_short, part) for part in parts]
        out: list[Prediction] = []
        for answers in map_shards(self._workers, self._make, questions, is_single_here=False):
            if self._engine not in ("", answers.engine):
                raise UsageError(
                    f"[runner]: workers answer with different engines ({self._engine}, {answers.engine}), and a certificate "
                    "is about one. Give the cluster nodes of one kind."
                )
            self._engine = answers.engine
            out += answers.predictions
        return out


@contextlib.contextmanager
def asked_on_workers(home: Home, specialists: Sequence[Specialist], load: Load) -> Iterator[Load]:
    """From a specialist's folder to what predicts: on workers where they are elsewhere and it is not fast, else `load`.

    Args:
        home: its settings name the runner, whose workers end with the block.
        specialists: that will be asked.
        load: for all others.
    """
    engine = home.engine_settings()
    slow = [one for one in specialists if not one.is_fast]
    if not slow or engine.kind != "local" or (runner := make_runner(home.runner_settings())).is_here:
        yield load
        return
    make = AsksSpecialists(pack(home.path, slow), home.models_path, engine)
    with runner.start(make, resources=runner.for_models) as workers:

        def load_there(folder: Path) -> Predictor:
            path = str(folder.relative_to(home.path))
            return AskedWorkers(workers, make, path) if path in make.files and workers.n else load(folder)

        yield load_there
