-- What is asked about relationships: what is related, the way between two memories, history, changes, contexts. See
-- 0002.

SET LOCAL ROLE memory_owner;

-- One row for each memory, headed by whether the start is known; one such row alone when there is none.
CREATE FUNCTION memory.related(
    workspace text, start text, types text[], deepest bigint, most bigint, as_of bigint, bytes bigint
)
RETURNS TABLE (known boolean, depth integer, hit memory.memory_row, edge memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    WITH nearest AS MATERIALIZED (
        SELECT w.id, w.depth FROM memory.walk(start, NULL, types, deepest, as_of) w
    ), reaching AS (
        SELECT DISTINCT ON (nearest.id) nearest.id, nearest.depth, r.edge_id, r.strength, r.size
        FROM nearest CROSS JOIN LATERAL (
            SELECT r.id, r.to_id, r.strength, r.created_at, memory.size(r) FROM memory.relationships r
            WHERE r.from_id = nearest.id AND memory.held(r.valid_from, r.valid_until, as_of)
                AND (types IS NULL OR r.type = ANY (types))
            UNION ALL
            SELECT r.id, r.from_id, r.strength, r.created_at, memory.size(r) FROM memory.relationships r
            WHERE r.to_id = nearest.id AND memory.held(r.valid_from, r.valid_until, as_of)
                AND (types IS NULL OR r.type = ANY (types))
        ) r (edge_id, other_id, strength, created_at, size)
        JOIN nearest earlier ON earlier.id = r.other_id AND earlier.depth = nearest.depth - 1
        ORDER BY nearest.id, r.strength DESC, r.created_at DESC, r.edge_id
    ), picked AS (
        SELECT reaching.*, m.importance, m.created_at, reaching.size + memory.size(m) AS all_size
        FROM reaching JOIN memory.memories m ON m.id = reaching.id
        ORDER BY reaching.strength DESC, m.importance DESC, m.created_at DESC, reaching.id COLLATE "C" LIMIT most
    ), placed AS (
        SELECT picked.*, row_number() OVER rank AS place, sum(all_size) OVER rank - all_size AS before
        FROM picked WINDOW rank AS (ORDER BY strength DESC, importance DESC, created_at DESC, id COLLATE "C")
    )
    SELECT EXISTS (SELECT FROM memory.memories m WHERE m.id = start), placed.depth,
        CASE WHEN m.id IS NOT NULL THEN memory.shown(m) END, CASE WHEN r.id IS NOT NULL THEN memory.shown(r) END
    FROM (SELECT) one
    LEFT JOIN placed ON placed.before < bytes
    LEFT JOIN memory.memories m ON m.id = placed.id
    LEFT JOIN memory.relationships r ON r.id = placed.edge_id
    ORDER BY placed.place;
END
$$;

-- One row for each memory on the way, from the start, with the relationship to the next one; headed by which ends are
-- known. One row without a memory when there is no way.
CREATE FUNCTION memory.path(workspace text, start text, finish text, types text[], deepest bigint, as_of bigint)
RETURNS TABLE (start_known boolean, finish_known boolean, step memory.memory_row, edge memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    start_known := EXISTS (SELECT FROM memory.memories m WHERE m.id = start);
    finish_known := EXISTS (SELECT FROM memory.memories m WHERE m.id = finish);
    IF NOT start_known OR NOT finish_known THEN
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
    WITH RECURSIVE nearest AS MATERIALIZED (
        SELECT w.id, w.depth FROM memory.walk(start, finish, types, deepest, as_of) w
    ), back (id, depth, edge_id) AS (
        SELECT nearest.id COLLATE "C", nearest.depth, NULL::text COLLATE "C" FROM nearest WHERE nearest.id = finish
        UNION ALL
        SELECT next.id, back.depth - 1, next.edge_id
        FROM back CROSS JOIN LATERAL (
            SELECT e.other_id, e.edge_id
            FROM (
                SELECT r.id, r.to_id, r.strength, r.created_at FROM memory.relationships r
                WHERE r.from_id = back.id AND memory.held(r.valid_from, r.valid_until, as_of)
                    AND (types IS NULL OR r.type = ANY (types))
                UNION ALL
                SELECT r.id, r.from_id, r.strength, r.created_at FROM memory.relationships r
                WHERE r.to_id = back.id AND memory.held(r.valid_from, r.valid_until, as_of)
                    AND (types IS NULL OR r.type = ANY (types))
            ) e (edge_id, other_id, strength, created_at)
            JOIN nearest earlier ON earlier.id = e.other_id AND earlier.depth = back.depth - 1
            ORDER BY e.strength DESC, e.created_at DESC, e.edge_id LIMIT 1
        ) next (id, edge_id)
    )
    SELECT TRUE, TRUE, CASE WHEN m.id IS NOT NULL THEN memory.shown(m) END,
        CASE WHEN r.id IS NOT NULL THEN memory.shown(r) END
    FROM (SELECT) one
    LEFT JOIN back ON TRUE
    LEFT JOIN memory.memories m ON m.id = back.id
    LEFT JOIN memory.relationships r ON r.id = back.edge_id
    ORDER BY back.depth;
END
$$;

-- A page of relationships, in the order of their ids here; nulls for those that do not fit behind the others.
CREATE FUNCTION memory.page(ids text[], bytes bigint)
RETURNS SETOF memory.relationship_row
LANGUAGE sql STABLE
AS $$
    SELECT (CASE WHEN sized.before < bytes THEN memory.shown(r) END).*
    FROM (
        SELECT one.id, one.place, sum(memory.size(r)) OVER (ORDER BY one.place) - memory.size(r) AS before
        FROM unnest(ids) WITH ORDINALITY one (id, place) JOIN memory.relationships r ON r.id = one.id
    ) sized
    JOIN memory.relationships r ON r.id = sized.id
    ORDER BY sized.place
$$;

-- Rows of three parts: 0 how many relationships there are, 1 the states of the memory, newest first (`count` is the
-- version), 2 the page of relationships. None when there is no such memory.
CREATE FUNCTION memory.history(workspace text, wanted text, types text[], most bigint, skipped bigint, bytes bigint)
RETURNS TABLE (
    part integer, count bigint, title text, at bigint, by_key text, by_account text, by_agent text,
    edge memory.relationship_row
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    PERFORM FROM memory.memories m WHERE m.id = wanted;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 0, count(*), NULL::text, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::memory.relationship_row
    FROM memory.relationships r
    WHERE (r.from_id = wanted OR r.to_id = wanted) AND (types IS NULL OR r.type = ANY (types));
    RETURN QUERY
    SELECT 1, s.version, s.title, s.updated_at, s.by_key, s.by_account, s.by_agent, NULL::memory.relationship_row
    FROM (
        SELECT m.version, m.title, m.updated_at, m.updated_by_key, m.updated_by_account, m.updated_by_agent
        FROM memory.memories m WHERE m.id = wanted
        UNION ALL
        SELECT v.version, v.title, v.updated_at, v.updated_by_key, v.updated_by_account, v.updated_by_agent
        FROM memory.memory_versions v WHERE v.id = wanted
    ) s (version, title, updated_at, by_key, by_account, by_agent)
    ORDER BY s.version DESC;
    RETURN QUERY
    SELECT 2, NULL::bigint, NULL::text, NULL::bigint, NULL::text, NULL::text, NULL::text, p
    FROM memory.page(ARRAY(
        SELECT r.id FROM memory.relationships r
        WHERE (r.from_id = wanted OR r.to_id = wanted) AND (types IS NULL OR r.type = ANY (types))
        ORDER BY r.valid_from, r.created_at, r.id LIMIT most OFFSET skipped
    ), bytes) p;
END
$$;

-- Rows of two parts: 0 recorded, 1 ended. One more than `most` is picked of each, and nulls stand for what does not
-- fit. `after` holds, by part, the moment and the id after which the list goes on; a part that is not in it is at its
-- end. Null: both from their start.
CREATE FUNCTION memory.changes(workspace text, since bigint, most bigint, after jsonb, bytes bigint)
RETURNS TABLE (part integer, edge memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    latest constant bigint := 9223372036854775807;
    last_at bigint;
    last_id text;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF after IS NULL OR after ? 'recorded' THEN
        last_at := coalesce((after #>> '{recorded,at}')::bigint, latest);
        last_id := after #>> '{recorded,id}';
        RETURN QUERY
        SELECT 0, p FROM memory.page(ARRAY(
            SELECT r.id FROM memory.relationships r
            WHERE r.recorded_at >= since AND r.recorded_at <= last_at AND (r.recorded_at < last_at OR r.id > last_id)
            ORDER BY r.recorded_at DESC, r.id LIMIT most + 1
        ), bytes) p;
    END IF;
    IF after IS NULL OR after ? 'ended' THEN
        last_at := coalesce((after #>> '{ended,at}')::bigint, latest);
        last_id := after #>> '{ended,id}';
        RETURN QUERY
        SELECT 1, p FROM memory.page(ARRAY(
            SELECT r.id FROM memory.relationships r
            WHERE r.valid_until >= since AND r.valid_until <= last_at AND (r.valid_until < last_at OR r.id > last_id)
            ORDER BY r.valid_until DESC, r.id LIMIT most + 1
        ), bytes) p;
    END IF;
END
$$;

-- Whether one of some texts, a list in JSON, holds one of some needles (LIKE patterns; null: any will do).
CREATE FUNCTION memory.one_holds(texts jsonb, needles text[])
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT needles IS NULL OR EXISTS (SELECT FROM jsonb_array_elements_text(texts) one WHERE one LIKE ANY (needles))
$$;

-- `temporal` and the lists of `search` are LIKE patterns; what is null in it filters nothing.
CREATE TYPE memory.context_search AS (
    scope text, temporal text, components text[], conditions text[], evidence text[], exceptions text[],
    has_evidence boolean, types text[], most bigint
);

CREATE FUNCTION memory.search_context(workspace text, search jsonb, bytes bigint)
RETURNS SETOF memory.relationship_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w memory.context_search := jsonb_populate_record(NULL::memory.context_search, search);
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    SELECT p.* FROM memory.page(ARRAY(
        SELECT r.id FROM memory.relationships r
        WHERE r.valid_until IS NULL AND (w.types IS NULL OR r.type = ANY (w.types))
            AND (w.scope IS NULL OR r.structure ->> 'scope' = w.scope)
            AND (w.temporal IS NULL OR r.structure ->> 'temporal' LIKE w.temporal)
            AND memory.one_holds(r.structure -> 'components', w.components)
            AND memory.one_holds(r.structure -> 'conditions', w.conditions)
            AND memory.one_holds(r.structure -> 'evidence', w.evidence)
            AND memory.one_holds(r.structure -> 'exceptions', w.exceptions)
            AND (w.has_evidence IS NULL OR (jsonb_array_length(r.structure -> 'evidence') > 0) = w.has_evidence)
        ORDER BY r.strength DESC, r.created_at DESC, r.id LIMIT w.most
    ), bytes) p;
END
$$;

GRANT EXECUTE ON FUNCTION
    memory.related, memory.path, memory.history, memory.changes, memory.search_context
TO memories;

RESET ROLE;
