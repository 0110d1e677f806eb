-- Limits of API keys that several gateways hold together; the tables and functions are in postgres_schema.sql.

-- name: take_turns
SELECT given, wait_s FROM take_turns(%(key)s, %(per_minute)s, %(wanted)s)

-- name: take_usd
SELECT take_usd(%(key)s, %(month)s, %(wanted)s, %(most)s)

-- name: return_usd
UPDATE key_spending SET usd = usd - %(usd)s WHERE key = %(key)s AND month = %(month)s

-- name: taken_usd
SELECT usd FROM key_spending WHERE key = %(key)s AND month = %(month)s
