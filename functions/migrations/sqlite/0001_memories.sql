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
  folded_languages TEXT NOT NULL,
  folded_frameworks TEXT NOT NULL,
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

-- The states that a memory was in before the one it is in now, and who wrote each.
CREATE TABLE IF NOT EXISTS memory_versions (
  id TEXT NOT NULL,
  version INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  type TEXT NOT NULL,
  title TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  importance REAL NOT NULL,
  confidence REAL NOT NULL,
  updated_by_key TEXT NOT NULL,
  updated_by_account TEXT NOT NULL,
  updated_by_agent TEXT NOT NULL,
  summary TEXT,
  tags TEXT NOT NULL,
  context TEXT,
  content TEXT NOT NULL,
  PRIMARY KEY (id, version)
) STRICT;

-- Keeps the newest 100 (VERSIONS_KEPT in memories/stores/rows.py).
CREATE TRIGGER IF NOT EXISTS memories_keep_versions AFTER UPDATE ON memories
BEGIN
  INSERT INTO memory_versions (
    id, version, updated_at, type, title, created_at, importance, confidence, updated_by_key, updated_by_account,
    updated_by_agent, summary, tags, context, content
  )
  VALUES (
    old.id, old.version, old.updated_at, old.type, old.title, old.created_at, old.importance, old.confidence,
    old.updated_by_key, old.updated_by_account, old.updated_by_agent, old.summary, old.tags, old.context, old.content
  );
  DELETE FROM memory_versions WHERE id = old.id AND version <= (
    SELECT version FROM memory_versions WHERE id = old.id ORDER BY version DESC LIMIT 1 OFFSET 100
  );
END;

-- A relationship holds from valid_from until valid_until (NULL: still); recorded_at is when we learned of it.
-- `structure` is what search by context compares: folded, JSON (memories/graph/context.py).
-- `reinforced_as` names the write that reinforced it last: a batch that is sent twice counts once.
CREATE TABLE IF NOT EXISTS relationships (
  id TEXT PRIMARY KEY,
  from_id TEXT NOT NULL,
  to_id TEXT NOT NULL,
  type TEXT NOT NULL,
  strength REAL NOT NULL,
  confidence REAL NOT NULL,
  context TEXT,
  structure TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  valid_from INTEGER NOT NULL,
  valid_until INTEGER,
  recorded_at INTEGER NOT NULL,
  invalidated_by TEXT,
  invalidation_reason TEXT,
  evidence_count INTEGER NOT NULL,
  validation_count INTEGER NOT NULL,
  counter_evidence_count INTEGER NOT NULL,
  last_validated INTEGER,
  version INTEGER NOT NULL,
  reinforced_as TEXT,
  created_by_key TEXT NOT NULL,
  created_by_account TEXT NOT NULL,
  created_by_agent TEXT NOT NULL,
  updated_by_key TEXT NOT NULL,
  updated_by_account TEXT NOT NULL,
  updated_by_agent TEXT NOT NULL
) STRICT;

-- All that a walk reads: fetching each row besides took ten times as long.
CREATE INDEX IF NOT EXISTS relationships_out ON relationships (from_id, type, to_id, valid_until, valid_from);

CREATE INDEX IF NOT EXISTS relationships_in ON relationships (to_id, type, from_id, valid_until, valid_from);

