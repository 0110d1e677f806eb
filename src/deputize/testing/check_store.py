"""The contract suite of stores: what every implementation of `store.base.Store` promises, method by method."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from deputize.core.errors import BadInput
from deputize.core.records import Call, Outcome
from deputize.store.base import Store
from deputize.store.codec import entry_of

DAY_S = 86400.0

Reopen = Callable[[], Store]


def check_store(reopen: Reopen, *, clock: Callable[[], float] = time.time) -> None:
    """Checks a store against the promises of `store.base.Store`. It must be empty, and holds calls afterwards.

    Args:
        reopen: gives the same store each time it is called, the one before having been closed.
        clock: the clock that the store reads, in Unix seconds; one that stands still makes the checks exact.

    Raises:
        AssertionError: names the promise that is broken.
    """
    store = reopen()
    try:
        assert store.count() == 0, "the store to check must be empty"
        assert list(store.calls()) == [] and store.tenants() == [], (
            "an empty store has no calls and no tenants"
        )
        for check in (
            _check_append,
            _check_append_entries,
            _check_bad_calls,
            _check_order,
            _check_narrowing,
            _check_snapshot,
            _check_feedback,
            _check_feedback_of_a_tenant,
            _check_bad_feedback,
            _check_episodes,
            _check_threads,
        ):
            check(store)
        for timed in (_check_erasure, _check_tombstones, _check_expiry, _check_expiry_of_feedback):
            timed(store, clock)
        _check_erasure_of_calls(store)
        _check_maintenance(store)
    finally:
        store.close()
    store.close()  # twice does no harm
    _check_reopened(reopen, clock)


def _call(id: str, **fields: Any) -> Call:
    given = {"agent": "checked", "timestamp": 1000.0, **fields}
    return Call(
        id=id,
        messages=[{"role": "user", "content": f"question {id}"}],
        response={"role": "assistant", "content": "answer"},
        **given,
    )


def _ids(store: Store, **asked: Any) -> list[str]:
    return [call.id for call in store.calls(**asked)]


def _check_append(store: Store) -> None:
    call = _call(
        "append-1",
        agent="append",
        tools=[{"type": "function", "function": {"name": "f"}}],
        params={"temperature": 0.0, "seed": 2**60},
        episode="append-e",
        origin="o_append",
        outcome=Outcome(reward=1.0, success=True, metric="reward"),
        logprobs=[{"token": "é"}],
    )
    n_before = store.count()
    assert store.append([]) == 0, "append adds nothing where nothing is given"
    assert store.append([call, call]) == 1, "append keeps a call once: it is not added again"
    assert store.append([call, _call("append-2", agent="append")]) == 1, "append returns how many were new"
    assert store.count() == n_before + 2, "count is the number of calls that can be read"
    assert {c.id: c for c in store.calls(agent="append")}["append-1"] == call, (
        "a call comes out as it went in"
    )


def _check_append_entries(store: Store) -> None:
    calls = [_call("entry-1", agent="entries", tenant="entries"), _call("entry-2", agent="entries")]
    entries = [entry_of(call) for call in calls]
    assert store.append_entries(entries) == 2, "append_entries returns how many were new"
    assert store.append_entries(entries) == 0, "append_entries keeps a call once"
    assert sorted(store.calls(agent="entries"), key=lambda c: c.id) == calls, (
        "append_entries keeps calls as append does"
    )


def _check_bad_calls(store: Store) -> None:
    n_before = store.count()
    try:
        store.append([_call("good"), _call("bad", params={"x": object()})])
    except BadInput:
        assert store.count() == n_before, "append adds all of its calls or none"
    else:
        raise AssertionError("append refuses what cannot be written as JSON, with BadInput")


def _check_order(store: Store) -> None:
    times = {"order-d": 2.0, "order-b": None, "order-e": 2.0, "order-a": 1.0, "order-c": None}
    for id, at in times.items():
        store.append([_call(id, agent="order", timestamp=at)])
    expected = ["order-b", "order-c", "order-a", "order-d", "order-e"]
    assert _ids(store, agent="order") == expected, "calls come by time, then in the order they came"


def _check_narrowing(store: Store) -> None:
    store.append(
        [
            _call("narrow-1", agent="narrow", timestamp=11.0),
            _call("narrow-2", agent="narrow", timestamp=12.0, tenant="narrow"),
            _call("narrow-3", agent="narrow too", timestamp=13.0, tenant="narrow"),
        ]
    )
    assert _ids(store, agent="narrow") == ["narrow-1", "narrow-2"], "calls can be narrowed to an agent"
    assert _ids(store, tenant="narrow") == ["narrow-2", "narrow-3"], "calls can be narrowed to a tenant"
    assert _ids(store, agent="narrow", since=12.0) == ["narrow-2"], (
        "calls can be narrowed to those since a time"
    )
    assert _ids(store, tenant="nobody") == [], "a tenant without calls has none"
    assert set(store.tenants()) >= {"default", "narrow"}, "tenants names everybody whose calls are here"


def _check_snapshot(store: Store) -> None:
    store.append([_call("snap-1", agent="snap"), _call("snap-2", agent="snap")])
    reading = iter(store.calls(agent="snap"))
    first = next(reading)
    store.append([_call("snap-3", agent="snap")])
    assert [first.id, *(c.id for c in reading)] == ["snap-1", "snap-2"], (
        "what is added while one iterates does not appear"
    )


def _check_feedback(store: Store) -> None:
    store.append(
        [
            _call("told-1", agent="told", episode="told-e1"),
            _call("told-2", agent="told", episode="told-e2"),
            _call("told-3", agent="told", episode="told-e1"),
        ]
    )
    store.add_feedback(episode="told-e1", metric="success", value=1.0)
    store.add_feedback(episode="told-e1", metric="success", value=0.0)
    store.add_feedback(call_id="told-3", metric="stars", value=4.0)
    outcomes = {c.id: c.outcome for c in store.calls(agent="told")}
    failed = Outcome(reward=0.0, success=False, metric="success")
    assert outcomes["told-2"] is None, "feedback touches no other episode"
    assert outcomes["told-1"] == failed, "feedback is merged into outcome, the later one over the earlier"
    assert outcomes["told-3"] == Outcome(reward=4.0, success=False, metric="stars"), (
        "feedback on a call goes before that on its episode"
    )
    right = {"role": "assistant", "content": "the right answer"}
    store.add_feedback(call_id="told-2", metric="correction", value=1.0, correction=right)
    told = {c.id: c for c in store.calls(agent="told")}
    assert told["told-2"].correction == right, "a correction of a call comes with the call"
    assert told["told-2"].outcome is None, "a correction says nothing of how the run ended"
    assert told["told-1"].correction is None, "a correction touches no other call"


def _check_feedback_of_a_tenant(store: Store) -> None:
    mine, other = (
        _call(f"of-{tenant}", agent="of", episode="of-e", tenant=tenant) for tenant in ("of-a", "of-b")
    )
    store.append([mine, other])
    store.add_feedback(episode="of-e", metric="success", value=1.0, tenant="of-a")
    outcomes = {c.id: c.outcome for c in store.calls(agent="of")}
    assert outcomes["of-of-a"] is not None and outcomes["of-of-b"] is None, (
        "feedback of one tenant does not reach another's calls"
    )


def _check_bad_feedback(store: Store) -> None:
    for said in (
        {"metric": "m", "value": 1.0},
        {"episode": "e", "call_id": "c", "metric": "m", "value": 1.0},
        {"episode": "e", "metric": "", "value": 1.0},
    ):
        try:
            store.add_feedback(**said)  # type: ignore[arg-type]
        except BadInput:
            continue
        raise AssertionError("add_feedback refuses feedback about nothing, with BadInput")


def _check_episodes(store: Store) -> None:
    store.append(
        [
            _call("known-1", agent="known", episode="known-e", tenant="known"),
            _call("known-2", agent="known", tenant="known"),
        ]
    )
    store.append_entries([entry_of(_call("known-3", agent="known", episode="known-f"))])
    store.add_feedback(episode="known-g", metric="success", value=1.0)
    known = {
        (tenant, episode): store.has_episode(tenant, episode)
        for tenant in ("default", "known")
        for episode in ("known-e", "known-f", "known-g", "known", "")
    }
    assert {of for of, is_known in known.items() if is_known} == {
        ("known", "known-e"),
        ("default", "known-f"),
    }, "has_episode is true where a call of the tenant names the episode, and nowhere else"


def _check_threads(store: Store) -> None:
    failures: list[BaseException] = []

    def add(worker: int) -> None:
        try:
            for i in range(10):
                store.append([_call(f"thread-{worker}-{i}", agent="threads", origin=f"o_thread{i}")])
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=add, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(_ids(store, agent="threads")) == 30, "threads may share a store"


def _check_erasure(store: Store, clock: Callable[[], float]) -> None:
    store.append(
        [
            _call("ann-1", agent="erase", origin="o_ann", episode="erase-a"),
            _call("bob-1", agent="erase", origin="o_bob", episode="erase-b"),
            _call("ann-2", agent="erase", origin="o_ann", timestamp=1000.0 + 40 * DAY_S),
            _call("ann-3", agent="erase", origin="o_ann", tenant="erase"),
        ]
    )
    for episode in ("erase-a", "erase-b"):
        store.add_feedback(episode=episode, metric="success", value=1.0)
    n_before, began = store.count(), clock()
    done = store.erase("o_ann")
    assert sorted(done.call_ids) == ["ann-1", "ann-2"], "erase names the calls that it made unreadable"
    assert (done.origin, done.tenant) == ("o_ann", "default"), "erase says whose they were"
    assert began <= done.erased_at <= clock(), "erase says when"
    assert sorted(_ids(store, agent="erase")) == ["ann-3", "bob-1"], (
        "erase takes every call of the origin, in all months, and nobody else's, nor another tenant's"
    )
    assert store.count() == n_before - 2, "erased calls are not counted"
    assert store.erased(["ann-1", "ann-2", "ann-3", "bob-1", "never"]) == {"ann-1", "ann-2"}, (
        "erased names the calls that were erased, and no others"
    )
    assert store.gone(["ann-1", "ann-3", "never"]) == {"ann-1", "never"}, (
        "gone names the calls that cannot be read: erased, expired or never stored"
    )
    assert [c and c.id for c in store.get(["ann-3", "ann-1", "never", "bob-1"])] == [
        "ann-3",
        None,
        None,
        "bob-1",
    ], "get gives calls in the order of their ids, and None for those that cannot be read"
    assert [store.has_episode("default", f"erase-{name}") for name in "ab"] == [False, True], (
        "an episode whose calls are all erased is not known any more, and no other is forgotten"
    )
    kept = {c.id: c.outcome for c in store.calls(agent="erase")}
    assert kept["bob-1"] is not None, "erase leaves the feedback on others"
    try:
        store.erase("")
    except BadInput:
        pass
    else:
        raise AssertionError("erase refuses an empty origin, with BadInput")
    assert store.erase("o_nobody").call_ids == [], "erase of somebody unknown erases nothing"


def _check_erasure_of_calls(store: Store) -> None:
    store.append(
        [
            *(_call(f"some-{i}", agent="some", episode="some-e") for i in (1, 2)),
            _call("some-3", agent="some", episode="some-e", origin="o_some", tenant="some"),
        ]
    )
    store.add_feedback(episode="some-e", metric="success", value=1.0, tenant="some")
    store.add_feedback(call_id="some-1", metric="success", value=1.0)
    assert store.erase_calls(["some-1", "some-3", "never"]) == ["some-1"], (
        "erase_calls takes the tenant's calls and says which; others, and those that are not here, are left out"
    )
    assert sorted(_ids(store, agent="some")) == ["some-2", "some-3"], "erase_calls takes no other call"
    assert store.has_episode("default", "some-e"), (
        "an episode is known as long as one of its calls can be read"
    )
    assert store.erased(["some-1"]) == {"some-1"}, "what erase_calls took counts as erased"
    assert store.append([_call("some-1", agent="some")]) == 0, "nor does the id of such a call come back"
    store.erase_calls([], episodes=["some-e"])
    outcome = {c.id: c.outcome for c in store.calls(agent="some")}
    assert outcome["some-3"] is not None, (
        "feedback that another tenant gave on an episode of the name is kept"
    )
    store.erase_calls([], tenant="some", episodes=["some-e"])
    assert {c.id: c.outcome for c in store.calls(agent="some")}["some-3"] is None, (
        "feedback on the episode goes"
    )


def _check_tombstones(store: Store, clock: Callable[[], float]) -> None:
    store.append([_call("tomb-1", agent="tomb", origin="o_tomb", episode="tomb-e")])
    store.add_feedback(episode="tomb-e", metric="success", value=1.0)
    store.erase("o_tomb")
    late = {
        "tomb-1": 1000.0,  # the same call, imported again
        "tomb-2": 999.0,  # an older call that comes in late
        "tomb-3": None,  # a call that does not say when it was made
    }
    for id, at in late.items():
        n_added = store.append([_call(id, agent="tomb", origin="o_tomb", timestamp=at)])
        assert n_added == 0, "calls from before an erasure do not come back after it"
        entry = entry_of(_call(id, agent="tomb", origin="o_tomb", timestamp=at))
        assert store.append_entries([entry]) == 0, "nor do they from a journal, as entries"
    later = clock() + 1
    fresh = _call("tomb-4", agent="tomb", origin="o_tomb", episode="tomb-e", timestamp=later)
    assert store.append([fresh]) == 1, "calls made after an erasure are kept"
    again = _call("tomb-1", agent="tomb", origin="o_tomb", timestamp=later)
    assert store.append([again]) == 0, "nor does the id of an erased call come back, whatever time it gives"
    assert next(iter(store.calls(agent="tomb"))).outcome is None, "feedback on erased calls is erased too"
    assert store.erase("o_tomb").call_ids == ["tomb-4"], "somebody who came back can be erased again"
    _check_unnamed_calls(store, clock)


def _check_unnamed_calls(store: Store, clock: Callable[[], float]) -> None:
    """Of an erased person's runs."""

    def add(id: str, *, episode: str = "unnamed-e", **fields: object) -> int:
        return store.append([_call(id, agent="unnamed", episode=episode, **fields)])

    add("unnamed-1", origin="o_una")
    add("unnamed-2")
    add("unnamed-3", origin="o_bob")
    add("unnamed-4", tenant="other")
    add("unnamed-5", episode="")
    assert sorted(store.erase("o_una").call_ids) == ["unnamed-1", "unnamed-2"], (
        "erase takes the calls of the person's episodes that name nobody, and those alone"
    )
    assert store.erased(["unnamed-2"]) == {"unnamed-2"}, "they count as erased"
    late = [add("unnamed-6"), add("unnamed-7", timestamp=None)]
    assert late == [0, 0], "nor does such a call of before the erasure come in after it"
    later = clock() + 1
    taken = [
        add("unnamed-8", origin="o_bob"),
        add("unnamed-9", tenant="other"),
        add("unnamed-10", episode=""),
        add("unnamed-11", timestamp=later),
    ]
    assert taken == [1, 1, 1, 1], "calls of others, and those from after the erasure, are taken"
    add("unnamed-12", episode="unnamed-f")
    assert store.erase_calls([], episodes=["unnamed-f"]) == ["unnamed-12"], (
        "erase_calls takes such calls of the episodes that it is given"
    )
    assert add("unnamed-13", episode="unnamed-f") == 0, "nor do those come in later"
    add("unnamed-14", episode="unnamed-g")
    both = [
        _call(f"unnamed-{id}", agent="unnamed", episode="unnamed-g", origin=origin)
        for id, origin in ((15, ""), (16, "o_una"), (17, "o_bob"))
    ]
    assert store.append(both) == 1, "a call of an erased person that comes in late has its episode erased"
    assert store.gone([f"unnamed-{n}" for n in (14, 15, 16, 17)]) == {
        "unnamed-14",
        "unnamed-15",
        "unnamed-16",
    }, "what names nobody there goes, that which was there before and that which comes in with it"


