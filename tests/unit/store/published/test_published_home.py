"""Homes that share routes, API keys and specialists through a folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from msgspec import structs
from tests.unit.gateway.stubs import live_route

from deputize.core.errors import BadInput, NotAuthenticated, StoreError, Tampered
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import update_routes, write_routes
from deputize.specialists.specialist_card import CARD
from deputize.store.published import published_home
from deputize.store.published.buckets import FolderBucket
from deputize.store.published.published_home import PublishedHome
from deputize.store.published.version_pointer import pointer_name


def homes(tmp_path: Path, n: int = 2) -> list[Home]:
    """Homes with the same keys that share a folder."""
    first = Home(tmp_path / "home0", environ={})
    assert first.keyring.id
    for i in range(1, n):
        shutil.copytree(first.keys_path, tmp_path / f"home{i}" / "keys")
    for i in range(n):
        settings = f'[objects]\nurl = "file://{tmp_path}/shared"\n'
        (tmp_path / f"home{i}" / "config.toml").write_text(settings)
    return [Home(tmp_path / f"home{i}", environ={}) for i in range(n)]


def routes(state: str = "live") -> RouteFile:
    return RouteFile(run_id="1", routes=[live_route(state=state)])


def look(home: Home) -> bool:
    assert home.published is not None
    return home.published.look()


def states(home: Home) -> list[str]:
    return [route.state for route in home.routes().routes]


def close(home: Home) -> None:
    update_routes(home.routes_path, lambda file: routes("closed"), home.routes_seal)


def test_a_change_here_is_in_force_there_and_the_other_way_round(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other) and not look(other)
    assert states(other) == ["live"]
    close(other)
    assert look(one)
    assert states(one) == ["closed"]
    assert one.published is not None and one.published.version == 2


def test_a_change_is_made_on_top_of_one_that_was_not_seen_yet(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    update_routes(
        other.routes_path,
        lambda file: RouteFile(run_id="2", routes=[*file.routes, *routes("shadow").routes]),
        other.routes_seal,
    )
    assert states(other) == ["live", "shadow"]
    assert look(one) and states(one) == ["live", "shadow"]


def test_of_two_homes_at_once_the_slower_makes_its_change_again(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    tries: list[int] = []

    def slow(file: RouteFile) -> RouteFile:
        tries.append(len(file.routes))
        if len(tries) == 1:  # between its reading and its writing
            close(other)
        return RouteFile(run_id="3", routes=[*file.routes, *file.routes])

    update_routes(one.routes_path, slow, one.routes_seal)
    assert tries == [1, 1] and states(one) == ["closed", "closed"]
    assert look(other) and states(other) == ["closed", "closed"]


def test_a_home_that_loses_many_races_makes_its_change_all_the_same(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    tries: list[int] = []

    def slow(file: RouteFile) -> RouteFile:
        tries.append(file.generation)
        if len(tries) <= 25:
            update_routes(other.routes_path, lambda now: now, other.routes_seal)
        return routes("closed")

    update_routes(one.routes_path, slow, one.routes_seal)
    assert tries == list(range(1, 27)) and states(one) == ["closed"]
    assert look(other) and states(other) == ["closed"]


def test_a_key_that_is_revoked_on_one_home_opens_no_other(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    made = one.api_keys.create("ingest")
    assert look(other)
    assert other.api_keys.list() == (made.key,) and other.api_keys.required
    assert other.api_keys.verify(made.text) == made.key
    other.api_keys.revoke(made.key.id)
    assert look(one)
    with pytest.raises(NotAuthenticated):
        Home(one.path, environ={}).api_keys.verify(made.text)


def test_routes_and_keys_of_before_are_published_with_the_first_change_and_nothing_of_a_home_that_joins_is_lost(
    tmp_path: Path,
) -> None:
    one, other = homes(tmp_path)
    config = (one.path / "config.toml").read_text()
    for home in (one, other):
        (home.path / "config.toml").unlink()
    for home, run in ((one, "mine"), (other, "theirs")):
        alone = Home(home.path, environ={})
        write_routes(alone.routes_path, RouteFile(run_id=run), alone.routes_seal)
    of_other = other.routes_path.read_bytes()
    for home in (one, other):
        (home.path / "config.toml").write_text(config)
    key = one.api_keys.create("ingest")
    other = Home(other.path, environ={})
    assert look(other) and other.routes().run_id == "mine"
    assert (other.path / "routes.json.before").read_bytes() == of_other
    assert Home(other.path, environ={}).api_keys.verify(key.text)


def a_specialist(home: Home, text: str = "card") -> Path:
    folder = home.path / live_route().specialist
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    (folder / CARD).write_text(text)
    (folder / "weights" / "w.bin").write_bytes(b"w" * 100 + text.encode())
    return folder


def test_specialists_are_fetched_and_go_when_no_route_has_them(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    folder = a_specialist(one)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other) and other.published is not None
    there = other.path / folder.relative_to(one.path)
    assert other.published.fetch() == [live_route().specialist] and other.published.fetch() == []
    assert (there / "weights" / "w.bin").read_bytes() == (folder / "weights" / "w.bin").read_bytes()
    n_objects = len(list((tmp_path / "shared" / "objects").iterdir()))
    close(other)  # nothing is sent again
    assert len(list((tmp_path / "shared" / "objects").iterdir())) == n_objects == 3
    a_specialist(one, "trained again")
    close(one)
    assert look(other) and other.published.fetch() == [live_route().specialist]
    assert (there / CARD).read_text() == "trained again"
    update_routes(one.routes_path, lambda file: RouteFile(run_id="2"), one.routes_seal)
    assert look(other) and other.published.fetch() == [] and not there.exists()
    assert folder.exists(), "a home deletes only what it has fetched"
    assert len(list((tmp_path / "shared" / "objects").iterdir())) == 1


def test_a_specialist_that_cannot_be_fetched_keeps_no_other_away(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    a_specialist(one)
    second = one.path / "specialists" / "second"
    shutil.copytree(one.path / live_route().specialist, second)
    (second / CARD).write_text("card of the second")
    both = [live_route(), structs.replace(live_route(), id="r2", specialist="specialists/second")]
    for gone, there in ((0, 1), (1, 0)):
        write_routes(one.routes_path, RouteFile(run_id=f"{gone}", routes=both), one.routes_seal)
        assert look(other) and other.published is not None
        state = other.published.state()
        lost = tmp_path / "shared" / state.folders[both[gone].specialist][CARD].name
        kept = lost.read_bytes()
        lost.unlink()
        with pytest.raises(StoreError, match="does not hold"):
            other.published.fetch()
        assert (other.path / both[there].specialist / CARD).exists()
        assert not (other.path / both[gone].specialist).exists()
        lost.write_bytes(kept)
        shutil.rmtree(other.path / both[there].specialist)
    assert other.published is not None and len(other.published.fetch()) == 2


_KILLED = """
import sys
from deputize.home import Home
from deputize.store.published import published_home
get_file = published_home.get_file
def got(*arguments):
    get_file(*arguments)
    print("there", flush=True)
    sys.stdin.read()
