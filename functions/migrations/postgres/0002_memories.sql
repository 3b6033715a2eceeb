-- The memories of paid workspaces: the columns of functions/migrations/sqlite, with the workspace before each key.
--
-- Run like 0001. One function of schema `memory` is one operation of the store, one round trip and one transaction: it
-- sets the workspace for this transaction, then works under row-level security.
--
-- Who may do what:
--   memory_owner   owns tables and functions; nobody can log in as it; no BYPASSRLS; row-level security is forced on it
--   memory_finder  owns `pick_text` alone; sees of a workspace only the rows that hold a needle (see the policy)
--   memories       logs in; may run the functions of the store, and touch no table
--   provisioning   logs in; may run memory.open_workspace
--   everyone else  nothing
--
-- Why memory_finder: PostgreSQL uses an index below a policy only for operators that are marked leakproof, and LIKE is
-- not. Written as a condition of the policy itself, LIKE may use the index. Measured with 10,000 memories of 70 words: a
-- rare word takes 0.5 ms by the index and 15 to 50 ms by reading every row.

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
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA extensions;
GRANT USAGE ON SCHEMA extensions TO memory_owner;

CREATE SCHEMA memory;
REVOKE ALL ON SCHEMA memory FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA memory TO memory_owner, memory_finder;
GRANT USAGE ON SCHEMA memory TO memories, provisioning;

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

