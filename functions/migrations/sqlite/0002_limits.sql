-- How full the database is, what it may hold, and the gate that every batch that writes goes through first.
--
-- The gate is an INSERT into the view `gate`: it fails when the workspace is at another epoch or takes no writes, and
-- notes the limits of the caller's plan, which stay as the last write said them. Triggers count what is stored, and
-- refuse what does not fit, in the same batch: with RAISE, whose texts are MG41M (memories) and MG41B (bytes), or, when
-- the batch takes what fits (`each`), by leaving the row out and noting it in `_refused`. PostgreSQL does the same
-- (0010).
--
-- Bytes are those of the texts of memories and of their earlier states; a relationship takes 500, which is its row with
-- its indexes (RELATIONSHIP_COST in memories/stores/rows.py; a test compares them), and its texts.

ALTER TABLE memories ADD COLUMN size INTEGER GENERATED ALWAYS AS (
  length(CAST(title || content || coalesce(summary, '') || tags || coalesce(context, '') AS BLOB))
) VIRTUAL;

ALTER TABLE memory_versions ADD COLUMN size INTEGER GENERATED ALWAYS AS (
  length(CAST(title || content || coalesce(summary, '') || tags || coalesce(context, '') AS BLOB))
) VIRTUAL;

ALTER TABLE relationships ADD COLUMN texts INTEGER GENERATED ALWAYS AS (
  length(CAST(coalesce(context, '') || coalesce(invalidation_reason, '') AS BLOB))
) VIRTUAL;

ALTER TABLE relationships ADD COLUMN size INTEGER GENERATED ALWAYS AS (500 + texts) VIRTUAL;

-- Kept answers by what they are about, so that they go with it: a memory or a relationship. Those to batches begin with
-- a list, and hold no text.
CREATE INDEX idempotency_about ON idempotency (json_extract(answer, '$[0]'));