published_home.get_file = got
Home(__import__("pathlib").Path(sys.argv[1]), environ={}).published.fetch()
"""


def test_weights_that_a_killed_fetch_left_go_with_the_next(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    a_specialist(one)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other) and other.published is not None
    command = [sys.executable, "-c", _KILLED, str(other.path)]
    fetching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert fetching.stdout is not None and fetching.stdout.readline() == b"there\n"
    fetching.kill()
    fetching.communicate()

    def left() -> list[Path]:
        return [path for path in (other.path / "objects").rglob("*.*") if "coming" in str(path)]

    assert left(), "what is there of a specialist that is not whole"
    update_routes(one.routes_path, lambda file: RouteFile(run_id="2"), one.routes_seal)
    assert look(other) and other.published.fetch() == [] and not left()


class SlowFolder(FolderBucket):
    """Takes what is streamed to it only when somebody lets it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.waits, self.goes_on = threading.Event(), threading.Event()

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        with super().writing(name) as out:
            self.waits.set()
            assert self.goes_on.wait(30)
            yield out


def test_a_route_is_closed_while_a_specialist_is_being_sent(tmp_path: Path) -> None:
    """By another process of the home that sends, and by another home; and the specialist comes on top of that."""
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    slow, again = SlowFolder(tmp_path / "shared"), Home(one.path, environ={})
    one.published = PublishedHome(one.path, one.keyring, one.audit, slow)
    folder = a_specialist(one)

    def named(file: RouteFile) -> RouteFile:
        return structs.replace(file, run_id="2")

    with ThreadPoolExecutor() as threads:
        sending = threads.submit(update_routes, one.routes_path, named, one.routes_seal)
        assert slow.waits.wait(30)
        began = time.monotonic()
        close(again)
        assert look(other) and states(other) == ["closed"]
        key = other.api_keys.create("ingest")
        assert look(again) and again.api_keys.list() == (key.key,)
        assert time.monotonic() - began < 20, "while the other is still waiting"
        assert not sending.done()
        slow.goes_on.set()
        sending.result(30)
    assert look(other) and states(other) == ["closed"] and other.routes().run_id == "2"
    assert other.published is not None and other.published.fetch() == [
        folder.relative_to(one.path).as_posix()
    ]


