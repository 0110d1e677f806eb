"""Filing of calls: late calls of erased origins stay out, and agents are found by a keyed digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.store.base import Entry
from deputize.store.filing import AgentDigests, episode_digest, episode_tombstone, was_erased
from deputize.store.keys.data_keys import subject_of
from deputize.store.keys.keyring import KeyRing


@pytest.mark.parametrize(
    ("origin", "timestamp", "tenant", "expected"),
    [
        ("anna", 9.0, "t", True),
        ("anna", 10.0, "t", True),
        ("anna", None, "t", True),
        ("anna", 10.5, "t", False),
        ("anna", 9.0, "other", False),
        ("ben", 9.0, "t", False),
        ("", 9.0, "t", False),
    ],
)
def test_a_late_call_of_an_erased_origin(
    tmp_path: Path, origin: str, timestamp: float | None, tenant: str, expected: bool
) -> None:
    keyring = KeyRing.open(tmp_path)
    entry = Entry("c", tenant, origin, "a", timestamp, 1, b"{}", "")
    assert was_erased(entry, {("t", subject_of(keyring, "t", "anna")): 10.0}, keyring) is expected
    assert not was_erased(entry, {}, keyring)


@pytest.mark.parametrize(
    ("origin", "episode", "timestamp", "expected"),
    [
        ("", "hers", 10.0, True),
        ("", "hers", None, True),
        ("", "hers", 10.5, False),
        ("ben", "hers", 9.0, False),
        ("", "another", 9.0, False),
        ("", "", 9.0, False),
    ],
)
def test_a_late_call_that_names_nobody_of_an_erased_episode(
    tmp_path: Path, origin: str, episode: str, timestamp: float | None, expected: bool
) -> None:
    keyring = KeyRing.open(tmp_path)
    entry = Entry("c", "t", origin, "a", timestamp, 1, b"{}", episode)
    buried = {("t", episode_tombstone(keyring, "t", name)): 10.0 for name in ("hers", "")}
    assert was_erased(entry, buried, keyring) is expected


def test_digests_of_agents_are_the_same_however_many_there_were(tmp_path: Path) -> None:
    keyring = KeyRing.open(tmp_path)
    digests = AgentDigests(keyring)
    first = digests.of("a")
    assert len({digests.of(f"a{i}") for i in range(2000)}) == 2000
    assert digests.of("a") == first == keyring.lookup("agent", "a")


def test_an_episode_has_a_digest_for_each_tenant_and_key_ring(tmp_path: Path) -> None:
    keyring, other = KeyRing.open(tmp_path / "a", environ={}), KeyRing.open(tmp_path / "b", environ={})
    digest = episode_digest(keyring, "t", "e")
    assert len(digest) == 16 and digest == episode_digest(keyring, "t", "e")
    others = [
        episode_digest(r, t, e) for r, t, e in ((keyring, "u", "e"), (keyring, "t", "f"), (other, "t", "e"))
    ]
    assert digest not in others and len(set(others)) == 3
    assert episode_digest(keyring, "t", "") == b"", "a call without an episode is in no index"
