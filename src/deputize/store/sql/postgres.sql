-- The PostgreSQL store; its tables are in postgres_schema.sql.

-- name: is_made
SELECT to_regclass('meta') IS NOT NULL

-- name: has_schema
SELECT current_schema() IS NOT NULL

-- name: role
SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user

-- name: get_meta
SELECT value FROM meta WHERE name = %(name)s

-- name: set_meta
INSERT INTO meta (name, value) VALUES (%(name)s, %(value)s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: session
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'

-- name: scope
SELECT set_config('deputize.scope', %(scope)s, true)

-- name: lock_shared
SELECT set_config('deputize.scope', %(scope)s, true), set_config('lock_timeout', %(wait)s, true),
  pg_advisory_xact_lock_shared(1146111060, hashtext(%(schema)s))

-- name: lock_alone
SELECT set_config('deputize.scope', %(scope)s, true), set_config('lock_timeout', %(wait)s, true),
  pg_advisory_xact_lock(1146111060, hashtext(%(schema)s))

-- name: standing
SELECT name, value FROM meta WHERE name IN ('epoch', 'wrapping', 'moved', 'arriving')

-- name: forget_meta
DELETE FROM meta WHERE name = %(name)s

-- name: next_epoch
UPDATE meta SET value = (value::bigint + 1)::text WHERE name = 'epoch'

-- name: find_keys
SELECT k.tenant, k.subject, k.month, k.id, k.wrapped_by, k.wrapped FROM data_keys k
JOIN unnest(%(tenants)s::text[], %(subjects)s::bytea[], %(months)s::text[]) AS w (tenant, subject, month)
  ON k.tenant = w.tenant AND k.subject = w.subject AND k.month = w.month

-- name: add_keys
INSERT INTO data_keys (tenant, subject, month, wrapped_by, wrapped)
SELECT * FROM unnest(
  %(tenants)s::text[], %(subjects)s::bytea[], %(months)s::text[], %(wrapped_by)s::text[], %(wrapped)s::bytea[])
ON CONFLICT (tenant, subject, month) DO NOTHING

-- name: all_keys
SELECT id, tenant, subject, month, wrapped_by, wrapped FROM data_keys WHERE wrapped_by <> %(active)s

-- name: rewrap_key
UPDATE data_keys SET wrapped_by = %(wrapped_by)s, wrapped = %(wrapped)s WHERE id = %(id)s

-- name: keys_of_subject
SELECT id FROM data_keys WHERE tenant = %(tenant)s AND subject = %(subject)s

-- name: delete_keys
DELETE FROM data_keys WHERE id = ANY(%(ids)s)

-- name: lock_makers
SELECT pg_advisory_xact_lock(1146111061, hashtext(%(schema)s))

-- name: add_partition
SELECT add_partition(%(tenant)s, %(month)s)

-- name: secure_partition
SELECT secure_table(%(leaf)s)

-- name: staging
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    n bigint NOT NULL, id bytea NOT NULL, tenant text COLLATE "C" NOT NULL, month text COLLATE "C" NOT NULL,
    time double precision NOT NULL, agent bytea NOT NULL, episode bytea NOT NULL, key bigint NOT NULL,
    schema integer NOT NULL, payload bytea
) ON COMMIT DELETE ROWS

-- name: stage
COPY incoming (n, id, tenant, month, time, agent, episode, key, schema, payload) FROM STDIN (FORMAT BINARY)

-- name: add_calls
WITH fresh AS (
    INSERT INTO call_ids (id, tenant, month) SELECT id, tenant, month FROM incoming ORDER BY id
    ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO calls (id, tenant, month, time, agent, episode, key, schema, payload)
SELECT i.id, i.tenant, i.month, i.time, i.agent, i.episode, i.key, i.schema, i.payload
FROM incoming i JOIN fresh USING (id) ORDER BY i.n

-- name: empty_staging
TRUNCATE incoming

-- name: calls
SELECT c.id, c.time, c.key, c.schema, c.payload, k.tenant, k.subject, k.month, k.wrapped_by, k.wrapped
FROM calls c JOIN data_keys k ON k.id = c.key
WHERE c.time >= %(since)s
  AND (%(agent)s::bytea IS NULL OR c.agent = %(agent)s)
  AND (%(tenant)s::text IS NULL OR c.tenant = %(tenant)s)
ORDER BY c.time, c.seq

-- name: some_calls
SELECT c.id, c.time, c.key, c.schema, c.payload, k.tenant, k.subject, k.month, k.wrapped_by, k.wrapped
FROM call_ids i JOIN calls c ON c.tenant = i.tenant AND c.month = i.month AND c.id = i.id
JOIN data_keys k ON k.id = c.key
WHERE i.id = ANY(%(ids)s)

-- name: calls_of_keys
SELECT c.id, c.time, c.key, c.schema, c.payload, k.tenant, k.subject, k.month, k.wrapped_by, k.wrapped
FROM calls c JOIN data_keys k ON k.id = c.key
WHERE c.tenant = %(tenant)s AND c.key = ANY(%(keys)s)

-- name: unnamed_calls
SELECT c.id, c.time, c.key, c.schema, c.payload, k.tenant, k.subject, k.month, k.wrapped_by, k.wrapped
FROM calls c JOIN data_keys k ON k.id = c.key
WHERE c.tenant = %(tenant)s AND c.episode = ANY(%(episodes)s) AND k.subject = %(nobody)s

-- name: count
SELECT count(*) FROM call_ids WHERE month <> ''

-- name: erase_by_key
WITH gone AS (DELETE FROM calls WHERE tenant = %(tenant)s AND key = ANY(%(keys)s) RETURNING id)
UPDATE call_ids SET tenant = '', month = '' WHERE id IN (SELECT id FROM gone)

-- name: erase_by_id
WITH gone AS (DELETE FROM calls WHERE tenant = %(tenant)s AND id = ANY(%(ids)s) RETURNING id),
  marked AS (UPDATE call_ids SET tenant = '', month = '' WHERE id IN (SELECT id FROM gone))
SELECT id FROM gone

-- name: are_erased
SELECT id FROM call_ids WHERE id = ANY(%(ids)s) AND month = ''

-- name: are_readable
SELECT id FROM call_ids WHERE id = ANY(%(ids)s) AND month <> ''

-- name: has_episode
SELECT EXISTS (SELECT 1 FROM calls WHERE tenant = %(tenant)s AND (episode = %(episode)s OR episode IS NULL))

-- name: tenants
SELECT DISTINCT tenant FROM data_keys ORDER BY tenant

-- name: older
SELECT count(*) FROM calls WHERE tenant = %(tenant)s AND time > 0 AND time < %(before)s

-- name: expire_calls
WITH gone AS (
    DELETE FROM calls WHERE tenant = %(tenant)s AND time > 0 AND time < %(before)s RETURNING id
), forgotten AS (DELETE FROM call_ids WHERE id IN (SELECT id FROM gone))
SELECT count(*) FROM gone

-- name: empty_partitions
SELECT p.month FROM partitions p
WHERE p.tenant = %(tenant)s AND p.month < %(month)s AND length(p.month) = 7
  AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.tenant = p.tenant AND c.month = p.month)