def test_an_object_that_was_changed_is_not_used(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    folder = a_specialist(one)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other) and other.published is not None
    for sealed in (tmp_path / "shared" / "objects").iterdir():
        data = bytearray(sealed.read_bytes())
        data[len(data) // 2] ^= 1
        sealed.write_bytes(data)
    with pytest.raises(Tampered, match=r"objects/.* was changed: nothing of it is used"):
        other.published.fetch()
    assert not (other.path / folder.relative_to(one.path)).exists()


def test_an_older_a_forged_or_a_missing_pointer_is_refused_by_its_name(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    pointers = tmp_path / "shared" / "pointers"
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "shared", kept)
    close(one)
    assert look(other) and states(other) == ["closed"]
    shutil.rmtree(tmp_path / "shared")
    shutil.copytree(kept, tmp_path / "shared")
    with pytest.raises(Tampered, match="was rolled back: its newest version is 1, and this home knows 2"):
        look(other)
    with pytest.raises(Tampered, match="rolled back"):
        close(one)
    stranger = Home(tmp_path / "stranger", environ={})
    (tmp_path / "stranger").mkdir()
    (stranger.path / "config.toml").write_text((one.path / "config.toml").read_text())
    with pytest.raises(Tampered, match="sealed with other keys"):
        look(stranger)
    (pointers / "000000000002").write_bytes((pointers / "000000000001").read_bytes())
    with pytest.raises(Tampered, match="version 2 is another one"):
        look(other)
    shutil.rmtree(tmp_path / "shared")
    with pytest.raises(Tampered, match="its newest version is 0"):
        look(other)
    assert states(other) == ["closed"]


def test_a_history_that_was_begun_again_is_refused(tmp_path: Path) -> None:
    one, other, third = homes(tmp_path, 3)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other)
    shutil.rmtree(tmp_path / "shared")
    for _ in range(2):
        write_routes(third.routes_path, routes(), third.routes_seal)
    with pytest.raises(Tampered, match="begun again: version 2 does not follow the version 1"):
        look(other)


def test_a_history_goes_on_at_a_new_address_where_a_person_says_so(tmp_path: Path) -> None:
    one, other, third = homes(tmp_path, 3)
    a_specialist(one)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other) and look(third)
    close(one)
    assert look(other), "the third is one version behind"
    for n in range(3):
        (tmp_path / f"home{n}" / "config.toml").write_text(f'[objects]\nurl = "file://{tmp_path}/new"\n')
    one, other, third = (Home(tmp_path / f"home{n}", environ={}) for n in range(3))
    assert one.published is not None and other.published is not None
    with pytest.raises(Tampered, match="deputize publish --begin-again"):
        one.published.publish_missing()
    assert one.published.publish_missing(begins_again=True) == 3
    assert look(other) and look(third) and states(third) == ["closed"]
    assert other.published.fetch() == [live_route().specialist], "everything was sent again"
    assert one.published.publish_missing(begins_again=True) == 3, "what is there is never begun again"