-- Writes that were sent with a key, and what they were answered (JSON). The two numbers of a memory or relationship
-- that JSON would round are beside it: importance or strength, and confidence.
CREATE TABLE IF NOT EXISTS idempotency (
  key TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  at INTEGER NOT NULL,
  weight REAL,
  confidence REAL,
  answer TEXT NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (at);

CREATE TABLE IF NOT EXISTS import_parts (
  import_id TEXT NOT NULL,
  part INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  answer TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (import_id, part)
) STRICT;

CREATE INDEX IF NOT EXISTS import_parts_by_age ON import_parts (at);

-- An import of relationships is an INSERT into this view: one statement for many rows, one after another.
-- `timeless`: the row came without id and times; `place`: which row of the import it is.
CREATE VIEW IF NOT EXISTS incoming_relationships AS
SELECT *, 0 AS timeless, 0 AS place FROM relationships;

-- What became of each row. Empty again when the batch ends.
CREATE TABLE IF NOT EXISTS import_outcomes (
  place INTEGER PRIMARY KEY,
  outcome TEXT NOT NULL
) STRICT;

CREATE TRIGGER IF NOT EXISTS relationships_come_in INSTEAD OF INSERT ON incoming_relationships
BEGIN
  INSERT INTO import_outcomes (place, outcome)
  SELECT new.place, coalesce(
    (
      SELECT CASE
        WHEN held.updated_at >= new.updated_at OR (new.timeless AND held.valid_until IS NULL) THEN 'unchanged'
        WHEN held.valid_until IS NOT NULL AND new.valid_until IS NULL AND EXISTS (
          WITH RECURSIVE reached (id) AS (
            SELECT held.to_id
            UNION
            SELECT r.to_id FROM reached JOIN relationships r ON r.from_id = reached.id
            WHERE r.type = held.type AND r.valid_until IS NULL
          )
          SELECT 1 FROM reached WHERE id = held.from_id
        ) THEN 'cycle'
        ELSE 'updated'
      END
      FROM relationships held WHERE held.id = new.id
    ),
    CASE
      WHEN new.timeless AND EXISTS (
        SELECT 1 FROM relationships r
        WHERE r.from_id = new.from_id AND r.to_id = new.to_id AND r.type = new.type AND r.strength = new.strength
          AND r.confidence = new.confidence AND r.context IS new.context AND r.valid_until IS NULL
      ) THEN 'unchanged'
      WHEN NOT EXISTS (SELECT 1 FROM memories WHERE id = new.from_id)
        OR NOT EXISTS (SELECT 1 FROM memories WHERE id = new.to_id) THEN 'unknown_end'
      WHEN new.valid_until IS NULL AND EXISTS (
        WITH RECURSIVE reached (id) AS (
          SELECT new.to_id
          UNION
          SELECT r.to_id FROM reached JOIN relationships r ON r.from_id = reached.id
          WHERE r.type = new.type AND r.valid_until IS NULL
        )
        SELECT 1 FROM reached WHERE id = new.from_id
      ) THEN 'cycle'
      ELSE 'created'
    END
  );

  UPDATE relationships SET
    strength = new.strength, confidence = new.confidence, context = new.context, structure = new.structure,
    created_at = new.created_at, updated_at = new.updated_at, valid_from = new.valid_from,
    valid_until = new.valid_until, recorded_at = new.recorded_at, invalidated_by = new.invalidated_by,
    invalidation_reason = new.invalidation_reason, evidence_count = new.evidence_count,
    validation_count = new.validation_count, counter_evidence_count = new.counter_evidence_count,
    last_validated = new.last_validated, version = max(new.version, version + 1),
    updated_by_key = new.updated_by_key, updated_by_account = new.updated_by_account,
    updated_by_agent = new.updated_by_agent
  WHERE id = new.id AND (SELECT outcome FROM import_outcomes WHERE place = new.place) = 'updated';

  INSERT INTO relationships (
    id, from_id, to_id, type, strength, confidence, context, structure, created_at, updated_at, valid_from, valid_until,
    recorded_at, invalidated_by, invalidation_reason, evidence_count, validation_count, counter_evidence_count,
    last_validated, version, created_by_key, created_by_account, created_by_agent, updated_by_key, updated_by_account,
    updated_by_agent
  )
  SELECT
    new.id, new.from_id, new.to_id, new.type, new.strength, new.confidence, new.context, new.structure, new.created_at,
    new.updated_at, new.valid_from, new.valid_until, new.recorded_at, new.invalidated_by, new.invalidation_reason,
    new.evidence_count, new.validation_count, new.counter_evidence_count, new.last_validated, new.version,
    new.created_by_key, new.created_by_account, new.created_by_agent, new.updated_by_key, new.updated_by_account,
    new.updated_by_agent
  WHERE (SELECT outcome FROM import_outcomes WHERE place = new.place) = 'created';
END;