-- name: drop_partition
SELECT drop_partition(%(tenant)s, %(month)s)

-- name: idle_keys
SELECT k.id FROM data_keys k WHERE k.tenant = %(tenant)s AND k.month < %(month)s
  AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.tenant = k.tenant AND c.month = k.month AND c.key = k.id)
  AND NOT EXISTS (SELECT 1 FROM feedback f WHERE f.key = k.id)

-- name: next_feedback
SELECT nextval(pg_get_serial_sequence(format('%I.feedback', current_schema()), 'seq'))

-- name: add_feedback
INSERT INTO feedback (seq, key, payload) VALUES (%(seq)s, %(key)s, %(payload)s)

-- name: all_feedback
SELECT f.seq, f.payload, f.key, k.tenant, k.subject, k.month, k.wrapped_by, k.wrapped
FROM feedback f JOIN data_keys k ON k.id = f.key
WHERE %(before)s::text IS NULL OR k.month < %(before)s
ORDER BY f.seq

-- name: delete_feedback
DELETE FROM feedback WHERE seq = ANY(%(seqs)s)

-- name: bury
INSERT INTO tombstones (tenant, subject, erased_at, n_calls)
VALUES (%(tenant)s, %(subject)s, %(erased_at)s, %(n_calls)s)
ON CONFLICT (tenant, subject)
DO UPDATE SET erased_at = excluded.erased_at, n_calls = tombstones.n_calls + excluded.n_calls

-- name: tombstones
SELECT tenant, subject, erased_at FROM tombstones

-- name: is_empty
SELECT NOT EXISTS (SELECT 1 FROM data_keys) AND NOT EXISTS (SELECT 1 FROM call_ids)

-- name: load_key
INSERT INTO data_keys (id, tenant, subject, month, wrapped_by, wrapped) VALUES (%s, %s, %s, %s, %s, %s)

-- name: load_erased
INSERT INTO call_ids (id, tenant, month) VALUES (%s, '', '') ON CONFLICT DO NOTHING

-- name: load_feedback
INSERT INTO feedback (seq, key, payload) VALUES (%s, %s, %s)

-- name: load_tombstone
INSERT INTO tombstones (tenant, subject, erased_at, n_calls) VALUES (%s, %s, %s, %s)

-- name: hand_over_keys
SELECT id, tenant, subject, month, wrapped_by, wrapped FROM data_keys ORDER BY id

-- name: hand_over_calls
SELECT c.id, c.time, c.agent, c.episode, c.key, c.schema, c.payload, k.tenant, k.subject, k.month, k.wrapped_by, k.wrapped
FROM calls c LEFT JOIN data_keys k ON k.id = c.key AND c.episode IS NULL
ORDER BY c.time, c.seq

-- name: hand_over_erased
SELECT id FROM call_ids WHERE month = ''

-- name: hand_over_feedback
SELECT seq, key, payload FROM feedback ORDER BY seq

-- name: hand_over_tombstones
SELECT tenant, subject, erased_at, n_calls FROM tombstones

-- name: number_keys
SELECT setval(pg_get_serial_sequence(format('%I.data_keys', current_schema()), 'id'), max(id)) FROM data_keys

-- name: number_feedback
SELECT setval(pg_get_serial_sequence(format('%I.feedback', current_schema()), 'seq'), max(seq)) FROM feedback

-- name: older_sessions
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid() AND xact_start < %(since)s

-- name: clock
SELECT clock_timestamp()
