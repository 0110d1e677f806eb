-- Limits of API keys that several gateways hold together; the tables and functions are in postgres_schema.sql.

-- name: take_turns
SELECT given, wait_s FROM take_turns(%(key)s, %(per_minute)s, %(wanted)s)

-- name: take_usd
SELECT take_usd(%(key)s, %(month)s, %(wanted)s, %(most)s)

-- name: return_usd
UPDATE key_spending SET usd = usd - %(usd)s WHERE key = %(key)s AND month = %(month)s

-- name: taken_usd
SELECT usd FROM key_spending WHERE key = %(key)s AND month = %(month)s

-- name: all_taken_usd
SELECT key, usd FROM key_spending WHERE month = %(month)s AND usd > 0

-- name: put_taken_usd
INSERT INTO key_spending (key, month, usd) VALUES (%(key)s, %(month)s, %(usd)s)
ON CONFLICT (key, month) DO UPDATE SET usd = excluded.usd