def test_objects_that_are_gone_are_sent_again(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    folder = a_specialist(one)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other) and one.published is not None and other.published is not None
    assert one.published.publish_missing() == 1
    objects = tmp_path / "shared" / "objects"
    before = set(objects.iterdir())
    close(one)
    for kept in before & set(objects.iterdir()):  # all but the state
        kept.unlink()
    assert look(other)
    with pytest.raises(StoreError, match="does not hold objects/"):
        other.published.fetch()
    assert other.published.publish_missing() == 2, "who has no copy changes nothing"
    assert one.published.publish_missing() == 3 and look(other)
    assert other.published.fetch() == [live_route().specialist]
    assert (other.path / folder.relative_to(one.path) / CARD).exists()


def test_a_pointer_that_was_left_over_leads_nobody_astray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other)
    for _ in range(4):
        close(one)
    pointers = tmp_path / "shared" / "pointers"
    left_over = (pointers / "000000000002").read_bytes()
    for version in (3, 4):
        (pointers / f"{version:012d}").unlink()
    assert look(other) and other.published is not None and other.published.version == 5
    monkeypatch.setattr(published_home, "KEPT_POINTERS", 3)
    (pointers / "000000000002").write_bytes(left_over)
    close(one)
    assert sorted(p.name for p in pointers.iterdir()) == ["000000000005", "000000000006"]


def test_a_home_that_was_away_for_long_reads_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_home, "KEPT_POINTERS", 3)
    one, other, third = homes(tmp_path, 3)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert look(other)
    for _ in range(6):
        close(one)
    assert len(list((tmp_path / "shared" / "pointers").iterdir())) == 3
    for home in (other, third):
        assert look(home) and home.published is not None and home.published.version == 7


def test_what_a_killed_process_left_is_made_whole_by_the_next_look(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    before = one.routes_path.read_bytes()
    close(one)
    # killed after the version was published and before anything was written here
    shutil.copytree(one.path, tmp_path / "after")
    for name in ("audit.log", "audit.head"):
        lines = (one.path / name).read_bytes()
        assert lines
    one.routes_path.write_bytes(before)
    with pytest.raises(Tampered):
        one.routes()
    close(one)  # a change mends the file first
    assert states(one) == ["closed"]
    assert look(other) and states(other) == ["closed"]


def test_nothing_changes_where_nothing_can_be_published(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    (tmp_path / "shared").rename(tmp_path / "gone")
    (tmp_path / "shared").write_text("no folder")
    with pytest.raises(StoreError, match="cannot be used now"):
        close(one)
    with pytest.raises(StoreError, match="cannot be used now"):
        one.api_keys.create("ingest")
    assert states(one) == ["live"] and not one.api_keys.list()
    (tmp_path / "shared").unlink()
    with pytest.raises(StoreError, match=r"Nothing is published in .* yet: `deputize publish`"):
        look(other)


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    (home,) = homes(tmp_path, 1)
    for url, why in (("ftp://x/y", "ftp:// is not known"), ("shared", "is no address such as")):
        home.config_path.write_text(f'[objects]\nurl = "{url}"\n')
        with pytest.raises(BadInput, match=why):
            write_routes(home.routes_path, routes(), Home(home.path, environ={}).routes_seal)
    assert pointer_name(7) == "pointers/000000000007"


def test_a_home_joins_others_that_have_api_keys(tmp_path: Path) -> None:
    (one,) = homes(tmp_path, 1)
    made = one.api_keys.create("ingest")
    write_routes(one.routes_path, routes(), one.routes_seal)
    shutil.copytree(
        one.keys_path, tmp_path / "joins" / "keys", ignore=shutil.ignore_patterns("api_keys.json*")
    )
    shutil.copy(one.config_path, tmp_path / "joins" / "config.toml")
    Home(tmp_path / "joins", environ={}).accepted_config.accept()
    joins = Home(tmp_path / "joins", environ={})
    assert look(joins) and states(joins) == ["live"]
    assert Home(joins.path, environ={}).api_keys.verify(made.text) == made.key
    joins.api_keys.revoke(made.key.id)
    assert look(one) and one.api_keys.list()[0].revoked_at is not None
