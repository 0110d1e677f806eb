"""Export of a route out of a home: right, audit entry, comparison on held-out calls, and nothing left where it fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from tests import tiny_specialist, tiny_tasks
from tests.unit.specialists.export_forms.test_export_folder import route_of

from deputize.core.errors import BadInput, Tampered, UsageError
from deputize.core.progress import silent
from deputize.core.records import Example, Request, Route, Split
from deputize.home import Home
from deputize.maintenance.lineage import copies_with_erased
from deputize.route_export import export_route, held_out
from deputize.specialists.specialist_card import CARD, digest_of, read_card
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.testing import call


@pytest.fixture
def home(tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tiny[0]))
    with_keys = Home(tmp_path / "home")
    tiny_specialist.make(tiny, with_keys.path / "specialists" / "s", "linear")
    assert with_keys.store is not None
    yield with_keys
    with_keys.close()


def the_route(home: Home) -> Route:
    folder = home.path / "specialists" / "s"
    stored = tiny_specialist.settings_at(folder)
    return msgspec.structs.replace(route_of(stored), card_sha256=digest_of(folder / CARD))


def test_an_export_is_written_compared_and_noted(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    route = the_route(home)
    asked = tiny_specialist.requests(5)
    monkeypatch.setattr("deputize.route_export.held_out", lambda *_: (asked, "test calls"))
    done = export_route(home, route, "run", "npz", tmp_path / "out", progress=silent)
    assert done.form == "npz" and done.comparison.n == done.comparison.n_same == 5
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert stored["n_same"] == 5 and stored["sentence"] == done.sentence
    texts = "".join(p.read_text(errors="replace") for p in (tmp_path / "out").iterdir())
    assert not any(
        line in texts for request in asked for line in request.messages[-1]["content"].splitlines()
    )
    entries = [
        e for e in AuditLog(home.path, KeyRing.open(home.path)).entries() if e.action == "export.route"
    ]
    assert [(e.subject, e.detail["form"]) for e in entries] == [(route.id, "npz")]


def test_where_it_fails_nothing_is_left(home: Home, tmp_path: Path) -> None:
    route, out = the_route(home), tmp_path / "out"
    with pytest.raises(UsageError, match="Forms that it has: onnx, npz"):
        export_route(home, route, "run", "gguf", out, progress=silent)
    with pytest.raises(UsageError, match="no precision 'q8_0'"):
        export_route(home, route, "run", "npz", out, precision="q8_0", progress=silent)
    forged = msgspec.structs.replace(route, card_sha256="0" * 64)
    with pytest.raises(Tampered, match="published"):
        export_route(home, forged, "run", "npz", out, progress=silent)
    (home.path / "specialists" / "s" / "linear.npz").write_bytes(b"other")
    with pytest.raises((Tampered, BadInput, ValueError)):
        export_route(home, route, "run", "npz", out, progress=silent)
    assert [p.name for p in tmp_path.iterdir()] == ["home"]


def test_without_the_run_nothing_is_compared_and_that_is_said(home: Home, tmp_path: Path) -> None:
    done = export_route(
        home, the_route(home), "20200101-000000-none", "npz", tmp_path / "out", progress=silent
    )
    assert done.comparison.n == 0 and "Not compared" in (tmp_path / "out" / "README.md").read_text()


def test_requests_are_held_out_calls_of_the_task(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    route = the_route(home)
    splits: tuple[Split, ...] = ("train", "calibration", "test", "test")
    examples = [tiny_tasks.example("closed", n, split) for n, split in enumerate(splits)]

    def asked(given: list[Example], assignment: dict[str, str], most: int = 9) -> list[Request]:
        class Written:
            def __init__(self, *_: object) -> None:
                self.assignment = assignment

            def read(self) -> Written:
                return self

            def parts(self) -> list[Example]:
                return given

        monkeypatch.setattr("deputize.route_export.artifact_of", Written)
        return held_out(home, route, "run", most)[0]

    every = {e.call_id: "closed" for e in examples}
    assert asked(examples, every) == [examples[2].request, examples[3].request]
    assert asked(examples, every, most=1) == [examples[2].request]
    assert asked(examples[:2], every) == [examples[1].request], "calibration, where there is no test"
    assert asked(examples, {e.call_id: "another" for e in examples}) == []


def test_an_erasure_names_the_export_of_a_specialist_that_learned_from_the_calls(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    route = the_route(home)
    card = structs.replace(
        read_card(home.path / route.specialist), path=route.specialist, trained_on=["a", "b"]
    )
    monkeypatch.setattr("deputize.route_export.specialists_of", lambda _: iter([card]))
    home.store.append([call("a", origin="o_ann"), call("b", origin="o_bob")])
    export_route(home, route, "run", "npz", tmp_path / "out", progress=silent)
    assert copies_with_erased(home) == []
    home.store.erase("o_ann")
    (named,) = copies_with_erased(home)
    assert (named.path, named.call_ids, named.is_weights) == (str(tmp_path / "out"), ["a"], True)
    shutil.rmtree(tmp_path / "out")
    assert copies_with_erased(home) == []


def test_the_specialist_is_left_as_it_was(home: Home, tmp_path: Path) -> None:
    before = digest_of(home.path / "specialists" / "s" / CARD)
    export_route(home, the_route(home), "run", "npz", tmp_path / "out", progress=silent)
    shutil.rmtree(tmp_path / "out")
    assert digest_of(home.path / "specialists" / "s" / CARD) == before
