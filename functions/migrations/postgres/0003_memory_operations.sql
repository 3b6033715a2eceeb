-- What is done with single memories, and figures over all of them. See 0002.

SET LOCAL ROLE memory_owner;

-- Keep the state that an update replaces: the newest 100 of a memory (VERSIONS_KEPT in
-- functions/memories/stores/rows.py; a test compares them). Versions are different whole numbers from 1, so up to 100
-- there is nothing to count.
CREATE FUNCTION memory.keep_version()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO memory.memory_versions (
        workspace_id, id, version, importance, confidence, created_at, updated_at, type, title, content, summary, tags,
        context, updated_by_key, updated_by_account, updated_by_agent
    ) VALUES (
        OLD.workspace_id, OLD.id, OLD.version, OLD.importance, OLD.confidence, OLD.created_at, OLD.updated_at, OLD.type,
        OLD.title, OLD.content, OLD.summary, OLD.tags, OLD.context, OLD.updated_by_key, OLD.updated_by_account,
        OLD.updated_by_agent
    );
    IF OLD.version > 100 THEN
        DELETE FROM memory.memory_versions v WHERE v.id = OLD.id AND v.version < (
            SELECT kept.version FROM memory.memory_versions kept
            WHERE kept.id = OLD.id ORDER BY kept.version DESC OFFSET 99 LIMIT 1
        );
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_version AFTER UPDATE ON memory.memories FOR EACH ROW EXECUTE FUNCTION memory.keep_version();

-- When something is updated `at` a moment: after its last update, which may have come from a clock that is ahead.
CREATE FUNCTION memory.later(at bigint, last bigint)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT greatest(at, last + 1) $$;

-- Store memories, or replace those of the same ids but for when and by whom they were created. In order of id, so that
-- two batches wait for each other and do not lock each other out.
CREATE FUNCTION memory.store(rows jsonb)
RETURNS SETOF memory.memory_row
LANGUAGE sql VOLATILE
AS $$
    INSERT INTO memory.memories AS m
    SELECT new.*
    FROM jsonb_array_elements(rows) sent (columns)
    CROSS JOIN memory.new_memory(columns || '{"version": 1}') new
    ORDER BY new.id
    ON CONFLICT (workspace_id, id) DO UPDATE SET
        type = excluded.type, title = excluded.title, content = excluded.content, summary = excluded.summary,
        tags = excluded.tags, importance = excluded.importance, confidence = excluded.confidence,
        context = excluded.context, project_path = excluded.project_path, title_key = excluded.title_key,
        folded_text = excluded.folded_text, folded_tags = excluded.folded_tags,
        folded_languages = excluded.folded_languages, folded_frameworks = excluded.folded_frameworks,
        -- What is sent twice stores the same at the same moment: that is no change after it.
        updated_at = CASE
            WHEN m.updated_at > excluded.updated_at THEN m.updated_at + 1 ELSE excluded.updated_at
        END,
        version = m.version + 1,
        updated_by_key = excluded.updated_by_key, updated_by_account = excluded.updated_by_account,
        updated_by_agent = excluded.updated_by_agent
    RETURNING (memory.shown(m)).*
$$;

-- `columns` holds every column but workspace_id and version, and the texts folded.
CREATE FUNCTION memory.put(workspace text, columns jsonb, once jsonb)
RETURNS SETOF memory.memory_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    earlier jsonb;
    stored memory.memory_row;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF once IS NOT NULL THEN
        earlier := memory.answered(once);
        IF earlier IS NOT NULL THEN
            RETURN NEXT jsonb_populate_record(NULL::memory.memory_row, earlier);
            RETURN;
        END IF;
    END IF;
    SELECT s.* INTO stored FROM memory.store(jsonb_build_array(columns)) s;
    IF once IS NOT NULL THEN
        PERFORM memory.answer(once, to_jsonb(stored));
    END IF;
    RETURN NEXT stored;
END
$$;

CREATE FUNCTION memory.get(workspace text, wanted text)
RETURNS SETOF memory.memory_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY SELECT (memory.shown(m)).* FROM memory.memories m WHERE m.id = wanted;
END
$$;

-- The last state that a memory was in at a moment.
CREATE FUNCTION memory.get_as_of(workspace text, wanted text, moment bigint)
RETURNS SETOF memory.memory_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    SELECT s.* FROM (
        SELECT (memory.shown(m)).* FROM memory.memories m WHERE m.id = wanted
        UNION ALL
        SELECT v.id, v.type, v.title, v.content, v.summary, v.tags, v.importance, v.confidence, v.context, v.created_at,
            v.updated_at, v.version
        FROM memory.memory_versions v WHERE v.id = wanted
    ) s
    WHERE s.updated_at <= moment ORDER BY s.version DESC LIMIT 1;
