-- Tenant schema: one database per workspace (Turso, sqld, or a local file). Applied by core/migrations.py, which keeps the
-- number of this file in _schema_version: PRAGMA user_version is read-only on Turso.
--
-- Times are microseconds since 1970 in UTC. `folded_*` is what search compares: folded once, in Python
-- (memories/text.py), because SQLite folds ASCII only. Keys are not declared foreign: whether they are enforced depends
-- on the connection, so the store's batches keep them.

-- One row. What every batch may be fenced by: the epoch of the workspace's placement and what may be done with it.
CREATE TABLE IF NOT EXISTS _fence (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL,
  mode TEXT NOT NULL CHECK (mode IN ('open', 'read_only', 'closed'))
) STRICT;

INSERT OR IGNORE INTO _fence (id, epoch, mode) VALUES (1, 1, 'open');

CREATE TABLE IF NOT EXISTS memories (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  title TEXT NOT NULL,
  content TEXT NOT NULL,
  summary TEXT,
  tags TEXT NOT NULL,
  importance REAL NOT NULL,
  confidence REAL NOT NULL,
  context TEXT,
  project_path TEXT,
  folded_title TEXT NOT NULL,
  folded_content TEXT NOT NULL,
  folded_summary TEXT NOT NULL,
  folded_tags TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  created_by_key TEXT NOT NULL,
  created_by_account TEXT NOT NULL,
  created_by_agent TEXT NOT NULL,
  updated_by_key TEXT NOT NULL,
  updated_by_account TEXT NOT NULL,
  updated_by_agent TEXT NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS memories_by_rank ON memories (importance DESC, created_at DESC, id);

CREATE INDEX IF NOT EXISTS memories_by_age ON memories (created_at DESC, id);

-- A relationship holds from valid_from until valid_until (NULL: still); recorded_at is when we learned of it.
CREATE TABLE IF NOT EXISTS relationships (
  id TEXT PRIMARY KEY,
  from_id TEXT NOT NULL,
  to_id TEXT NOT NULL,
  type TEXT NOT NULL,
  strength REAL NOT NULL,
  confidence REAL NOT NULL,
  context TEXT,
  created_at INTEGER NOT NULL,
  valid_from INTEGER NOT NULL,
  valid_until INTEGER,
  recorded_at INTEGER NOT NULL,
  invalidated_by TEXT,
  created_by_key TEXT NOT NULL,
  created_by_account TEXT NOT NULL,
  created_by_agent TEXT NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS relationships_out ON relationships (from_id, type);

CREATE INDEX IF NOT EXISTS relationships_in ON relationships (to_id, type);