-- Collation C compares bytes, as SQLite does: the same order in both stores, whatever the database's locale.
CREATE TABLE memory.memories (
    workspace_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    title text COLLATE "C" NOT NULL,
    content text COLLATE "C" NOT NULL,
    summary text COLLATE "C",
    tags text COLLATE "C" NOT NULL, -- JSON
    importance double precision NOT NULL,
    confidence double precision NOT NULL,
    context text COLLATE "C", -- JSON as it was sent, in its order
    project_path text COLLATE "C",
    folded_title text COLLATE "C" NOT NULL,
    folded_content text COLLATE "C" NOT NULL,
    folded_summary text COLLATE "C" NOT NULL,
    folded_tags text[] COLLATE "C" NOT NULL,
    created_at bigint NOT NULL, -- microseconds since 1970 in UTC
    updated_at bigint NOT NULL,
    version bigint NOT NULL,
    created_by_key text NOT NULL,
    created_by_account text NOT NULL,
    created_by_agent text NOT NULL,
    updated_by_key text NOT NULL,
    updated_by_account text NOT NULL,
    updated_by_agent text NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX memories_by_rank ON memory.memories (workspace_id, importance DESC, created_at DESC, id);
CREATE INDEX memories_by_age ON memory.memories (workspace_id, created_at DESC, id);
CREATE INDEX memories_by_text ON memory.memories USING gin (
    workspace_id,
    (folded_title || E'\x1f' || folded_summary || E'\x1f' || folded_content) gin_trgm_ops
) WITH (gin_pending_list_limit = 512); -- kB that a search reads besides; a write takes 1 ms with the list, 4 without

CREATE TABLE memory.relationships (
    workspace_id uuid NOT NULL,
    id text COLLATE "C" NOT NULL,
    from_id text COLLATE "C" NOT NULL,
    to_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    strength double precision NOT NULL,
    confidence double precision NOT NULL,
    context text COLLATE "C",
    created_at bigint NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint, -- null: still
    recorded_at bigint NOT NULL,
    invalidated_by text COLLATE "C",
    created_by_key text NOT NULL,
    created_by_account text NOT NULL,
    created_by_agent text NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX relationships_out ON memory.relationships (workspace_id, from_id, type);
CREATE INDEX relationships_in ON memory.relationships (workspace_id, to_id, type);

ALTER TABLE memory.fences ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.memories ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.relationships ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY of_workspace ON memory.fences TO memory_owner USING (workspace_id = memory.workspace());
CREATE POLICY of_workspace ON memory.memories TO memory_owner USING (workspace_id = memory.workspace());
CREATE POLICY of_workspace ON memory.relationships TO memory_owner USING (workspace_id = memory.workspace());

-- No row when the needles are unset. A needle that holds the separator is looked up in each text again (memory.pick).
CREATE POLICY that_hold_a_needle ON memory.memories FOR SELECT TO memory_finder USING (
    workspace_id = memory.workspace()
    AND (folded_title || E'\x1f' || folded_summary || E'\x1f' || folded_content)
        LIKE ANY (nullif(current_setting('memory.needles', true), '')::text[])
);

-- What the functions give.
CREATE TYPE memory.memory_row AS (
    id text, type text, title text, content text, summary text, tags text, importance double precision,
    confidence double precision, context text, created_at bigint, updated_at bigint, version bigint
);
CREATE TYPE memory.relationship_row AS (
    id text, from_id text, to_id text, type text, strength double precision, confidence double precision, context text,
    created_at bigint, valid_from bigint, valid_until bigint, recorded_at bigint, invalidated_by text
);
GRANT USAGE ON TYPE memory.memory_row, memory.relationship_row TO memories;

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

-- `columns` holds every column but workspace_id and version.
CREATE FUNCTION memory.put(workspace text, columns jsonb)
RETURNS SETOF memory.memory_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    INSERT INTO memory.memories AS m
    SELECT new.*
    FROM jsonb_populate_record(NULL::memory.memories, put.columns || jsonb_build_object(
        'workspace_id', memory.workspace(), 'version', 1
    )) new
    ON CONFLICT (workspace_id, id) DO UPDATE SET
        type = excluded.type, title = excluded.title, content = excluded.content, summary = excluded.summary,
        tags = excluded.tags, importance = excluded.importance, confidence = excluded.confidence,
        context = excluded.context, project_path = excluded.project_path, folded_title = excluded.folded_title,
        folded_content = excluded.folded_content, folded_summary = excluded.folded_summary,
        folded_tags = excluded.folded_tags, updated_at = excluded.updated_at, version = m.version + 1,
        updated_by_key = excluded.updated_by_key, updated_by_account = excluded.updated_by_account,
        updated_by_agent = excluded.updated_by_agent
    RETURNING m.id, m.type, m.title, m.content, m.summary, m.tags, m.importance, m.confidence, m.context, m.created_at,
        m.updated_at, m.version;
END
$$;

CREATE FUNCTION memory.get(workspace text, wanted text)
RETURNS SETOF memory.memory_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    SELECT m.id, m.type, m.title, m.content, m.summary, m.tags, m.importance, m.confidence, m.context, m.created_at,
        m.updated_at, m.version
    FROM memory.memories m WHERE m.id = wanted;
END
$$;

-- `changes` holds the columns that change; a null in it is set.
CREATE FUNCTION memory.change(workspace text, wanted text, changes jsonb)
RETURNS SETOF memory.memory_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    UPDATE memory.memories m SET
        (type, title, content, summary, tags, importance, confidence, context, project_path, folded_title,
         folded_content, folded_summary, folded_tags, updated_at, updated_by_key, updated_by_account,
         updated_by_agent, version)
        = (
            SELECT n.type, n.title, n.content, n.summary, n.tags, n.importance, n.confidence, n.context, n.project_path,
                n.folded_title, n.folded_content, n.folded_summary, n.folded_tags, n.updated_at, n.updated_by_key,
                n.updated_by_account, n.updated_by_agent, m.version + 1
            FROM jsonb_populate_record(m, changes) n
        )
    WHERE m.id = wanted
    RETURNING m.id, m.type, m.title, m.content, m.summary, m.tags, m.importance, m.confidence, m.context, m.created_at,
        m.updated_at, m.version;
END
$$;

-- The memory first: a relationship that is being made holds it (memory.relate), so it is seen below. Relationships in
-- order of id, so that two deletions at once wait for each other and do not lock each other out.
CREATE FUNCTION memory.remove(workspace text, wanted text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known boolean;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    DELETE FROM memory.memories m WHERE m.id = wanted;
    known := FOUND;
    DELETE FROM memory.relationships r WHERE r.id IN (
        SELECT old.id FROM memory.relationships old
        WHERE old.from_id = wanted OR old.to_id = wanted
        ORDER BY old.id FOR UPDATE
    );
    RETURN known;
END
$$;

-- How many memories pass the filters, and the ids of one page of them, in order. A null filters nothing. `texts` holds
-- further lists of patterns: of each, one must match. Runs with the rights and the rows of its caller. The statement is
-- planned anew each time, with its values: which index pays depends on them.
CREATE FUNCTION memory.pick(
    texts text[], exact text, types text[], any_tag text[], every_tag text[], project text,
    min_importance double precision, min_confidence double precision, created_after bigint, created_before bigint,
    most bigint, skipped bigint, once boolean, OUT total bigint, OUT ids text[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patterns text;
    conditions text := '';
BEGIN
    FOREACH patterns IN ARRAY texts LOOP
        conditions := conditions || format(
            ' AND (m.folded_title LIKE ANY (%1$L::text[]) OR m.folded_summary LIKE ANY (%1$L::text[])'
            ' OR m.folded_content LIKE ANY (%1$L::text[]))', patterns
        );
    END LOOP;
    IF types IS NOT NULL THEN conditions := conditions || ' AND m.type = ANY ($2)'; END IF;
    IF any_tag IS NOT NULL THEN conditions := conditions || ' AND m.folded_tags && $3'; END IF;
    IF every_tag IS NOT NULL THEN conditions := conditions || ' AND m.folded_tags @> $4'; END IF;
    IF project IS NOT NULL THEN conditions := conditions || ' AND m.project_path = $5'; END IF;
    IF min_importance IS NOT NULL THEN conditions := conditions || ' AND m.importance >= $6'; END IF;
    IF min_confidence IS NOT NULL THEN conditions := conditions || ' AND m.confidence >= $7'; END IF;
    IF created_after IS NOT NULL THEN conditions := conditions || ' AND m.created_at >= $8'; END IF;
    IF created_before IS NOT NULL THEN conditions := conditions || ' AND m.created_at <= $9'; END IF;
    EXECUTE format(
        'WITH hits AS %s ('
        ' SELECT m.id, %s AS exact, m.importance, m.created_at FROM memory.memories m WHERE TRUE%s)'
        ' SELECT (SELECT count(*) FROM hits),'
        ' ARRAY(SELECT id FROM hits ORDER BY %s importance DESC, created_at DESC, id LIMIT $10 OFFSET $11)',
        CASE WHEN once THEN 'MATERIALIZED' ELSE 'NOT MATERIALIZED' END,
        CASE WHEN exact = '' THEN 'FALSE' ELSE 'm.folded_title = $1' END,
        conditions,
        CASE WHEN exact = '' THEN '' ELSE 'exact DESC,' END
    )
    INTO total, ids
    USING exact, types, any_tag, every_tag, project, min_importance, min_confidence, created_after, created_before,
        most, skipped;
END
$$;
GRANT EXECUTE ON FUNCTION memory.pick, memory.workspace TO memory_finder;
GRANT SELECT ON memory.memories TO memory_finder;

SET LOCAL ROLE memory_finder;

-- The same, among the memories that hold one of the needles (LIKE patterns).
CREATE FUNCTION memory.pick_text(
    needles text[], texts text[], exact text, types text[], any_tag text[], every_tag text[], project text,
    min_importance double precision, min_confidence double precision, created_after bigint, created_before bigint,
    most bigint, skipped bigint, OUT total bigint, OUT ids text[]
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('memory.needles', needles::text, true);
    SELECT p.total, p.ids INTO total, ids
    FROM memory.pick(
        texts, exact, types, any_tag, every_tag, project, min_importance, min_confidence, created_after, created_before,
        most, skipped, true
    ) p;
END
$$;
GRANT EXECUTE ON FUNCTION memory.pick_text TO memory_owner;

SET LOCAL ROLE memory_owner;

-- One row for each memory of the page, headed by the total; one row with the total alone when the page is empty. The
-- page ends when the texts before a memory reach `bytes`.
CREATE FUNCTION memory.search(
    workspace text, needles text[], texts text[], exact text, types text[], any_tag text[], every_tag text[],
    project text, min_importance double precision, min_confidence double precision, created_after bigint,
    created_before bigint, most bigint, skipped bigint, bytes bigint
)
RETURNS TABLE (total bigint, hit memory.memory_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    ids text[];
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF needles IS NULL THEN
        SELECT p.total, p.ids INTO total, ids FROM memory.pick(
            texts, exact, types, any_tag, every_tag, project, min_importance, min_confidence, created_after,
            created_before, most, skipped, false
        ) p;
    ELSE
        SELECT p.total, p.ids INTO total, ids FROM memory.pick_text(
            needles, texts, exact, types, any_tag, every_tag, project, min_importance, min_confidence, created_after,
            created_before, most, skipped
        ) p;
    END IF;
    IF cardinality(ids) = 0 THEN
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT total, ROW(
        c.id, c.type, c.title, c.content, c.summary, c.tags, c.importance, c.confidence, c.context, c.created_at,
        c.updated_at, c.version
    )::memory.memory_row
    FROM (
        SELECT m.*, picked.place, sum(octet_length(m.content) + coalesce(octet_length(m.context), 0))
            OVER (ORDER BY picked.place) - octet_length(m.content) - coalesce(octet_length(m.context), 0) AS before
        FROM unnest(ids) WITH ORDINALITY AS picked (id, place)
        JOIN memory.memories m ON m.id = picked.id
    ) c
    WHERE c.before < bytes
    ORDER BY c.place;
END
$$;

-- `edge` holds every column but workspace_id. Relationships of one type are made one after another, so that none closes
-- a cycle with one that is not yet to be seen; their ends are held until the end of the transaction.
CREATE FUNCTION memory.relate(workspace text, edge jsonb, same_since bigint)
RETURNS TABLE (from_known boolean, to_known boolean, made memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    new memory.relationships;
    known text[];
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    new := jsonb_populate_record(NULL::memory.relationships, edge);
    new.workspace_id := memory.workspace();
    PERFORM pg_advisory_xact_lock(hashtextextended(new.workspace_id::text || new.type, 0));
    known := ARRAY(
        SELECT m.id FROM memory.memories m WHERE m.id IN (new.from_id, new.to_id) ORDER BY m.id FOR KEY SHARE
    );
    from_known := new.from_id = ANY (known);
    to_known := new.to_id = ANY (known);
    SELECT r.id, r.from_id, r.to_id, r.type, r.strength, r.confidence, r.context, r.created_at, r.valid_from,
        r.valid_until, r.recorded_at, r.invalidated_by
    INTO made
    FROM memory.relationships r
    WHERE r.from_id = new.from_id AND r.to_id = new.to_id AND r.type = new.type AND r.strength = new.strength
        AND r.confidence = new.confidence AND r.context IS NOT DISTINCT FROM new.context
        AND r.recorded_at >= same_since AND r.valid_until IS NULL
    ORDER BY r.recorded_at, r.id LIMIT 1;
    IF NOT FOUND AND from_known AND to_known AND NOT EXISTS (
        WITH RECURSIVE reached (id) AS (
            SELECT new.to_id COLLATE "C"
            UNION
            SELECT r.to_id FROM reached JOIN memory.relationships r ON r.from_id = reached.id
            WHERE r.type = new.type AND r.valid_until IS NULL
        )
        SELECT FROM reached WHERE id = new.from_id
    ) THEN
        INSERT INTO memory.relationships SELECT new.*;
        made := ROW(
            new.id, new.from_id, new.to_id, new.type, new.strength, new.confidence, new.context, new.created_at,
            new.valid_from, new.valid_until, new.recorded_at, new.invalidated_by
        );
    END IF;
    RETURN NEXT;
END
$$;

-- One row for each memory, headed by whether the start is known; one such row alone when there is none.
CREATE FUNCTION memory.related(workspace text, start text, types text[], deepest bigint, most bigint, bytes bigint)
RETURNS TABLE (known boolean, depth integer, hit memory.memory_row, edge memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    WITH RECURSIVE walk (id, depth) AS (
        SELECT start COLLATE "C", 0
        UNION
        SELECT next.id, walk.depth + 1
        FROM walk CROSS JOIN LATERAL (
            SELECT r.to_id FROM memory.relationships r
            WHERE r.from_id = walk.id AND r.valid_until IS NULL AND (types IS NULL OR r.type = ANY (types))
            UNION ALL
            SELECT r.from_id FROM memory.relationships r
            WHERE r.to_id = walk.id AND r.valid_until IS NULL AND (types IS NULL OR r.type = ANY (types))
        ) next (id)
        WHERE walk.depth < deepest
    ), nearest AS MATERIALIZED (
        SELECT id, min(depth) AS depth FROM walk GROUP BY id
    ), reaching AS (
        SELECT DISTINCT ON (nearest.id) nearest.id, nearest.depth, r.edge_id, r.strength
        FROM nearest CROSS JOIN LATERAL (
            SELECT r.id, r.to_id, r.strength, r.created_at FROM memory.relationships r
            WHERE r.from_id = nearest.id AND r.valid_until IS NULL AND (types IS NULL OR r.type = ANY (types))
            UNION ALL
            SELECT r.id, r.from_id, r.strength, r.created_at FROM memory.relationships r
            WHERE r.to_id = nearest.id AND r.valid_until IS NULL AND (types IS NULL OR r.type = ANY (types))
        ) r (edge_id, other_id, strength, created_at)
        JOIN nearest earlier ON earlier.id = r.other_id AND earlier.depth = nearest.depth - 1
        ORDER BY nearest.id, r.strength DESC, r.created_at DESC, r.edge_id
    ), picked AS (
        SELECT reaching.*, m.importance, m.created_at,
            octet_length(m.content) + coalesce(octet_length(m.context), 0) AS size
        FROM reaching JOIN memory.memories m ON m.id = reaching.id
        ORDER BY reaching.strength DESC, m.importance DESC, m.created_at DESC, reaching.id LIMIT most
    ), placed AS (
        SELECT picked.*, row_number() OVER rank AS place, sum(size) OVER rank - size AS before
        FROM picked WINDOW rank AS (ORDER BY strength DESC, importance DESC, created_at DESC, id)
    )
    SELECT EXISTS (SELECT FROM memory.memories m WHERE m.id = start), placed.depth,
        CASE WHEN m.id IS NOT NULL THEN ROW(
            m.id, m.type, m.title, m.content, m.summary, m.tags, m.importance, m.confidence, m.context, m.created_at,
            m.updated_at, m.version
        )::memory.memory_row END,
        CASE WHEN r.id IS NOT NULL THEN ROW(
            r.id, r.from_id, r.to_id, r.type, r.strength, r.confidence, r.context, r.created_at, r.valid_from,
            r.valid_until, r.recorded_at, r.invalidated_by
        )::memory.relationship_row END
    FROM (SELECT) one
    LEFT JOIN placed ON placed.before < bytes
    LEFT JOIN memory.memories m ON m.id = placed.id
    LEFT JOIN memory.relationships r ON r.id = placed.edge_id
    ORDER BY placed.place;
END
$$;

-- Rows of three parts: 0 how many of each type, 1 the newest, 2 open problems.
CREATE FUNCTION memory.recent(
    workspace text, since bigint, project text, newest bigint, unresolved bigint, problems text[], resolving text[],
    bytes bigint
)
RETURNS TABLE (part integer, count bigint, hit memory.memory_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    SELECT 0, count(*), ROW(
        NULL, m.type, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    )::memory.memory_row
    FROM memory.memories m
    WHERE m.created_at >= since AND (project IS NULL OR m.project_path = project)
    GROUP BY m.type ORDER BY 2 DESC, m.type;
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT m.id, m.created_at, octet_length(m.content) + coalesce(octet_length(m.context), 0) AS size
        FROM memory.memories m
        WHERE m.created_at >= since AND (project IS NULL OR m.project_path = project)
        ORDER BY m.created_at DESC, m.id LIMIT newest
    ), placed AS (
        SELECT picked.*, sum(size) OVER (ORDER BY created_at DESC, id) - size AS before FROM picked
    )
    SELECT 1, 0::bigint, ROW(
        m.id, m.type, m.title, m.content, m.summary, m.tags, m.importance, m.confidence, m.context, m.created_at,
        m.updated_at, m.version
    )::memory.memory_row
    FROM placed JOIN memory.memories m ON m.id = placed.id
    WHERE placed.before < bytes ORDER BY m.created_at DESC, m.id;
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT m.id, m.importance, m.created_at,
            octet_length(m.content) + coalesce(octet_length(m.context), 0) AS size
        FROM memory.memories m
        WHERE m.created_at >= since AND (project IS NULL OR m.project_path = project) AND m.type = ANY (problems)
            AND NOT EXISTS (
                SELECT FROM memory.relationships r
                WHERE r.to_id = m.id AND r.valid_until IS NULL AND r.type = ANY (resolving)
            )
        ORDER BY m.importance DESC, m.created_at DESC, m.id LIMIT unresolved
    ), placed AS (
        SELECT picked.*, sum(size) OVER (ORDER BY importance DESC, created_at DESC, id) - size AS before FROM picked
    )
    SELECT 2, 0::bigint, ROW(
        m.id, m.type, m.title, m.content, m.summary, m.tags, m.importance, m.confidence, m.context, m.created_at,
        m.updated_at, m.version
    )::memory.memory_row
    FROM placed JOIN memory.memories m ON m.id = placed.id
    WHERE placed.before < bytes ORDER BY m.importance DESC, m.created_at DESC, m.id;
END
$$;

-- A row for each type, and one of no type, first, for all.
CREATE FUNCTION memory.statistics(workspace text)
RETURNS TABLE (
    type text, memories bigint, importance double precision, confidence double precision, relationships bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    SELECT m.type, count(*), avg(m.importance), avg(m.confidence),
        (SELECT count(*) FROM memory.relationships r WHERE r.valid_until IS NULL)
    FROM memory.memories m
    GROUP BY GROUPING SETS ((m.type), ())
    ORDER BY grouping(m.type) DESC, 2 DESC, m.type;
END
$$;

GRANT EXECUTE ON FUNCTION
    memory.put, memory.get, memory.change, memory.remove, memory.search, memory.relate, memory.related, memory.recent,
    memory.statistics
TO memories;
GRANT EXECUTE ON FUNCTION memory.open_workspace TO provisioning;

RESET ROLE;
REVOKE CREATE ON SCHEMA memory FROM memory_finder;

-- Supabase's Data API roles: nothing, whatever default privileges the project has.
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