END
$$;

-- Whether (version, updated_at) is among the revisions that a caller expects; they may be null: any.
CREATE FUNCTION memory.expected(version bigint, updated_at bigint, versions bigint[], moments bigint[])
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT versions IS NULL OR EXISTS (
        SELECT FROM unnest(versions, moments) one (version, moment)
        WHERE one.version = expected.version AND one.moment = expected.updated_at
    )
$$;

-- `changes` holds the columns that change, and the texts folded; a null in it is set. No row: there is no such memory.
-- A row without a memory: it is at another revision than expected, at this one.
CREATE FUNCTION memory.change(workspace text, wanted text, changes jsonb, versions bigint[], moments bigint[])
RETURNS TABLE (current_version bigint, current_at bigint, changed memory.memory_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF versions IS NOT NULL THEN
        SELECT m.version, m.updated_at INTO current_version, current_at
        FROM memory.memories m WHERE m.id = wanted FOR NO KEY UPDATE;
        IF FOUND AND NOT memory.expected(current_version, current_at, versions, moments) THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    UPDATE memory.memories m SET
        (type, title, content, summary, tags, importance, confidence, context, project_path, title_key, folded_text,
         folded_tags, folded_languages, folded_frameworks, updated_at, updated_by_key, updated_by_account,
         updated_by_agent, version)
        = (
            SELECT n.type, n.title, n.content, n.summary, n.tags, n.importance, n.confidence, n.context, n.project_path,
                n.title_key,
                CASE WHEN changes ?| '{folded_title,folded_summary,folded_content}' THEN memory.folded(
                    coalesce(changes ->> 'folded_title', split_part(m.folded_text, memory.separator(), 1)),
                    coalesce(changes ->> 'folded_summary', split_part(m.folded_text, memory.separator(), 2)),
                    coalesce(changes ->> 'folded_content', split_part(m.folded_text, memory.separator(), 3))
                ) ELSE m.folded_text END,
                n.folded_tags, n.folded_languages, n.folded_frameworks, memory.later(n.updated_at, m.updated_at),
                n.updated_by_key, n.updated_by_account, n.updated_by_agent, m.version + 1
            FROM jsonb_populate_record(m, changes) n
        )
    WHERE m.id = wanted
    RETURNING m.version, m.updated_at, memory.shown(m);
END
$$;

-- The memory first: a relationship that is being made holds it (memory.relate), so it is seen below. Relationships in
-- order of id, so that two deletions at once wait for each other and do not lock each other out. The revision is null
-- unless it is not the one that was expected.
CREATE FUNCTION memory.remove(workspace text, wanted text, versions bigint[], moments bigint[])
RETURNS TABLE (known boolean, current_version bigint, current_at bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF versions IS NOT NULL THEN
        SELECT m.version, m.updated_at INTO current_version, current_at
        FROM memory.memories m WHERE m.id = wanted FOR UPDATE;
        IF FOUND AND NOT memory.expected(current_version, current_at, versions, moments) THEN
            known := TRUE;
            RETURN NEXT;
            RETURN;
        END IF;
        current_version := NULL;
        current_at := NULL;
    END IF;
    DELETE FROM memory.memories m WHERE m.id = wanted;
    known := FOUND;
    DELETE FROM memory.memory_versions v WHERE v.id = wanted;
    DELETE FROM memory.relationships r WHERE r.id IN (
        SELECT old.id FROM memory.relationships old
        WHERE old.from_id = wanted OR old.to_id = wanted
        ORDER BY old.id FOR UPDATE
    );
    RETURN NEXT;
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
        SELECT m.id, m.created_at, memory.size(m) AS size
        FROM memory.memories m
        WHERE m.created_at >= since AND (project IS NULL OR m.project_path = project)
        ORDER BY m.created_at DESC, m.id LIMIT newest
    ), placed AS (
        SELECT picked.*, sum(size) OVER (ORDER BY created_at DESC, id) - size AS before FROM picked
    )
    SELECT 1, 0::bigint, memory.shown(m)
    FROM placed JOIN memory.memories m ON m.id = placed.id
    WHERE placed.before < bytes ORDER BY m.created_at DESC, m.id;
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT m.id, m.importance, m.created_at, memory.size(m) AS size
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
    SELECT 2, 0::bigint, memory.shown(m)
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
    memory.put, memory.get, memory.get_as_of, memory.change, memory.remove, memory.recent, memory.statistics
TO memories;

RESET ROLE;
