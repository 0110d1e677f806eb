"""Rows of the PostgreSQL store as calls and feedback; what an erasure has to take. Inside a transaction of the
caller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from deputize.core.errors import Tampered
from deputize.core.records import RECORD_VERSION, Call
from deputize.store.base import Feedback
from deputize.store.codec import decode_call, decode_record, is_about
from deputize.store.filing import episode_digest, episode_tombstone
from deputize.store.keys.data_keys import month_of, subject_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.postgres_keys import RowKeys, written
from deputize.store.sql import load_queries

if TYPE_CHECKING:
    from deputize.store.postgres_connection import Connection

_SQL = load_queries("postgres")
CALL, FEEDBACK = b"call", b"feedback"
"""Kinds of records, which a payload is bound to."""


def opened_call(keys: RowKeys, row: tuple[Any, ...]) -> Call:
    """The call of a row, its clear columns checked against what is sealed.

    Raises:
        Tampered: they do not agree, or the seal is broken.
    """
    id, at, key_id, schema, payload, *wrapped = row
    call = decode_call(keys.of(key_id, *wrapped).decrypt(CALL, bytes(id), schema, bytes(payload)))
    if (call.timestamp or 0.0) != at:
        raise Tampered(
            f"The stored call {bytes(id).hex()} was moved in time: its column and its seal disagree."
        )
    return call


def stage(
    db: Connection, rows: Iterable[tuple[int, bytes, str, str, float, bytes, bytes, int, int, bytes]]
) -> None:
    """Copies calls to where the query `add_calls` takes them from.

    Args:
        db: in a transaction.
        rows: number, id, tenant, month, time, agent, episode, key, schema, payload.
    """
    db.execute(_SQL["staging"])
    with db.cursor().copy(_SQL["stage"]) as copy:
        copy.set_types(["int8", "bytea", "text", "text", "float8", "bytea", "bytea", "int8", "int4", "bytea"])
        for row in rows:
            copy.write_row(row)


def feedback_row(seq: int) -> bytes:
    """The name of a row of feedback, which its payload is bound to."""
    return str(seq).encode()


def read_feedback(db: Connection, keys: RowKeys, before: str | None = None) -> Iterator[tuple[int, Feedback]]:
    """Feedback with its numbers in the order it came; `before`: only that from months before one."""
    for seq, payload, *key in db.execute(_SQL["all_feedback"], {"before": before}).fetchall():
        data = keys.of(*key).decrypt(FEEDBACK, feedback_row(seq), RECORD_VERSION, bytes(payload))
        yield seq, decode_record(data, Feedback)


def old_feedback(db: Connection, keyring: KeyRing, tenant: str, before: float) -> list[int]:
    """Numbers of a tenant's feedback from months before a time: what it speaks of is older still."""
    told = read_feedback(db, RowKeys(keyring), month_of(before))
    return [seq for seq, one in told if is_about(one, tenant)]


def what_to_erase(
    db: Connection, keyring: KeyRing, tenant: str, key_ids: list[int]
) -> tuple[set[str], set[str]]:
    """Ids and episodes of the calls under these keys. A damaged record does not stand in the way of erasing it."""
    ids, episodes = set[str](), set[str]()
    for _, call in _calls(db, keyring, "calls_of_keys", {"tenant": written(tenant), "keys": key_ids}):
        ids.add(call.id)
        episodes |= {call.episode} - {""}
    return ids, episodes


def _calls(
    db: Connection, keyring: KeyRing, query: str, wanted: dict[str, Any]
) -> Iterator[tuple[bytes, Call]]:
    keys = RowKeys(keyring)
    for row in db.execute(_SQL[query], wanted):
        with suppress(Tampered):
            yield bytes(row[0]), opened_call(keys, row)


def end_episodes(
    db: Connection, keyring: KeyRing, tenant: str, episodes: Collection[str], erased_at: float
) -> set[str]:
    """Erases the calls of episodes that name nobody, and takes none any more that was made before; ids of the erased
    ones."""
    whose, names = {"tenant": written(tenant)}, sorted(set(episodes) - {""})
    wanted = {
        **whose,
        "episodes": [episode_digest(keyring, tenant, name) for name in names],
        "nobody": subject_of(keyring, tenant, ""),
    }
    found = {row: call.id for row, call in _calls(db, keyring, "unnamed_calls", wanted)}
    db.execute(_SQL["erase_by_id"], {**whose, "ids": [*found]})
    for name in names:
        subject = episode_tombstone(keyring, tenant, name)
        db.execute(_SQL["bury"], {**whose, "subject": subject, "erased_at": erased_at, "n_calls": 0})
    return set(found.values())


def erase_feedback(
    db: Connection, keyring: KeyRing, tenant: str, call_ids: Collection[str], episodes: Collection[str]
) -> None:
    """Deletes the feedback of a tenant, or of the owner, on calls and episodes; others use the same names."""
    spoken_of = [
        seq
        for seq, one in read_feedback(db, RowKeys(keyring))
        if one.tenant in ("", tenant) and (one.episode in episodes or one.call_id in call_ids)
    ]
    db.execute(_SQL["delete_feedback"], {"seqs": spoken_of})
