-- The memories of paid workspaces: the columns of functions/migrations/sqlite, with the workspace before each key.
--
-- Run like 0001. One function of schema `memory` is one operation of the store, one round trip and one transaction: it
-- sets the workspace for this transaction, then works under row-level security. This file: roles, tables, their rows'
-- security, and what the functions share. 0003: memories; 0004: search; 0005 and 0006: relationships, written and read;
-- 0007: batches, export, import.
--
-- Who may do what:
--   memory_owner   owns tables and functions; nobody can log in as it; no BYPASSRLS; row-level security is forced on it
--   memory_finder  owns `find` alone; sees of a workspace only the memories with a needle or a tag (see the policies)
--   memories       logs in; may run the functions of the store, and touch no table
--   provisioning   logs in; may run memory.open_workspace
--   everyone else  nothing
--
-- Why memory_finder: PostgreSQL uses an index below a policy only for operators that are marked leakproof, and LIKE is
-- not, nor are operators of arrays. Written as a condition of the policy itself, they may use the index. Measured with
-- 10,000 memories of 70 words: a rare word takes 0.5 ms by the index and 15 to 50 ms by reading every row.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['memory_owner', 'memory_finder'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role_name);
        END IF;
    END LOOP;
END
$$;
GRANT memory_owner, memory_finder TO CURRENT_USER WITH INHERIT TRUE, SET TRUE;

-- Supabase has the schema, and keeps extensions there.
CREATE SCHEMA IF NOT EXISTS extensions;
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA extensions;
GRANT USAGE ON SCHEMA extensions TO memory_owner;

CREATE SCHEMA memory;
REVOKE ALL ON SCHEMA memory FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA memory TO memory_owner;
GRANT USAGE ON SCHEMA memory TO memory_finder, memories, provisioning;

-- Short statements on few cores: neither compiling nor a second worker pays.
ALTER ROLE memories SET jit = off;
ALTER ROLE memories SET max_parallel_workers_per_gather = 0;

ALTER DEFAULT PRIVILEGES FOR ROLE memory_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE memory_owner REVOKE USAGE ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE memory_finder REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

SET LOCAL ROLE memory_owner;
SET LOCAL search_path = pg_catalog, extensions, public, pg_temp; -- wherever the extensions were put before

-- The workspace of this transaction; null, which equals nothing, when it is unset or malformed.
CREATE FUNCTION memory.workspace()
RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN pg_input_is_valid(current_setting('memory.workspace', true), 'uuid')
        THEN current_setting('memory.workspace', true)::uuid
    END
$$;

-- What every operation may be fenced by: the epoch of the workspace's placement and what may be done with it.
CREATE TABLE memory.fences (
    workspace_id uuid PRIMARY KEY,
    epoch bigint NOT NULL,
    mode text NOT NULL CHECK (mode IN ('open', 'read_only', 'closed'))
);

