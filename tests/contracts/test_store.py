"""One suite over every store: what goes in comes out, once, in order, with what was said of it since."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import postgres_cluster

from deputize.core.errors import BadInput
from deputize.core.records import Call, Outcome
from deputize.home import Home
from deputize.store.base import Entry, Erased, Feedback, Store
from deputize.store.codec import decode_call, entry_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore
from deputize.store.registry import BUILT_IN, StoreContext, make_store
from deputize.testing import ManualClock, check_store

NOW = 1_790_000_000.0
KINDS = (*BUILT_IN, "tests.a_users_store:build")


def make(kind: str, folder: Path, clock: Callable[[], float]) -> Store:
    """A store through the registry, as a home makes it."""
    keyring = KeyRing.open(folder, environ={})
    options = postgres_cluster.options_for(folder) if kind == "postgres" else {}
    place = StoreContext(folder=folder, keyring=keyring, options=options, busy_timeout_s=10.0, clock=clock)
    return make_store(kind, place)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = make(request.param, tmp_path, lambda: NOW)
    yield made
    made.close()


def a_call(id: str, **fields: object) -> Call:
    base: dict[str, object] = {
        "messages": [{"role": "user", "content": f"question {id}"}],
        "response": {"role": "assistant", "content": "answer"},
        "agent": "desk",
        "timestamp": NOW - 100,
    }
    return Call(id=id, **{**base, **fields})  # type: ignore[arg-type]


def test_a_new_store_is_empty(store: Store) -> None:
    assert (store.count(), list(store.calls()), store.append([])) == (0, [], 0)


def test_calls_come_out_as_they_went_in(store: Store) -> None:
    call = a_call(
        "c",
        tools=[{"type": "function", "function": {"name": "f"}}],
        params={"temperature": 0.0, "seed": 2**60},
        episode="e",
        origin="o_1",
        outcome=Outcome(reward=1.0, success=True, metric="reward"),
        logprobs=[{"token": "é"}],
    )
    assert store.append([call]) == 1
    assert list(store.calls()) == [call]


def test_a_call_is_kept_once(store: Store) -> None:
    assert store.append([a_call("a"), a_call("b"), a_call("a")]) == 2
    assert store.append([a_call("b"), a_call("c")]) == 1
    assert [c.id for c in store.calls()] == ["a", "b", "c"]
    assert store.count() == 3


def test_calls_are_ordered_by_time_then_arrival(store: Store) -> None:
    store.append([a_call("d", timestamp=2.0), a_call("b", timestamp=None), a_call("e", timestamp=2.0)])
    store.append([a_call("a", timestamp=1.0), a_call("c", timestamp=None)])
    assert [c.id for c in store.calls()] == ["b", "c", "a", "d", "e"]


def test_calls_can_be_narrowed(store: Store) -> None:
    store.append(
        [
            a_call("a", agent="x", timestamp=1.0),
            a_call("b", agent="y", timestamp=2.0),
            a_call("c", agent="x", timestamp=3.0, tenant="t2"),
        ]
    )
    assert [c.id for c in store.calls(agent="x")] == ["a", "c"]
    assert [c.id for c in store.calls(since=2.0)] == ["b", "c"]
    assert [c.id for c in store.calls(agent="x", since=2.0)] == ["c"]
    assert [c.id for c in store.calls(tenant="t2")] == ["c"]
    assert list(store.calls(agent="z")) == list(store.calls(tenant="none")) == []


def test_one_reads_a_snapshot(store: Store) -> None:
    store.append([a_call("a"), a_call("b")])
    reading = store.calls()
    first = next(reading)
    store.append([a_call("c")])
    assert [first.id, *(c.id for c in reading)] == ["a", "b"]


def test_feedback_reaches_the_calls_it_is_about(store: Store) -> None:
    store.append(
        [a_call("a", episode="e1"), a_call("b", episode="e2"), a_call("c", episode="e1"), a_call("d")]
    )
    store.add_feedback(episode="e1", metric="success", value=0.0)
    store.add_feedback(call_id="c", metric="stars", value=4.0)
    store.add_feedback(episode="never seen", metric="success", value=1.0)
    outcomes = {c.id: c.outcome for c in store.calls()}
    assert outcomes == {
        "a": Outcome(reward=0.0, success=False, metric="success"),
        "b": None,
        "c": Outcome(reward=4.0, success=False, metric="stars"),
        "d": None,
    }


def test_later_feedback_replaces_earlier(store: Store) -> None:
    store.add_feedback(episode="e", metric="success", value=1.0)
    store.append([a_call("a", episode="e", outcome=Outcome(reward=0.3, metric="old"))])
    assert next(store.calls()).outcome == Outcome(reward=1.0, success=True, metric="success")
    store.add_feedback(episode="e", metric="success", value=0.0)
    assert next(store.calls()).outcome == Outcome(reward=0.0, success=False, metric="success")


@pytest.mark.parametrize(
    "said",
    [
        {"metric": "m", "value": 1.0},
        {"episode": "e", "call_id": "c", "metric": "m", "value": 1.0},
        {"episode": "e", "metric": "", "value": 1.0},
        {"episode": "e", "metric": "m", "value": float("nan")},
    ],
)
def test_feedback_about_nothing_is_refused(store: Store, said: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        store.add_feedback(**said)  # type: ignore[arg-type]


def test_what_is_not_json_is_refused_and_nothing_is_added(store: Store) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for bad in (object(), {("a",): 1}, deep):
        with pytest.raises(BadInput, match="cannot be stored"):
            store.append([a_call("good"), a_call("bad", params={"x": bad})])
    assert store.count() == 0


def test_odd_text_and_numbers_are_mended_rather_than_lost(store: Store) -> None:
    store.append([a_call("a", response={"content": "half \ud83d pair"}, params={"x": [float("inf"), 2**70]})])
    store.append([a_call("b", timestamp=float("nan"))])
    store.append([a_call("c\ud83d", tenant="t\ud83d", origin="\ud83d", agent="\ud83d")])
    b, a, c = store.calls()
    assert (c.id, c.agent) == ("c?", "?")
    assert a.response["content"] == "half ? pair"
    assert (b.id, b.timestamp) == ("b", None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    id=st.text(),
    agent=st.text(),
    site=st.text(),
    episode=st.text(),
    origin=st.text(),
    tenant=st.text(),
    content=st.text(),
    value=JSON,
    at=st.none() | st.floats(0, 4e9),
)
def test_any_call_comes_back(
    store: Store,
    id: str,
    agent: str,
    site: str,
    episode: str,
    origin: str,
    tenant: str,
    content: str,
    value: object,
    at: float | None,
) -> None:
    call = a_call(
        id,
        agent=agent,
        site=site,
        episode=episode,
        origin=origin,
        tenant=tenant,
        params={"x": value},
        timestamp=at,
        messages=[{"role": "user", "content": content}],
    )
    n_before = store.count()
    if store.append([call]):
        assert store.count() == n_before + 1
        assert [c for c in store.calls(agent=agent, since=at, tenant=tenant) if c.id == id] == [call]


def test_erasing_an_origin_takes_all_of_it_and_nothing_else(store: Store) -> None:
    store.append(
        [
            a_call("a1", origin="o_ann", episode="ea"),
            a_call("b1", origin="o_bob", episode="eb"),
            a_call("a2", origin="o_ann", timestamp=NOW - 40 * 86400),
            a_call("n", episode="en"),
            a_call("t", origin="o_ann", tenant="t2"),
        ]
    )
    for episode in ("ea", "eb"):
        store.add_feedback(episode=episode, metric="success", value=1.0)
    gone = store.erase("o_ann")
    assert (sorted(gone.call_ids), gone.origin, gone.erased_at) == (["a1", "a2"], "o_ann", NOW)
    assert {c.id for c in store.calls()} == {"b1", "n", "t"}
    assert store.count() == 3
    assert store.erased(["a1", "a2", "b1", "never"]) == {"a1", "a2"}
    assert {c.id: c.outcome for c in store.calls()}["b1"] is not None


def test_what_was_erased_does_not_come_back(store: Store) -> None:
    store.append([a_call("a1", origin="o_ann")])
    store.erase("o_ann")
    assert store.append([a_call("a1", origin="o_ann")]) == 0, "the same call, imported again"
    assert store.append([a_call("a2", origin="o_ann", timestamp=NOW - 1)]) == 0, (
        "an older call that comes in late"
    )
    assert store.append([a_call("a4", origin="o_ann", timestamp=None)]) == 0, (
        "a call that does not say when it was made"
    )
    assert store.append([a_call("b4", origin="o_bob", timestamp=None)]) == 1
    store.erase("o_bob")
    assert store.append([a_call("a3", origin="o_ann", timestamp=NOW + 1)]) == 1, (
        "a new call after the erasure"
    )
    assert [c.id for c in store.calls()] == ["a3"]
    assert store.erase("o_ann").call_ids == ["a3"], "and it can be erased again"
    assert store.erase("o_nobody").call_ids == []
    with pytest.raises(BadInput):
        store.erase("")


def test_an_episode_is_known_by_tenant_until_its_calls_go(store: Store) -> None:
    store.append(
        [
            a_call("a", episode="e", origin="o_1"),
            a_call("b", episode="e", origin="o_2"),
            a_call("c", episode="old", timestamp=1.0),
            a_call("d", tenant="t2", episode="odd \ud83d\0"),
            a_call("n"),
        ]
    )
    assert store.has_episode("default", "e") and not store.has_episode("t2", "e")
    assert store.has_episode("t2", "odd ?\0") and not store.has_episode("t2", "odd \ud83d\0")
    assert not store.has_episode("default", "") and not store.has_episode("nobody", "e")
    store.erase("o_1")
    assert store.has_episode("default", "e"), "another call of it is there"
    assert store.erase_calls(["b"]) == ["b"] and not store.has_episode("default", "e")
    assert store.expire(tenant="default", before=2.0) == 1 and not store.has_episode("default", "old")


def test_retention_is_per_tenant(store: Store) -> None:
    store.append(
        [
            a_call("old", timestamp=100.0),
            a_call("new", timestamp=NOW),
            a_call("undated", timestamp=None),
            a_call("other", timestamp=100.0, tenant="t2"),
        ]
    )
    assert store.expire(tenant="default", before=NOW - 10) == 1
    assert {c.id for c in store.calls()} == {"new", "undated", "other"}
    assert store.expire(tenant="default", before=NOW - 10) == 0


def test_retention_counts_first_and_leaves_the_others_alone(store: Store) -> None:
    """A random log of three tenants: what goes is what is older, of one tenant, and nothing else."""
    dice = random.Random(4)
    calls = [
        a_call(
            f"c{i}",
            tenant=dice.choice(("default", "t2", "t3")),
            origin=dice.choice(("", "o_1", "o_2")),
            timestamp=None if i % 11 == 0 else NOW - dice.randrange(90 * 86400),
        )
        for i in range(200)
    ]
    store.append(calls)
    assert store.tenants() == ["default", "t2", "t3"]
    left = {c.id for c in calls}
    for tenant, days in (("t2", 30), ("default", 60), ("t2", 10)):
        before = NOW - days * 86400
        old = {
            c.id
            for c in calls
            if c.id in left and c.tenant == tenant and c.timestamp is not None and c.timestamp < before
        }
        assert store.older(tenant=tenant, before=before) == len(old) > 0
        assert store.expire(tenant=tenant, before=before) == len(old)
        left -= old
        assert {c.id for c in store.calls()} == left
        assert store.gone([c.id for c in calls]) == {c.id for c in calls} - left
        assert store.older(tenant=tenant, before=before) == 0 == store.expire(tenant=tenant, before=before)


@pytest.mark.parametrize("kind", KINDS)
def test_feedback_goes_with_the_month_it_came_in(kind: str, tmp_path: Path) -> None:
    now = [NOW - 70 * 86400]
    store = make(kind, tmp_path, lambda: now[0])
    store.add_feedback(episode="e", metric="success", value=1.0, tenant="t2")
    store.add_feedback(episode="e", metric="success", value=1.0)
    now[0] = NOW
    store.add_feedback(episode="e", metric="late", value=1.0, tenant="t2")
    assert store.older(tenant="t2", before=NOW - 30 * 86400) == 1
    assert store.older(tenant="t3", before=NOW) == 0
    assert store.expire(tenant="t2", before=NOW - 30 * 86400) == 0, "feedback is not a call"
    assert store.older(tenant="t2", before=NOW - 30 * 86400) == 0
    assert store.older(tenant="default", before=NOW - 30 * 86400) == 1, "what is about everybody's"
    store.append([a_call("c", episode="e", tenant="t2", timestamp=NOW)])
    (call,) = store.calls()
    assert call.outcome is not None
    store.close()


def test_threads_may_share_a_store(store: Store) -> None:
    def add(worker: int) -> None:
        for i in range(20):
            store.append([a_call(f"{worker}-{i}", origin=f"o_{i}")])

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(list(store.calls())) <= 80
    for thread in threads:
        thread.join()
    assert store.count() == 80


def test_closing_twice_does_no_harm(store: Store) -> None:
    store.close()
    store.close()


# --- the public suite


@pytest.mark.parametrize("kind", KINDS)
def test_every_store_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    kept = make(kind, tmp_path, clock)
    check_store(lambda: kept if kind == "memory" else make(kind, tmp_path, clock), clock=clock)


def test_a_users_store_is_chosen_in_config(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[store]\nkind = "tests.a_users_store:build"\n')
    with Home(tmp_path) as home:
        home.store.append([a_call("a")])
    with Home(tmp_path) as home:
        assert [c.id for c in home.store.calls()] == ["a"]
    assert (tmp_path / "store.file").exists() and not (tmp_path / "store.db").exists()


class CountsAll(MemoryStore):
    def append(self, calls: Sequence[Call]) -> int:
        super().append(calls)
        return len(calls)


class LosesFields(MemoryStore):
    def append_entries(self, entries: Sequence[Entry]) -> int:
        thin = [msgspec.structs.replace(decode_call(e.data), params={}) for e in entries]
        return super().append_entries([entry_of(c) for c in thin])


class Halfway(MemoryStore):
    def append(self, calls: Sequence[Call]) -> int:
        return sum(super(Halfway, self).append([call]) for call in calls)


class IgnoresEntries(MemoryStore):
    def append(self, calls: Sequence[Call]) -> int:
        return super().append_entries([entry_of(c) for c in calls])

    def append_entries(self, entries: Sequence[Entry]) -> int:
        return len(entries)


class Unordered(MemoryStore):
    def calls(self, **asked: Any) -> Iterator[Call]:
        return reversed(list(super().calls(**asked)))


class MixesTenants(MemoryStore):
    def calls(self, *, tenant: str | None = None, **asked: Any) -> Iterator[Call]:
        return super().calls(**asked)


class IgnoresSince(MemoryStore):
    def calls(self, *, since: float | None = None, **asked: Any) -> Iterator[Call]:
        return super().calls(**asked)


class Live(MemoryStore):
    """Shows what is added while one iterates."""

    def calls(self, **asked: Any) -> Iterator[Call]:
        seen: set[str] = set()
        while fresh := [c for c in super().calls(**asked) if c.id not in seen]:
            seen.add(fresh[0].id)
            yield fresh[0]


class CountsTheErased(MemoryStore):
    def count(self) -> int:
        return len(self._calls) + len(self._erased_ids)


class FirstWordHolds(MemoryStore):
    def add_feedback(self, **said: Any) -> None:
        super().add_feedback(**said)
        self._feedback.insert(0, self._feedback.pop())


class EverybodysFeedback(MemoryStore):
    def add_feedback(self, *, tenant: str = "", **said: Any) -> None:
        super().add_feedback(**said)


class TakesAnyFeedback(MemoryStore):
    def add_feedback(self, **said: Any) -> None:
        with contextlib.suppress(BadInput):
            super().add_feedback(**said)


class LosesAnErasure(MemoryStore):
    """Says that it has erased."""

    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        kept, feedback, at = dict(self._calls), list(self._feedback), list(self._feedback_at)
        done = super().erase(origin, tenant=tenant)
        self._calls, self._feedback, self._feedback_at = kept, feedback, at
        return done


class ErasesEveryTenant(MemoryStore):
    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        for other in self.tenants():
            if other != tenant and origin:
                super().erase(origin, tenant=other)
        return super().erase(origin, tenant=tenant)


class NoTombstones(MemoryStore):
    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        done = super().erase(origin, tenant=tenant)
        self._tombstones.clear()
        return done


class KeepsTheWordsOnTheErased(MemoryStore):
    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        feedback, at = list(self._feedback), list(self._feedback_at)
        done = super().erase(origin, tenant=tenant)
        self._feedback, self._feedback_at = feedback, at
        return done


class ErasesCallsOfAnybody(MemoryStore):
    def erase_calls(
        self, call_ids: Collection[str], *, tenant: str = "default", episodes: Collection[str] = ()
    ) -> list[str]:
        taken: list[str] = []
        for other in self.tenants():
            taken += super().erase_calls(call_ids, tenant=other, episodes=episodes)
        return taken


class ForgetsWhatWasErased(MemoryStore):
    def erased(self, call_ids: Sequence[str]) -> set[str]:
        return set()


class GoneIsErased(MemoryStore):
    def gone(self, call_ids: Sequence[str]) -> set[str]:
        return self.erased(call_ids)


class GetsWhatIsThereAlone(MemoryStore):
    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        return (call for call in super().get(call_ids) if call is not None)


class KnowsEpisodesOfAnybody(MemoryStore):
    def has_episode(self, tenant: str, episode: str) -> bool:
        return any(super(KnowsEpisodesOfAnybody, self).has_episode(one, episode) for one in self.tenants())


class KeepsErasedEpisodes(MemoryStore):
    def append_entries(self, entries: Sequence[Entry]) -> int:
        self.seen = getattr(self, "seen", set()) | {(e.tenant, e.episode) for e in entries if e.episode}
        return super().append_entries(entries)

    def has_episode(self, tenant: str, episode: str) -> bool:
        return (tenant, episode) in self.seen


class OneTenant(MemoryStore):
    def tenants(self) -> list[str]:
        return ["default"] if self.count() else []


class NothingIsOld(MemoryStore):
    def older(self, *, tenant: str, before: float) -> int:
        return 0


class ForgetsExpiry(MemoryStore):
    def expire(self, *, tenant: str, before: float) -> int:
        return self.older(tenant=tenant, before=before)


class ExpiresEverybody(MemoryStore):
    def expire(self, *, tenant: str, before: float) -> int:
        for other in self.tenants():
            if other != tenant:
                super().expire(tenant=other, before=before)
        return super().expire(tenant=tenant, before=before)


class ExpiresTheUndated(MemoryStore):
    def expire(self, *, tenant: str, before: float) -> int:
        done = super().expire(tenant=tenant, before=before)
        self._calls = {i: c for i, c in self._calls.items() if c.timestamp is not None or c.tenant != tenant}
        return done


class KeepsOldFeedback(MemoryStore):
    def _keep_feedback(self, is_kept: Callable[[Feedback, str], bool]) -> None:
        told = zip(self._feedback, self._feedback_at, strict=True)
        kept = [(f, m) for f, m in told if f.tenant == "aged" or is_kept(f, m)]
        self._feedback, self._feedback_at = [f for f, _ in kept], [m for _, m in kept]


class RewrapsToNothing(MemoryStore):
    def rewrap(self) -> int:
        self._calls.clear()
        return 0


class CompactsTooMuch(MemoryStore):
    def compact(self) -> bool:
        self._calls.popitem()
        return True


BROKEN: list[tuple[type[MemoryStore], str]] = [
    (CountsAll, "call once"),
    (LosesFields, "comes out as it went in"),
    (Halfway, "all of its calls or none"),
    (IgnoresEntries, "append_entries keeps"),
    (Unordered, "by time"),
    (MixesTenants, "narrowed to a tenant"),
    (IgnoresSince, "since a time"),
    (Live, "while one iterates"),
    (CountsTheErased, "erased calls are not counted"),
    (FirstWordHolds, "later one over the earlier"),
    (EverybodysFeedback, "does not reach another's"),
    (TakesAnyFeedback, "feedback about nothing"),
    (LosesAnErasure, "erase takes every call"),
    (ErasesEveryTenant, "another tenant's"),
    (NoTombstones, "do not come back"),
    (KeepsTheWordsOnTheErased, "feedback on erased calls"),
    (ErasesCallsOfAnybody, "the tenant's calls"),
    (ForgetsWhatWasErased, "erased names"),
    (GoneIsErased, "gone names"),
    (GetsWhatIsThereAlone, "get gives calls in the order"),
    (KnowsEpisodesOfAnybody, "has_episode is true"),
    (KeepsErasedEpisodes, "not known any more"),
    (OneTenant, "tenants names"),
    (NothingIsOld, "older counts"),
    (ForgetsExpiry, "expire deletes"),
    (ExpiresEverybody, "other tenants' stay"),
    (ExpiresTheUndated, "undated"),
    (KeepsOldFeedback, "month it came in"),
    (RewrapsToNothing, "change no call"),
    (CompactsTooMuch, "change no call"),
]


@pytest.mark.parametrize(("broken", "promise"), BROKEN, ids=[b.__name__ for b, _ in BROKEN])
def test_a_broken_store_is_named(broken: type[MemoryStore], promise: str) -> None:
    clock = ManualClock(NOW)
    store = broken(clock=clock)
    with pytest.raises(AssertionError, match=promise):
        check_store(lambda: store, clock=clock)


def test_a_store_that_forgets_when_it_is_closed_is_named() -> None:
    clock = ManualClock(NOW)
    with pytest.raises(AssertionError, match="after closing and opening again"):
        check_store(lambda: MemoryStore(clock=clock), clock=clock)


def test_every_method_of_the_protocol_has_a_broken_store() -> None:
    methods = {name for name in vars(Store) if not name.startswith("_")} - {"close"}
    overridden = {name for broken, _ in BROKEN for name in vars(broken)}
    assert methods <= overridden
