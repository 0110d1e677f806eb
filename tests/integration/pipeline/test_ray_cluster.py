"""A conversion on a real Ray cluster of several raylets: a worker, a node and the driver are killed, and the results
are the same."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from tests import tiny_specialist
from tests.integration.pipeline.test_same_results import letters
from tests.shard_functions import slow_squares

from deputize.core.artifacts import Discovered, Finetuned, Selected
from deputize.core.config import Convert, EngineSettings
from deputize.core.errors import UsageError
from deputize.core.progress import Progress
from deputize.core.task_results import Evaluated
from deputize.home import Home
from deputize.pipeline.asked_workers import AskedWorkers, AsksSpecialists
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import Run, latest_run, read_state
from deputize.runner import ray_cluster
from deputize.runner.base import Resources, map_shards
from deputize.runner.ray_cluster import RayRunner, ShardActor
from deputize.specialists.packed_files import pack
from deputize.specialists.predictor import load
from deputize.stages.cluster import assign, discover
from deputize.stages.select import baselines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CONFIG = Convert(methods=("linear",), epsilon=0.1)
SMALL = {"assign.MIN_CALLS_FOR_WORKERS": 10, "assign.BATCH_CALLS": 16, "discover.MIN_CALLS_FOR_WORKERS": 10}
SMALL["baselines.MIN_CALLS_FOR_WORKERS"] = 10
"""The work of a log of 420 calls goes to workers as that of a long one."""
MODULES = {"assign": assign, "discover": discover, "baselines": baselines}


class Nodes:
    """A cluster whose head has one core and which has as many further raylets of one core as a test wants."""

    def __init__(self, cluster: Any) -> None:
        self.cluster, self.more = cluster, list[Any]()

    def add(self, n: int) -> None:
        while len(self.more) < n:
            self.more.append(self.cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20))
        self.cluster.wait_for_nodes()

    def lose_one(self) -> None:
        self.cluster.remove_node(self.more.pop(), allow_graceful=False)

    @staticmethod
    def workers() -> list[psutil.Process]:
        """Processes that are actors of this user's clusters."""
        here = psutil.Process().children(recursive=True)
        return [p for p in here if p.name().startswith("ray::ShardActor")]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False},
    )
    try:
        yield Nodes(cluster)
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        module, _, constant = name.partition(".")
        monkeypatch.setattr(MODULES[module], constant, value)


def results(folder: Path) -> dict[str, Any]:
    """What a run has found that does not depend on the clock."""
    with Home(folder) as home:
        run = Run(home, read_state(home, latest_run(home) or ""))
        discovered, selected = run.load("cluster", Discovered), run.load("select", Selected)
        return {
            "tasks": discovered.tasks,
            "assignment": discovered.assignment,
            "probes": selected.candidates,
            "settings": selected.linear_settings,
            "weights": {s.id: s.checksums for s in run.load("finetune", Finetuned).specialists},
            "claims": [
                (r.task_id, r.certificate.threshold, r.certificate.p_value, r.certificate.share_served)
                for r in run.load("evaluate", Evaluated).results
                if r.certificate is not None
            ],
        }


def filled(folder: Path, config: str) -> Path:
    with Home(folder) as home:
        home.store.append(list(letters(420, with_names=False)))
    (folder / "config.toml").write_text(config)
    return folder