-- Collation C compares bytes, as SQLite does: the same order in both stores, whatever the database's locale. What a
-- search compares comes first: a value is reached past all values before it.
CREATE TABLE memory.memories (
    workspace_id uuid NOT NULL,
    importance double precision NOT NULL,
    confidence double precision NOT NULL,
    created_at bigint NOT NULL, -- microseconds since 1970 in UTC
    updated_at bigint NOT NULL,
    version bigint NOT NULL,
    title_key bigint NOT NULL, -- a hash of the folded title
    folded_text text COLLATE "C" NOT NULL, -- title, summary and content (memory.folded)
    id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    folded_tags text[] COLLATE "C" NOT NULL,
    folded_languages text[] COLLATE "C" NOT NULL DEFAULT '{}',
    folded_frameworks text[] COLLATE "C" NOT NULL DEFAULT '{}',
    project_path text COLLATE "C",
    title text COLLATE "C" NOT NULL,
    content text COLLATE "C" NOT NULL,
    summary text COLLATE "C",
    tags text COLLATE "C" NOT NULL, -- JSON
    context text COLLATE "C", -- JSON as it was sent, in its order
    created_by_key text NOT NULL,
    created_by_account text NOT NULL,
    created_by_agent text NOT NULL,
    updated_by_key text NOT NULL,
    updated_by_account text NOT NULL,
    updated_by_agent text NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
-- Of a row that is too long, the text as it was written is moved out before the text that is searched.
ALTER TABLE memory.memories ALTER COLUMN folded_text SET STORAGE MAIN;
-- A search that is planned reads what is known of the text, for 0.3 ms, and learns nothing of use.
ALTER TABLE memory.memories ALTER COLUMN folded_text SET STATISTICS 0;
-- Statistics know the workspaces that were there when they were made; a newer one is taken for one row, which any index
-- finds, and then all of it is read for each id. Without them each workspace is taken for one of many.
ALTER TABLE memory.memories ALTER COLUMN workspace_id SET STATISTICS 0;
CREATE INDEX memories_by_rank ON memory.memories (workspace_id, importance DESC, created_at DESC, id);
CREATE INDEX memories_of_project ON memory.memories (workspace_id, project_path, importance DESC, created_at DESC, id)
WHERE project_path IS NOT NULL;
CREATE INDEX memories_by_age ON memory.memories (workspace_id, created_at DESC, id);
CREATE INDEX memories_by_title ON memory.memories (workspace_id, title_key);
-- What memory_finder looks for is found by this index or not at all: its policies know the workspace by this array
-- only.
CREATE INDEX memories_by_text ON memory.memories
USING gin ((ARRAY[workspace_id]), folded_text gin_trgm_ops, folded_tags)
WITH (gin_pending_list_limit = 512); -- kB that a search reads besides; a write takes 1 ms with the list, 4 without

-- The earlier states of memories; a trigger writes them (0003).
CREATE TABLE memory.memory_versions (
    workspace_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    importance double precision NOT NULL,
    confidence double precision NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    title text COLLATE "C" NOT NULL,
    content text COLLATE "C" NOT NULL,
    summary text COLLATE "C",
    tags text COLLATE "C" NOT NULL,
    context text COLLATE "C",
    updated_by_key text NOT NULL,
    updated_by_account text NOT NULL,
    updated_by_agent text NOT NULL,
    PRIMARY KEY (workspace_id, id, version)
);

CREATE TABLE memory.relationships (
    workspace_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    from_id text COLLATE "C" NOT NULL,
    to_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    strength double precision NOT NULL,
    confidence double precision NOT NULL,
    context text COLLATE "C",
    structure jsonb NOT NULL, -- what the context says, folded
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint, -- null: still
    recorded_at bigint NOT NULL,
    invalidated_by text COLLATE "C",
    invalidation_reason text COLLATE "C",
    evidence_count bigint NOT NULL,
    validation_count bigint NOT NULL,
    counter_evidence_count bigint NOT NULL,
    last_validated bigint,
    version bigint NOT NULL,
    created_by_key text NOT NULL,
    created_by_account text NOT NULL,
    created_by_agent text NOT NULL,
    updated_by_key text NOT NULL,
    updated_by_account text NOT NULL,
    updated_by_agent text NOT NULL,
    reinforced_as text, -- names the last reinforcement, which may be sent twice
    PRIMARY KEY (workspace_id, id)
);
-- Of a workspace that its statistics do not know, the planner would expect one row, and read them all by any index that
-- begins with the workspace. Without them it expects a two hundredth of the table.
ALTER TABLE memory.relationships ALTER COLUMN workspace_id SET STATISTICS 0;
CREATE INDEX relationships_out ON memory.relationships (workspace_id, from_id, type);
CREATE INDEX relationships_in ON memory.relationships (workspace_id, to_id, type);
CREATE INDEX relationships_of_type ON memory.relationships (workspace_id, type) WHERE valid_until IS NULL;
CREATE INDEX relationships_by_rank ON memory.relationships (workspace_id, strength DESC, created_at DESC, id)
WHERE valid_until IS NULL;
CREATE INDEX relationships_recorded ON memory.relationships (workspace_id, recorded_at DESC, id);
CREATE INDEX relationships_ended ON memory.relationships (workspace_id, valid_until DESC, id)
WHERE valid_until IS NOT NULL;

-- What was answered to a write that names itself by a key, so that it happens once.
CREATE TABLE memory.idempotency (
    workspace_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    answer jsonb NOT NULL,
    PRIMARY KEY (workspace_id, key)
);
CREATE INDEX idempotency_by_age ON memory.idempotency (workspace_id, at);

-- The parts of imports that were done.
CREATE TABLE memory.import_parts (
    workspace_id uuid NOT NULL,
    import_id text COLLATE "C" NOT NULL,
    part bigint NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    answer text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (workspace_id, import_id, part)
);
CREATE INDEX import_parts_by_age ON memory.import_parts (workspace_id, at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'fences', 'memories', 'memory_versions', 'relationships', 'idempotency', 'import_parts'
    ] LOOP
        EXECUTE format('ALTER TABLE memory.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY of_workspace ON memory.%I TO memory_owner USING (workspace_id = memory.workspace())', name
        );
    END LOOP;
END
$$;

-- No row when neither needles (LIKE patterns) nor tags are set. As subqueries, settings are read once and not per row.
-- The workspace is written in two ways: a condition that both policies had in common would be looked up by itself.
CREATE POLICY that_hold_a_needle ON memory.memories FOR SELECT TO memory_finder USING (
    ARRAY[workspace_id] @> (SELECT ARRAY[memory.workspace()])
    AND folded_text LIKE ANY (ARRAY(SELECT unnest(nullif(current_setting('memory.needles', true), '')::text[])))
);
CREATE POLICY that_have_a_tag ON memory.memories FOR SELECT TO memory_finder USING (
    ARRAY[workspace_id] && (SELECT ARRAY[memory.workspace()])
    AND folded_tags && ARRAY(SELECT unnest(nullif(current_setting('memory.tags', true), '')::text[]))
);
-- A search may ask for memories with relationships of some type.
CREATE POLICY to_find_their_ends ON memory.relationships FOR SELECT TO memory_finder
USING (workspace_id = memory.workspace());
GRANT EXECUTE ON FUNCTION memory.workspace TO memory_finder;
GRANT SELECT ON memory.memories TO memory_finder;
GRANT SELECT (workspace_id, from_id, to_id, type, valid_until) ON memory.relationships TO memory_finder;

-- What the functions give: MEMORY_COLUMNS and RELATIONSHIP_COLUMNS of functions/memories/stores/rows.py.
CREATE TYPE memory.memory_row AS (
    id text, type text, title text, content text, summary text, tags text, importance double precision,
    confidence double precision, context text, created_at bigint, updated_at bigint, version bigint
);
CREATE TYPE memory.relationship_row AS (
    id text, from_id text, to_id text, type text, strength double precision, confidence double precision, context text,
    created_at bigint, updated_at bigint, valid_from bigint, valid_until bigint, recorded_at bigint,
    invalidated_by text, invalidation_reason text, evidence_count bigint, validation_count bigint,
    counter_evidence_count bigint, last_validated bigint, version bigint
);
GRANT USAGE ON TYPE memory.memory_row, memory.relationship_row TO memories;

-- The following are so simple that PostgreSQL puts their bodies in the place of their calls.

CREATE FUNCTION memory.shown(m memory.memories)
RETURNS memory.memory_row
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ROW(
        m.id, m.type, m.title, m.content, m.summary, m.tags, m.importance, m.confidence, m.context, m.created_at,
        m.updated_at, m.version
    )::memory.memory_row
$$;

CREATE FUNCTION memory.shown(r memory.relationships)
RETURNS memory.relationship_row
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ROW(
        r.id, r.from_id, r.to_id, r.type, r.strength, r.confidence, r.context, r.created_at, r.updated_at,
        r.valid_from, r.valid_until, r.recorded_at, r.invalidated_by, r.invalidation_reason, r.evidence_count,
        r.validation_count, r.counter_evidence_count, r.last_validated, r.version
    )::memory.relationship_row
$$;

-- How much of a page's bytes they take.
CREATE FUNCTION memory.size(m memory.memories)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (
        octet_length(m.title) + octet_length(m.content) + coalesce(octet_length(m.summary), 0) + octet_length(m.tags)
        + coalesce(octet_length(m.context), 0)
    )::bigint
$$;

CREATE FUNCTION memory.size(r memory.relationships)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(octet_length(r.context), 0)::bigint $$;

-- Between the texts of `folded_text`: a capital letter is in no folded text, so no needle is found in it or across it.
CREATE FUNCTION memory.separator()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 'A'::text $$;

CREATE FUNCTION memory.folded(title text, summary text, content text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT title || memory.separator() || summary || memory.separator() || content $$;

-- Whether a relationship held: now, when `as_of` is null.
CREATE FUNCTION memory.held(valid_from bigint, valid_until bigint, as_of bigint)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN as_of IS NULL THEN valid_until IS NULL
        ELSE valid_from <= as_of AND (valid_until IS NULL OR valid_until > as_of)
    END
$$;

-- A memory from the values of all its columns but workspace_id; those of its texts are one column here.
CREATE FUNCTION memory.new_memory(columns jsonb)
RETURNS memory.memories
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_populate_record(NULL::memory.memories, columns || jsonb_build_object(
        'workspace_id', memory.workspace(),
        'folded_text', memory.folded(
            columns ->> 'folded_title', columns ->> 'folded_summary', columns ->> 'folded_content'
        )
    ))
$$;

CREATE FUNCTION memory.new_relationship(columns jsonb)
RETURNS memory.relationships
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_populate_record(
        NULL::memory.relationships, columns || jsonb_build_object('workspace_id', memory.workspace())
    )
$$;

-- What was answered when a write with this key was done; null: it was not. `once` holds key, fingerprint, at and
-- forget_before. From here to the end of the transaction, nobody else does a write of this key.
CREATE FUNCTION memory.answered(once jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    earlier memory.idempotency;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('once ' || memory.workspace()::text || (once ->> 'key'), 0));
    SELECT i.* INTO earlier FROM memory.idempotency i
    WHERE i.key = once ->> 'key' AND i.at >= (once ->> 'forget_before')::bigint;
    IF earlier.fingerprint <> once ->> 'fingerprint' THEN
        RAISE EXCEPTION 'the key was used before, for something else' USING ERRCODE = 'MG409';
    END IF;
    RETURN earlier.answer;
END
$$;

-- Remember an answer. Old ones go; those that another transaction lets go are left to it.
CREATE FUNCTION memory.answer(once jsonb, answer jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    DELETE FROM memory.idempotency i WHERE i.key IN (
        SELECT old.key FROM memory.idempotency old WHERE old.at < (once ->> 'forget_before')::bigint
        FOR UPDATE SKIP LOCKED
    );
    INSERT INTO memory.idempotency (workspace_id, key, fingerprint, at, answer)
    VALUES (memory.workspace(), once ->> 'key', once ->> 'fingerprint', (once ->> 'at')::bigint, answer.answer)
    ON CONFLICT (workspace_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, at = excluded.at, answer = excluded.answer;
END
$$;

CREATE FUNCTION memory.open_workspace(workspace text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    INSERT INTO memory.fences (workspace_id, epoch, mode) VALUES (memory.workspace(), 1, 'open')
    ON CONFLICT (workspace_id) DO NOTHING;
END
$$;
GRANT EXECUTE ON FUNCTION memory.open_workspace TO provisioning;

RESET ROLE;

-- Supabase's Data API roles: nothing, whatever default privileges the project has. What memory_owner makes later is
-- nobody's (above), and out of reach without the schema.
DO $$
DECLARE
    outsider text;
BEGIN
    FOR outsider IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role') LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA memory FROM %I', outsider);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA memory FROM %I', outsider);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA memory FROM %I', outsider);
    END LOOP;
END
$$;
