-- name: schema
CREATE TABLE IF NOT EXISTS spending (
    key TEXT NOT NULL,
    month TEXT NOT NULL,
    usd REAL NOT NULL,
    PRIMARY KEY (key, month)
) WITHOUT ROWID

-- name: spend
INSERT INTO spending (key, month, usd) VALUES (?, ?, ?) ON CONFLICT (key, month) DO UPDATE SET usd = usd + excluded.usd

-- name: spent
SELECT key, usd FROM spending WHERE month = ?

-- name: replace_spent
INSERT INTO spending (key, month, usd) VALUES (?, ?, ?) ON CONFLICT (key, month) DO UPDATE SET usd = excluded.usd
