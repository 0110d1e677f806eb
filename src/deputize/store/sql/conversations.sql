-- Conversations behind response ids. In clear: tenants, times, sizes and counts.

-- name: schema
-- A wrapped data key per (tenant, data subject); without it its conversations cannot be read.
CREATE TABLE IF NOT EXISTS subjects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    subject BLOB NOT NULL,
    wrapped_by TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    UNIQUE (tenant, subject)
);

-- One sealed conversation per response id.
CREATE TABLE IF NOT EXISTS conversations (
    id BLOB PRIMARY KEY,
    at REAL NOT NULL,
    subject INTEGER NOT NULL,
    sealed BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS conversations_by_time ON conversations (at);
CREATE INDEX IF NOT EXISTS conversations_by_subject ON conversations (subject);

-- Data subjects and response ids whose conversations were erased, and when: an answer that was under way then brings
-- back nothing of them.
CREATE TABLE IF NOT EXISTS erased (
    what BLOB PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID;

-- name: get
SELECT at, sealed, tenant, s.subject, wrapped_by, wrapped
FROM conversations c JOIN subjects s ON s.id = c.subject WHERE c.id = ?

-- name: put
INSERT OR REPLACE INTO conversations (id, at, subject, sealed) VALUES (?, ?, ?, ?)

-- name: of_tenant
SELECT c.id, sealed, s.subject, wrapped_by, wrapped
FROM conversations c JOIN subjects s ON s.id = c.subject WHERE s.tenant = ?

-- name: delete_one
DELETE FROM conversations WHERE id = ?

-- name: find_subject
SELECT id, wrapped_by, wrapped FROM subjects WHERE tenant = ? AND subject = ?

-- name: add_subject
INSERT INTO subjects (tenant, subject, wrapped_by, wrapped) VALUES (?, ?, ?, ?)

-- name: all_subjects
SELECT id, tenant, subject, wrapped_by, wrapped FROM subjects

-- name: rewrap_subject
UPDATE subjects SET wrapped_by = ?, wrapped = ? WHERE id = ?

-- name: delete_of_subject
DELETE FROM conversations WHERE subject = ?

-- name: delete_subject
DELETE FROM subjects WHERE id = ?

-- name: expire
DELETE FROM conversations WHERE at < ? AND subject IN (SELECT id FROM subjects WHERE tenant = ?)

-- name: bury
INSERT OR REPLACE INTO erased (what, at) VALUES (?, ?)

-- name: erased_at
SELECT at FROM erased WHERE what = ?

-- name: of_subject
SELECT id FROM conversations WHERE subject = ?

-- name: delete_old_graves
DELETE FROM erased WHERE at < ?

-- name: delete_old
DELETE FROM conversations WHERE at < ?

-- name: delete_idle_subjects
DELETE FROM subjects WHERE id NOT IN (SELECT subject FROM conversations)
