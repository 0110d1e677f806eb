"""Kept conversations: sealed under a key for each data subject, erased and rotated like calls."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deputize.core.errors import StoreError, Tampered
from deputize.home import Home
from deputize.maintenance.erasure import erase
from deputize.maintenance.find_calls import Wanted
from deputize.maintenance.retention import apply_retention
from deputize.maintenance.rotation import rotate
from deputize.store.access.roles import owner
from deputize.store.conversation_store import FILE, ConversationStore
from deputize.store.keys.keyring import KeyRing

TEXT = b"the blue heron of Trieste"


class House:
    def __init__(self, home: Path) -> None:
        self.home, self.now = home, time.time()
        self.at_home = Home(home, environ={})
        self.ring, self.store = self.at_home.keyring, self.at_home.store
        self.ann, self.bob = self.ring.pseudonym("ann"), self.ring.pseudonym("bob")
        self.conversations = self.opened()
        self.conversations.put("default", self.ann, "resp_1", TEXT)
        self.conversations.put("default", self.bob, "resp_2", TEXT + b" and Bob")

    def opened(self) -> ConversationStore:
        """As another process has it: with a ring of its own."""
        return ConversationStore(self.home, KeyRing.open(self.home, environ={}), clock=lambda: self.now)

    def wrapped(self) -> list[bytes]:
        with sqlite3.connect(self.home / FILE) as db:
            return [row[0] for row in db.execute("SELECT wrapped FROM subjects ORDER BY id")]

    def every_byte(self) -> bytes:
        return b"".join(p.read_bytes() for p in self.home.glob(f"{FILE}*"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "home")
    yield made
    made.conversations.close()
    made.store.close()


def test_an_erasure_reaches_the_conversations(house: House) -> None:
    key, _ = house.wrapped()
    with sqlite3.connect(house.home / FILE) as db:
        sealed = db.execute("SELECT sealed FROM conversations ORDER BY subject").fetchone()[0]
    assert sealed in house.every_byte() and key in house.every_byte()
    done = erase(house.at_home, owner(), Wanted(origin="ann"))
    assert done.n_conversations == 1
    assert house.conversations.get("default", "resp_1") is None, "the gateway that is running sees it at once"
    assert house.conversations.get("default", "resp_2") == TEXT + b" and Bob"
    assert sealed not in house.every_byte() and key not in house.every_byte(), (
        "not in the write-ahead log either"
    )
    assert not house.conversations.put("default", house.ann, "resp_3", b"new"), "it was under way"
    house.now = time.time() + 1
    house.conversations.put("default", house.ann, "resp_3", b"new")
    assert house.conversations.get("default", "resp_3") == b"new", "who comes back is a new subject"


def test_another_tenants_subject_of_the_same_name_stays(house: House) -> None:
    house.conversations.put("shop", house.ann, "resp_9", b"of the shop")
    erase(house.at_home, owner(), Wanted(origin=house.ann))
    assert house.conversations.get("shop", "resp_9") == b"of the shop"


def test_an_older_copy_opens_with_no_key_of_today(house: House, tmp_path: Path) -> None:
    house.conversations.close()
    shutil.copy(house.home / FILE, tmp_path / "copy")
    erase(house.at_home, owner(), Wanted(origin="ann"))
    rotate(house.at_home)
    assert house.opened().get("default", "resp_2") == TEXT + b" and Bob"
    shutil.copy(tmp_path / "copy", house.home / FILE)
    with pytest.raises(StoreError, match="wrapping key"):
        house.opened().get("default", "resp_1")


def test_a_process_that_has_not_heard_of_a_rotation_wraps_with_the_new_key(house: House) -> None:
    stale = house.opened()
    rotate(house.at_home)
    stale.put("default", "o_new", "resp_7", b"seven")
    assert house.opened().get("default", "resp_7") == b"seven"
    rotate(house.at_home)
    assert house.opened().get("default", "resp_7") == b"seven"
    stale.close()


def test_conversations_age_by_tenant(house: House) -> None:
    house.conversations.put("shop", house.ann, "resp_9", b"of the shop")
    house.now += 10 * 86400
    house.conversations.put("default", house.bob, "resp_10", b"young")
    apply_retention(house.at_home, owner(), {"default": 5}, now=house.now)
    assert (
        house.conversations.get("default", "resp_1") is None
        and house.conversations.get("default", "resp_2") is None
    )
    assert house.conversations.get("default", "resp_10") == b"young"
    assert house.conversations.get("shop", "resp_9") == b"of the shop"
    assert len(house.wrapped()) == 2, "a key without conversations goes"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE conversations SET sealed = CAST(substr(sealed, 1, 30) || x'00ff' || substr(sealed, 33) AS BLOB)",
        "UPDATE conversations SET sealed = (SELECT sealed FROM conversations s WHERE s.id != conversations.id)",
        "UPDATE conversations SET subject = 3 - subject",
        "UPDATE subjects SET wrapped = (SELECT wrapped FROM subjects s WHERE s.id != subjects.id)",
        "UPDATE subjects SET tenant = 'shop'",
    ],
)
def test_tampering_is_noticed(house: House, change: str) -> None:
    with sqlite3.connect(house.home / FILE) as db:
        db.execute(change)
    with pytest.raises(Tampered):
        house.conversations.get("default", "resp_1")


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all" * 99)
    with pytest.raises(StoreError, match="cannot be used"):
        ConversationStore(tmp_path, KeyRing.open(tmp_path, environ={})).get("default", "resp_1")


def test_conversations_are_deleted_by_what_they_hold_and_by_their_ids(tmp_path: Path) -> None:
    house = House(tmp_path)
    store = house.conversations
    store.put("other", house.ann, "resp_3", TEXT)
    assert sorted(store.all("default")) == [TEXT, TEXT + b" and Bob"]
    assert store.erase_matching("default", lambda data: b"Bob" in data) == 1
    assert store.get("default", "resp_2") is None and store.get("default", "resp_1") == TEXT
    assert store.erase_matching("default", lambda data: False, ["resp_1", "never"]) == 1
    assert list(store.all("default")) == [] and list(store.all("other")) == [TEXT]


def test_what_goes_on_from_an_erased_conversation_is_not_kept(tmp_path: Path) -> None:
    house = House(tmp_path)
    store = house.conversations
    assert store.erase_matching("default", lambda data: False, ["resp_1", "resp_never_kept"]) == 1
    house.now += 10
    for earlier in ("resp_1", "resp_never_kept"):
        assert not store.put("default", "", "resp_4", TEXT, earlier=earlier)
    assert store.put("default", "", "resp_4", b"another", earlier="resp_2")
    house.now += 40 * 86400
    store.close()
    assert store.put("default", "", "resp_5", b"much later", earlier="resp_1"), "by then nothing is under way"
