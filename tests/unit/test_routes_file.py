"""The route file: whole or not at all, and never older than before."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import msgspec
import pytest

from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.core.records import Contract, Route, RouteFile
from deputize.routes_file import read_routes, update_routes, write_routes


def file(run_id: str = "run", state: str = "closed") -> RouteFile:
    return RouteFile(
        run_id=run_id,
        routes=[
            Route(
                id="r",
                task_id="t",
                task_name="ä",
                keys=["k"],
                contract=Contract(kind="text"),
                specialist="s",
                threshold=0.5,
                state=state,  # type: ignore[arg-type]
            )
        ],
    )


def test_what_is_written_is_read_one_generation_on(tmp_path: Path) -> None:
    path = tmp_path / "home" / "routes.json"
    assert read_routes(path) == RouteFile(run_id="")
    assert write_routes(path, file()).generation == 1
    assert write_routes(path, file("later")).generation == 2
    assert read_routes(path) == msgspec.structs.replace(file("later"), generation=2)
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["routes.json"]


def test_a_change_by_hand_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    write_routes(path, file())
    path.write_text(path.read_text("utf-8").replace('"threshold": 0.5', '"threshold": 0.1'), "utf-8")
    with pytest.raises(Tampered, match="checksum"):
        read_routes(path)
    with pytest.raises(Tampered):
        update_routes(path, lambda old: old)
    # a new file may take its place, and is newer than anything a reader has seen
    assert write_routes(path, file()).generation > 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": "x"}', '{"sha256": 1, "file": {"run_id": "r"}}'])
def test_what_is_no_route_file_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "routes.json"
    path.write_text(text, "utf-8")
    with pytest.raises(BadInput, match="is not a route file"):
        read_routes(path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_routes(tmp_path)
    (tmp_path / "routes.json").mkdir()
    with pytest.raises((StoreError, BadInput)):
        write_routes(tmp_path / "routes.json", file())


def test_writers_do_not_lose_each_others_changes(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    write_routes(path, RouteFile(run_id=""))

    def add() -> None:
        for _ in range(10):
            update_routes(path, lambda old: msgspec.structs.replace(old, run_id=old.run_id + "x"))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_routes(path).run_id == "x" * 40
    assert read_routes(path).generation == 41


def test_it_is_plain_json_to_look_at(tmp_path: Path) -> None:
    write_routes(tmp_path / "routes.json", file())
    data = json.loads((tmp_path / "routes.json").read_text("utf-8"))
    assert data["file"]["routes"][0]["task_name"] == "ä"
