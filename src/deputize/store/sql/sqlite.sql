-- The SQLite store. Every text that a caller can choose (ids, agents, episodes, origins) is either sealed in a payload
-- or stands as a keyed 16-byte lookup. In clear: times, months, tenants, sizes and counts.

-- name: schema
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- A data key per (tenant, data subject, month), wrapped. Deleting a row shreds what the key encrypted.
CREATE TABLE data_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    subject BLOB NOT NULL,
    month TEXT NOT NULL,
    wrapped_by TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    UNIQUE (tenant, subject, month)
);

-- payload NULL: erased; the row stays so that the same call cannot come back.
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    time REAL NOT NULL,
    agent BLOB NOT NULL,
    episode BLOB NOT NULL,
    key INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    payload BLOB
);
CREATE INDEX calls_by_time ON calls (time);
CREATE INDEX calls_by_key ON calls (key);
CREATE INDEX calls_by_episode ON calls (episode) WHERE episode <> x'';

CREATE TABLE feedback (seq INTEGER PRIMARY KEY, key INTEGER NOT NULL, payload BLOB NOT NULL);

CREATE TABLE tombstones (
    tenant TEXT NOT NULL,
    subject BLOB NOT NULL,
    erased_at REAL NOT NULL,
    n_calls INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject)
) WITHOUT ROWID;

-- name: get_meta
SELECT value FROM meta WHERE name = ?

-- name: set_meta
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: find_key
SELECT id, wrapped_by, wrapped FROM data_keys WHERE tenant = ? AND subject = ? AND month = ?

-- name: get_key
SELECT tenant, subject, month, wrapped_by, wrapped FROM data_keys WHERE id = ?

-- name: add_key
INSERT INTO data_keys (tenant, subject, month, wrapped_by, wrapped) VALUES (?, ?, ?, ?, ?)

-- name: all_keys
SELECT id, tenant, subject, month, wrapped_by, wrapped FROM data_keys

-- name: rewrap_key
UPDATE data_keys SET wrapped_by = ?, wrapped = ? WHERE id = ?

-- name: keys_of_subject
SELECT id FROM data_keys WHERE tenant = ? AND subject = ?

-- name: delete_key
DELETE FROM data_keys WHERE id = ?

-- name: add_call
INSERT OR IGNORE INTO calls (id, time, agent, episode, key, schema, payload) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: calls
SELECT c.id, c.time, c.key, c.schema, c.payload FROM calls c
WHERE c.payload IS NOT NULL AND c.time >= :since
  AND (:agent IS NULL OR c.agent = :agent)
  AND (:tenant IS NULL OR c.key IN (SELECT id FROM data_keys WHERE tenant = :tenant))
ORDER BY c.time, c.seq

-- name: all_calls
SELECT id, time, agent, episode, key, schema, payload FROM calls ORDER BY seq

-- name: calls_of_key
SELECT id, time, key, schema, payload FROM calls WHERE key = ? AND payload IS NOT NULL

-- name: unnamed_calls
SELECT c.id, c.time, c.key, c.schema, c.payload FROM calls c JOIN data_keys k ON k.id = c.key
WHERE c.episode = :episode AND c.episode <> x'' AND k.tenant = :tenant AND k.subject = :nobody AND c.payload IS NOT NULL

-- name: call
SELECT id, time, key, schema, payload FROM calls WHERE id = ? AND payload IS NOT NULL

-- name: count
SELECT count(*) FROM calls WHERE payload IS NOT NULL

-- name: erase_calls
UPDATE calls SET payload = NULL, time = 0, agent = x'', episode = x'' WHERE key = ?

-- name: erase_call
UPDATE calls SET payload = NULL, time = 0, agent = x'', episode = x'' WHERE id = ?

-- name: is_erased
SELECT 1 FROM calls WHERE id = ? AND payload IS NULL

-- name: is_readable
SELECT 1 FROM calls WHERE id = ? AND payload IS NOT NULL

-- name: has_episode
SELECT 1 FROM calls WHERE episode = ? AND episode <> x'' LIMIT 1

-- name: tenants
SELECT DISTINCT tenant FROM data_keys ORDER BY tenant

-- name: older
SELECT count(*) FROM calls WHERE time > 0 AND time < :before AND payload IS NOT NULL
  AND key IN (SELECT id FROM data_keys WHERE tenant = :tenant)

-- name: expire_calls
DELETE FROM calls WHERE time > 0 AND time < :before AND payload IS NOT NULL
  AND key IN (SELECT id FROM data_keys WHERE tenant = :tenant)

-- name: idle_keys
SELECT id FROM data_keys WHERE tenant = :tenant AND month < :month
  AND id NOT IN (SELECT key FROM calls) AND id NOT IN (SELECT key FROM feedback)

-- name: add_feedback
INSERT INTO feedback (seq, key, payload) VALUES (?, ?, ?)

-- name: next_feedback
SELECT coalesce(max(seq), 0) + 1 FROM feedback

-- name: all_feedback
SELECT seq, key, payload FROM feedback ORDER BY seq

-- name: old_feedback
SELECT f.seq, f.key, f.payload FROM feedback f JOIN data_keys k ON k.id = f.key WHERE k.month < :month

-- name: delete_feedback
DELETE FROM feedback WHERE seq = ?

-- name: is_empty
SELECT NOT EXISTS (SELECT 1 FROM data_keys) AND NOT EXISTS (SELECT 1 FROM calls)

-- name: load_key
INSERT INTO data_keys (id, tenant, subject, month, wrapped_by, wrapped) VALUES (?, ?, ?, ?, ?, ?)

-- name: load_call
INSERT INTO calls (id, time, agent, episode, key, schema, payload) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: bury
INSERT INTO tombstones (tenant, subject, erased_at, n_calls) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, subject) DO UPDATE SET erased_at = excluded.erased_at, n_calls = n_calls + excluded.n_calls

-- name: tombstones
SELECT tenant, subject, erased_at, n_calls FROM tombstones