def on_ray(nodes: Nodes) -> str:
    return f'[runner]\nkind = "ray"\naddress = "{nodes.cluster.address}"\n'


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of one process."""
    home = filled(tmp_path_factory.mktemp("alone"), "[runner]\nprocesses = 0\n")
    with Home(home) as opened:
        convert(opened, CONFIG)
    found = results(home)
    assert len(found["claims"]) == 2 and all(found["weights"].values())
    return found


def at(moments: dict[str, Callable[[], object]]) -> Progress:
    """Progress that does something once, when work of a name is first heard of."""

    def progress(what: str, done: int, total: int | None = None) -> None:
        if done and what in moments:
            moments.pop(what)()

    return progress


def kill_one() -> None:
    workers = Nodes.workers()
    assert workers, "the work is done by actors"
    workers[0].kill()


def test_a_lost_worker_and_a_lost_node_change_no_result(
    nodes: Nodes, alone: dict[str, Any], small: None, tmp_path: Path
) -> None:
    nodes.add(2)
    home = filled(tmp_path / "home", on_ray(nodes))
    moments: dict[str, Callable[[], object]] = {"assigning calls": kill_one, "training": nodes.lose_one}
    with Home(home) as opened:
        convert(opened, CONFIG, progress=at(moments))
    assert not moments, "both were killed"
    found = results(home)
    for what, mine in alone.items():
        assert found[what] == mine, what


def test_shards_of_a_node_that_is_lost_are_done_by_others(nodes: Nodes) -> None:
    nodes.add(2)
    runner, found = RayRunner(nodes.cluster.address), list[int]()
    with runner.start(slow_squares) as workers:
        assert workers.n == 3
        for square, _ in map_shards(workers, slow_squares, range(120)):
            found.append(square)
            if len(found) == 20:
                nodes.lose_one()
    assert found == [n * n for n in range(120)]


def test_what_specialists_answer_is_the_same_while_a_node_is_lost(
    nodes: Nodes, tiny: tuple[Path, str], tmp_path: Path
) -> None:
    nodes.add(2)
    stored = tiny_specialist.make(tiny, tmp_path / "one", "head")
    requests = tiny_specialist.requests(24)
    mine = load(stored.folder, tiny[0]).predict(requests)
    card = msgspec.structs.replace(stored.card, path="one")
    make = AsksSpecialists(pack(tmp_path, [card]), tiny[0], EngineSettings())
    runner = RayRunner(nodes.cluster.address)
    with runner.start(make, resources=runner.for_models) as workers:
        asked = AskedWorkers(workers, make, "one")
        theirs = asked.predict(requests[:12])
        nodes.lose_one()
        theirs += asked.predict(requests[12:])
    assert [p.answer for p in theirs] == [p.answer for p in mine]
    # workers read other parts together than this process did, which moves the last bits of single precision
    assert [p.confidence for p in theirs] == pytest.approx([p.confidence for p in mine], rel=1e-5)


def squares_by(runner: RayRunner, n: int = 40, cores: float = 1.0) -> tuple[int, set[int]]:
    """Squares that came out right and in order; (workers, processes that did them)."""
    with runner.start(slow_squares, resources=Resources(cores)) as workers:
        found = list(map_shards(workers, slow_squares, range(n)))
    assert [square for square, _ in found] == [k * k for k in range(n)]
    return workers.n, {pid for _, pid in found}


def test_a_worker_is_not_put_together_from_cores_of_several_nodes(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    nodes.add(2)
    assert squares_by(RayRunner(nodes.cluster.address), cores=2.0) == (0, {os.getpid()})
    assert "No node of the Ray cluster has room for a worker (2 cores)" in caplog.text


def test_where_others_have_all_cores_the_work_is_done_here_until_there_is_room(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    nodes.add(2)
    runner, found = RayRunner(nodes.cluster.address), list[tuple[int, int]]()
    monkeypatch.setattr(ray_cluster, "START_S", 2.0)
    others = [ray.remote(num_cpus=1)(ShardActor).remote(slow_squares) for _ in range(3)]
    ray.get([one.version.remote() for one in others])
    with runner.start(slow_squares) as workers:
        for one in map_shards(workers, slow_squares, range(2000)):
            found.append(one)
            if len(found) == 20:
                assert {pid for _, pid in found} == {os.getpid()}
                for other in others:
                    ray.kill(other)
            if one[1] != os.getpid():
                break
    assert [square for square, _ in found] == [n * n for n in range(len(found))]
    assert found[-1][1] != os.getpid(), "workers join when there is room"
    assert "0 of 3 workers have started" in caplog.text


def test_workers_that_cannot_start_are_named_and_those_of_another_version_refused(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "only_here.py").write_text("def squares():\n    return lambda n: n * n\n")
    monkeypatch.syspath_prepend(tmp_path)
    runner, make = RayRunner(nodes.cluster.address), importlib.import_module("only_here").squares
    with runner.start(make) as workers:
        assert list(map_shards(workers, make, range(4))) == [0, 1, 4, 9]
    assert "No module named 'only_here'" in caplog.text
    monkeypatch.setattr(ray_cluster, "VERSION", "0.0.1")
    with pytest.raises(UsageError, match=r"have deputize .*, and this process 0\.0\.1"):
        squares_by(runner)


def test_without_an_address_nobody_elses_cluster_is_joined(nodes: Nodes) -> None:
    code = "from deputize.runner.ray_cluster import RayRunner as R; print(len(R()._ray.nodes()))"
    nodes.add(2)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200
    )
    assert done.stdout.split() == ["1"]


DRIVER = """
import sys
from pathlib import Path
from tests.integration.pipeline import test_ray_cluster as t
from deputize.home import Home
from deputize.pipeline.conversion import convert
for name, value in t.SMALL.items():
    module, _, constant = name.partition(".")
    setattr(t.MODULES[module], constant, value)
with Home(Path(sys.argv[1])) as home:
    convert(home, t.CONFIG)
"""


def test_a_driver_that_is_killed_goes_on_where_it_was(
    nodes: Nodes, alone: dict[str, Any], tmp_path: Path
) -> None:
    nodes.add(2)
    home = filled(tmp_path / "home", on_ray(nodes))
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", DRIVER, str(home)]
    with subprocess.Popen(command, cwd=root, start_new_session=True) as driver:
        wait_for(lambda: list(home.glob("runs/*/select.sealed")), driver)
        os.kill(driver.pid, signal.SIGKILL)
    assert not list(home.glob("runs/*/evaluate.sealed"))
    done = subprocess.run(command, cwd=root, timeout=400, check=False)
    assert done.returncode == 0
    assert len(list(home.glob("runs/*"))) == 1, "it is the same run"
    found = results(home)
    for what, mine in alone.items():
        assert found[what] == mine, what


def wait_for(is_there: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 400
    while not is_there():
        assert process.poll() is None and time.monotonic() < until, "it ended too early"
        time.sleep(0.05)
