"""One suite over every store: what goes in comes out, once, in order, with what was said of it since."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.core.errors import BadInput
from deputize.core.records import Call, Outcome
from deputize.store.base import Store
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore
from deputize.store.sqlite import SqliteStore

NOW = 1_790_000_000.0
TIMED: dict[str, Callable[[Path, Callable[[], float]], Store]] = {
    "memory": lambda folder, clock: MemoryStore(clock=clock),
    "sqlite": lambda folder, clock: SqliteStore(
        folder / "store.db", KeyRing.open(folder, environ={}), clock=clock
    ),
}
MAKERS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: MemoryStore(clock=lambda: NOW),
    "sqlite": lambda folder: SqliteStore(
        folder / "store.db", KeyRing.open(folder, environ={}), clock=lambda: NOW
    ),
}


@pytest.fixture(params=sorted(MAKERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = MAKERS[request.param](tmp_path)
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


def test_feedback_goes_with_the_month_it_came_in(tmp_path: Path) -> None:
    for name, make in sorted(TIMED.items()):
        now = [NOW - 70 * 86400]
        store = make(tmp_path / name, lambda now=now: now[0])  # type: ignore[misc]
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
