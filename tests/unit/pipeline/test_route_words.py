"""Words of what varies in prompts leave the route file once too few people are left that have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from tests.unit.pipeline.test_run_erasure import a_run, curated

from deputize.core.artifacts import Curated
from deputize.core.errors import BadInput
from deputize.core.records import KeySpace, PromptLimits, Request, RouteFile
from deputize.home import Home
from deputize.maintenance.erasure import forget_unless_busy
from deputize.pipeline.route_words import drop_unshared_words
from deputize.routes_file import write_routes
from deputize.testing import call

TEXTS = {
    "ann": "the red zorblifenk, soon",
    "bob": "a zorblifenk soon",
    "cem": "the red folder soon",
    "dee": "the red folder",
}
SPACE = KeySpace(
    signature="s",
    lines=["Sort the note."],
    prompt_limits={
        "k": PromptLimits(vocabulary=["folder", "red", "soon", "zorblifenk"]),
        "l": PromptLimits(vocabulary=["zorblifenk"]),
    },
)


def a_home(path: Path, *, min_origins: int = 2) -> Home:
    home = Home(path, environ={})
    home.store.append([call(f"c{i}", origin=f"o_{name}") for i, name in enumerate(TEXTS)])
    run = a_run(home)
    run.state.settings["min_origins"] = min_origins
    run.save()
    made = curated(len(TEXTS))
    examples = [
        structs.replace(
            example,
            origin=f"o_{name}",
            request=Request(
                messages=[{"role": "user", "content": [{"type": "text", "text": f"Note: {text}"}]}]
            ),
        )
        for example, (name, text) in zip(made.examples, TEXTS.items(), strict=True)
    ]
    run.artifact("curate", Curated).write(structs.replace(made, examples=examples))
    other = KeySpace(signature="o", prompt_limits={"k": PromptLimits(vocabulary=["zorblifenk"])})
    file = RouteFile(run_id="0001-abc", keyspaces=[SPACE], kept_keyspaces={"0000-old": [other]})
    write_routes(home.routes_path, file, home.routes_seal)
    return home


def words(home: Home) -> list[list[str]]:
    file = home.routes()
    spaces = [*file.keyspaces, *file.kept_keyspaces["0000-old"]]
    return [limits.vocabulary for space in spaces for limits in space.prompt_limits.values()]


def test_words_of_erased_people_go_and_those_that_others_share_stay(tmp_path: Path) -> None:
    with a_home(tmp_path) as home:
        home.store.erase("o_ann")
        assert forget_unless_busy(home, print) == {"0001-abc": 1}
        # one person's now; soon, red and folder are of two; the other run has lost no example
        assert words(home) == [["folder", "red", "soon"], [], ["zorblifenk"]]
        home.store.erase("o_cem")
        forget_unless_busy(home, print)
        assert words(home) == [[], [], ["zorblifenk"]]
        assert home.routes().keyspaces[0].lines == ["Sort the note."]


def test_the_settings_of_the_run_say_how_many_share_a_word(tmp_path: Path) -> None:
    with a_home(tmp_path, min_origins=3) as home:
        generation = home.routes().generation
        assert drop_unshared_words(home, ["0001-abc"]) == 2
        assert words(home)[0] == ["red", "soon"]
        assert drop_unshared_words(home, ["0001-abc"]) == 0
        assert home.routes().generation == generation + 1, "nothing is written where nothing changes"


def test_a_damaged_route_file_does_not_stand_in_the_way_of_an_erasure(tmp_path: Path) -> None:
    with a_home(tmp_path) as home:
        home.routes_path.write_text("{")
        home.store.erase("o_ann")
        said: list[str] = []
        assert forget_unless_busy(home, said.append) == {"0001-abc": 1}
        assert "routes.json" in said[0] and "may stand in it" in said[0]
        with pytest.raises(BadInput):
            drop_unshared_words(home, ["0001-abc"])