def _check_expiry(store: Store, clock: Callable[[], float]) -> None:
    limit = 50 * DAY_S
    store.append(
        [
            _call("old-1", agent="expire", tenant="expire", episode="old-e", timestamp=limit - 1),
            _call("new-1", agent="expire", tenant="expire", timestamp=limit),
            _call("undated-1", agent="expire", tenant="expire", timestamp=None),
            _call("other-1", agent="expire", tenant="expire too", timestamp=limit - 1),
        ]
    )
    assert store.older(tenant="expire", before=limit) == 1, "older counts what expire would delete"
    assert store.expire(tenant="expire", before=limit) == 1, "expire returns how many calls it deleted"
    assert sorted(_ids(store, agent="expire")) == ["new-1", "other-1", "undated-1"], (
        "expire deletes a tenant's calls from before the time; younger ones, undated ones and other tenants' stay"
    )
    assert store.gone(["old-1", "new-1"]) == {"old-1"}, "expired calls are gone"
    assert not store.has_episode("expire", "old-e"), "and so are their episodes"
    assert store.erased(["old-1"]) == set(), "expired calls are not erased ones"
    assert store.older(tenant="expire", before=limit) == 0 == store.expire(tenant="expire", before=limit), (
        "what has expired is not counted again"
    )


def _check_expiry_of_feedback(store: Store, clock: Callable[[], float]) -> None:
    now = clock()
    store.add_feedback(episode="aged-e", metric="success", value=1.0, tenant="aged")
    assert store.older(tenant="aged", before=now - 40 * DAY_S) == 0, "young feedback is not over age"
    assert store.older(tenant="aged", before=now + 40 * DAY_S) == 1, "older counts feedback too"
    assert store.expire(tenant="aged", before=now + 40 * DAY_S) == 0, "feedback is not a call"
    assert store.older(tenant="aged", before=now + 40 * DAY_S) == 0, "feedback goes with the month it came in"


def _check_maintenance(store: Store) -> None:
    before = _ids(store)
    assert store.rewrap() >= 0, "rewrap returns how many keys it wrapped again"
    assert isinstance(store.compact(), bool), "compact says whether old pages are gone"
    assert _ids(store) == before and before, "rewrap and compact change no call"


def _check_reopened(reopen: Reopen, clock: Callable[[], float]) -> None:
    store = reopen()
    try:
        kept = {c.id: c.outcome for c in store.calls()}
        assert {"append-1", "entry-1"} <= kept.keys(), "calls are there after closing and opening again"
        assert kept["told-1"] is not None, "feedback is there after closing and opening again"
        assert store.erased(["ann-1"]) == {"ann-1"}, "erasures are there after closing and opening again"
        assert store.append([_call("ann-1", origin="o_ann"), _call("ann-9", origin="o_ann")]) == 0, (
            "tombstones are there after closing and opening again"
        )
        assert store.has_episode("known", "known-e") and not store.has_episode("default", "erase-a"), (
            "episodes are known after closing and opening again"
        )
        assert "old-1" not in kept, "expired calls do not come back when the store is opened again"
    finally:
        store.close()