-- One row. Limits that are null do not limit.
CREATE TABLE _usage (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  memories INTEGER NOT NULL,
  relationships INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  memories_most INTEGER,
  bytes_most INTEGER,
  each INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO _usage (id, memories, relationships, bytes)
SELECT 1, (SELECT count(*) FROM memories), (SELECT count(*) FROM relationships),
  coalesce((SELECT sum(size) FROM memories), 0) + coalesce((SELECT sum(size) FROM memory_versions), 0)
    + coalesce((SELECT sum(size) FROM relationships), 0);

-- The rows of this batch that did not fit, and why: `memories` or `bytes`.
CREATE TABLE _refused (
  id TEXT PRIMARY KEY,
  what TEXT NOT NULL
) STRICT;

-- What is inserted: at which epoch, the limits, and whether the batch takes what fits.
CREATE VIEW gate AS SELECT epoch, NULL AS memories_most, NULL AS bytes_most, 0 AS each FROM _fence;

CREATE TRIGGER gate_is_passed INSTEAD OF INSERT ON gate
BEGIN
  SELECT RAISE(ABORT, 'MG421') WHERE NOT EXISTS (SELECT 1 FROM _fence WHERE epoch = new.epoch AND mode = 'open');
  UPDATE _usage SET memories_most = new.memories_most, bytes_most = new.bytes_most, each = new.each
  WHERE memories_most IS NOT new.memories_most OR bytes_most IS NOT new.bytes_most OR each <> new.each;
  DELETE FROM _refused;
END;

-- Memories. What an upsert would insert is new only when its id is.

CREATE TRIGGER memories_are_let_in BEFORE INSERT ON memories
WHEN (SELECT memories >= memories_most OR bytes + new.size > bytes_most FROM _usage)
  AND NOT EXISTS (SELECT 1 FROM memories WHERE id = new.id)
BEGIN
  INSERT INTO _refused (id, what)
  SELECT new.id, CASE WHEN memories >= memories_most THEN 'memories' ELSE 'bytes' END FROM _usage WHERE each;
  SELECT CASE
    WHEN each THEN RAISE(IGNORE)
    WHEN memories >= memories_most THEN RAISE(ABORT, 'MG41M')
    ELSE RAISE(ABORT, 'MG41B')
  END FROM _usage;
END;

CREATE TRIGGER memories_are_counted AFTER INSERT ON memories
BEGIN
  UPDATE _usage SET memories = memories + 1, bytes = bytes + new.size;
END;

CREATE TRIGGER memories_are_counted_out AFTER DELETE ON memories
BEGIN
  UPDATE _usage SET memories = memories - 1, bytes = bytes - old.size;
END;

-- A memory that grows needs room for all of its text: its earlier state is kept. Before an update, SQLite computes
-- new.size without the columns that stay as they are, so it is spelled out.
CREATE TRIGGER memories_may_grow BEFORE UPDATE OF title, content, summary, tags, context ON memories
WHEN length(
  CAST(new.title || new.content || coalesce(new.summary, '') || new.tags || coalesce(new.context, '') AS BLOB)
) > old.size AND (
  SELECT bytes + length(
    CAST(new.title || new.content || coalesce(new.summary, '') || new.tags || coalesce(new.context, '') AS BLOB)
  ) > bytes_most
  FROM _usage
)
BEGIN
  INSERT INTO _refused (id, what) SELECT new.id, 'bytes' FROM _usage WHERE each;
  SELECT CASE WHEN each THEN RAISE(IGNORE) ELSE RAISE(ABORT, 'MG41B') END FROM _usage;
END;

-- Keeps the newest 100 (VERSIONS_KEPT in memories/stores/rows.py). Where there is no room for another one, the oldest
-- give way, so that a memory that does not grow takes no more room with its earlier states than before.
DROP TRIGGER memories_keep_versions;

CREATE TRIGGER memories_keep_versions AFTER UPDATE ON memories
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
  UPDATE _usage SET bytes = bytes + new.size - old.size;
  DELETE FROM memory_versions WHERE id = old.id AND (SELECT bytes > bytes_most FROM _usage) AND coalesce(
    (SELECT sum(o.size) FROM memory_versions o WHERE o.id = old.id AND o.version < memory_versions.version), 0
  ) < new.size;
END;

CREATE TRIGGER memory_versions_are_counted AFTER INSERT ON memory_versions
BEGIN
  UPDATE _usage SET bytes = bytes + new.size;
END;

CREATE TRIGGER memory_versions_are_counted_out AFTER DELETE ON memory_versions
BEGIN
  UPDATE _usage SET bytes = bytes - old.size;
END;

-- Relationships.

CREATE TRIGGER relationships_are_let_in BEFORE INSERT ON relationships
WHEN (SELECT bytes + new.size > bytes_most FROM _usage)
BEGIN
  SELECT RAISE(ABORT, 'MG41B');
END;

CREATE TRIGGER relationships_are_counted AFTER INSERT ON relationships
BEGIN
  UPDATE _usage SET relationships = relationships + 1, bytes = bytes + new.size;
END;

CREATE TRIGGER relationships_are_counted_out AFTER DELETE ON relationships
BEGIN
  UPDATE _usage SET relationships = relationships - 1, bytes = bytes - old.size;
END;

CREATE TRIGGER relationships_may_grow AFTER UPDATE OF context, invalidation_reason ON relationships
WHEN new.size <> old.size
BEGIN
  UPDATE _usage SET bytes = bytes + new.size - old.size;
  SELECT RAISE(ABORT, 'MG41B') FROM _usage WHERE new.size > old.size AND bytes > bytes_most;
END;

-- What was written since a move began to copy, in order: `kind` is one of `Kind` in memories/stores/moving.py. The
-- triggers that write it exist only meanwhile (memories/stores/sqlite/moves.py).
CREATE TABLE _journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  id TEXT NOT NULL
) STRICT;

-- As in 0001, and `over_bytes` for what does not fit. A row that is not in the table yet has no size, so it is spelled
-- out.
DROP TRIGGER relationships_come_in;

CREATE TRIGGER relationships_come_in INSTEAD OF INSERT ON incoming_relationships
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
        WHEN length(CAST(coalesce(new.context, '') || coalesce(new.invalidation_reason, '') AS BLOB)) > held.texts AND (
          SELECT bytes - held.texts
            + length(CAST(coalesce(new.context, '') || coalesce(new.invalidation_reason, '') AS BLOB)) > bytes_most
          FROM _usage
        ) THEN 'over_bytes'
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
      WHEN (
        SELECT bytes + 500 + length(CAST(coalesce(new.context, '') || coalesce(new.invalidation_reason, '') AS BLOB))
          > bytes_most
        FROM _usage
      ) THEN 'over_bytes'
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
