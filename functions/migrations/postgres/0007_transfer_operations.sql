-- Many memories and relationships at once: batches, export, import. See 0002.

SET LOCAL ROLE memory_owner;

-- memory.put for each of a list, all or none; what became of each, in order.
CREATE FUNCTION memory.put_many(workspace text, rows jsonb, once jsonb)
RETURNS TABLE (id text, version bigint, created_at bigint, updated_at bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    stored jsonb;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF once IS NOT NULL THEN
        stored := memory.answered(once);
    END IF;
    IF stored IS NULL THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', s.id, 'version', s.version, 'created_at', s.created_at, 'updated_at', s.updated_at
        ) ORDER BY sent.place), '[]')
        INTO stored
        FROM memory.store(rows) s
        JOIN jsonb_array_elements(rows) WITH ORDINALITY sent (columns, place) ON sent.columns ->> 'id' = s.id;
        IF once IS NOT NULL THEN
            PERFORM memory.answer(once, stored);
        END IF;
    END IF;
    RETURN QUERY
    SELECT s.id, s.version, s.created_at, s.updated_at
    FROM jsonb_to_recordset(stored) s (id text, version bigint, created_at bigint, updated_at bigint);
END
$$;

-- Memories after an id (null: none), then relationships after another one. The first row says of which kind more
-- follow.
CREATE FUNCTION memory.export_page(
    workspace text, after_memory text, after_relationship text, most bigint, only_current boolean, bytes bigint
)
RETURNS TABLE (following text, hit memory.memory_row, edge memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    memory_ids text[];
    relationship_ids text[];
    picked bigint;
    used bigint;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    SELECT coalesce(array_agg(p.id ORDER BY p.id) FILTER (WHERE p.before < bytes), '{}'), count(*),
        coalesce(sum(p.size), 0)
    INTO memory_ids, picked, used
    FROM (
        SELECT s.id, s.size, sum(s.size) OVER (ORDER BY s.id) - s.size AS before
        FROM (
            SELECT m.id, memory.size(m) AS size FROM memory.memories m
            WHERE m.id > after_memory ORDER BY m.id LIMIT most + 1
        ) s
    ) p;
    memory_ids := memory_ids[:most];
    IF picked > cardinality(memory_ids) THEN
        following := 'memory';
    ELSE
        SELECT coalesce(array_agg(p.id ORDER BY p.id) FILTER (WHERE used + p.before < bytes), '{}'), count(*)
        INTO relationship_ids, picked
        FROM (
            SELECT s.id, sum(s.size) OVER (ORDER BY s.id) - s.size AS before
            FROM (
                SELECT r.id, memory.size(r) AS size FROM memory.relationships r
                WHERE r.id > after_relationship AND (NOT only_current OR r.valid_until IS NULL)
                ORDER BY r.id LIMIT most - cardinality(memory_ids) + 1
            ) s
        ) p;
        relationship_ids := relationship_ids[:most - cardinality(memory_ids)];
        IF picked > cardinality(relationship_ids) THEN
            following := 'relationship';
        END IF;
    END IF;
    RETURN NEXT;
    RETURN QUERY
    SELECT NULL::text, memory.shown(m), NULL::memory.relationship_row
    FROM memory.memories m WHERE m.id = ANY (memory_ids) ORDER BY m.id;
    RETURN QUERY
    SELECT NULL::text, NULL::memory.memory_row, memory.shown(r)
    FROM memory.relationships r WHERE r.id = ANY (relationship_ids) ORDER BY r.id;
END
$$;

CREATE FUNCTION memory.totals(workspace text)
RETURNS TABLE (memories bigint, relationships bigint, held bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    SELECT (SELECT count(*) FROM memory.memories), count(*), count(*) FILTER (WHERE r.valid_until IS NULL)
    FROM memory.relationships r;
END
$$;

-- Store memories with their own times, unless what is there is as new. Gives those that were stored, and whether each
-- is new: a row that an insert has made has not been locked by anybody yet.
CREATE FUNCTION memory.import_memories(workspace text, rows jsonb)
RETURNS TABLE (id text, created boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    INSERT INTO memory.memories AS m
    SELECT new.*
    FROM jsonb_array_elements(rows) sent (columns) CROSS JOIN memory.new_memory(columns) new
    ORDER BY new.id
    ON CONFLICT (workspace_id, id) DO UPDATE SET
        type = excluded.type, title = excluded.title, content = excluded.content, summary = excluded.summary,
        tags = excluded.tags, importance = excluded.importance, confidence = excluded.confidence,
        context = excluded.context, project_path = excluded.project_path, title_key = excluded.title_key,
        folded_text = excluded.folded_text, folded_tags = excluded.folded_tags,
        folded_languages = excluded.folded_languages, folded_frameworks = excluded.folded_frameworks,
        created_at = excluded.created_at, updated_at = excluded.updated_at,
        version = greatest(excluded.version, m.version + 1), updated_by_key = excluded.updated_by_key,
        updated_by_account = excluded.updated_by_account, updated_by_agent = excluded.updated_by_agent
    WHERE excluded.updated_at > m.updated_at
    RETURNING m.id, m.xmax = 0;
END
$$;

-- One relationship of an import, under the settings of memory.import_relationships; the outcome is one of `Outcome` in
-- functions/memories/transfer/model.py.
CREATE FUNCTION memory.take_in(new memory.relationships, timeless boolean, known text[])
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    held memory.relationships;
BEGIN
    SELECT r.* INTO held FROM memory.relationships r
    WHERE r.id >= new.id AND r.id <= new.id ORDER BY r.id FOR NO KEY UPDATE;
    IF FOUND THEN
        IF held.updated_at >= new.updated_at OR (timeless AND held.valid_until IS NULL) THEN
            RETURN 'unchanged';
        END IF;
        IF held.valid_until IS NOT NULL AND new.valid_until IS NULL
            AND memory.leads(held.to_id, held.from_id, held.type, NULL)
        THEN
            RETURN 'cycle';
        END IF;
        UPDATE memory.relationships r SET
            strength = new.strength, confidence = new.confidence, context = new.context, structure = new.structure,
            created_at = new.created_at, updated_at = new.updated_at, valid_from = new.valid_from,
            valid_until = new.valid_until, recorded_at = new.recorded_at, invalidated_by = new.invalidated_by,
            invalidation_reason = new.invalidation_reason, evidence_count = new.evidence_count,
            validation_count = new.validation_count, counter_evidence_count = new.counter_evidence_count,
            last_validated = new.last_validated, version = greatest(new.version, r.version + 1),
            updated_by_key = new.updated_by_key, updated_by_account = new.updated_by_account,
            updated_by_agent = new.updated_by_agent
        WHERE r.ctid = (
            SELECT o.ctid FROM memory.relationships o WHERE o.id >= new.id AND o.id <= new.id ORDER BY o.id LIMIT 1
        );
        RETURN 'updated';
    END IF;
    IF timeless THEN
        PERFORM FROM memory.relationships r
        WHERE r.from_id >= new.from_id AND r.from_id <= new.from_id AND r.to_id = new.to_id AND r.type = new.type
            AND r.strength = new.strength AND r.confidence = new.confidence
            AND r.context IS NOT DISTINCT FROM new.context AND r.valid_until IS NULL
        ORDER BY r.from_id LIMIT 1;
        IF FOUND THEN
            RETURN 'unchanged';
        END IF;
    END IF;
    IF NOT (new.from_id = ANY (known) AND new.to_id = ANY (known)) THEN
        RETURN 'unknown_end';
    END IF;
    IF new.valid_until IS NULL AND memory.leads(new.to_id, new.from_id, new.type, NULL) THEN
        RETURN 'cycle';
    END IF;
    INSERT INTO memory.relationships SELECT new.*;
    RETURN 'created';
END
$$;

-- The outcomes, in the order of `rows`. One import at a time; the types of all are held before the first is taken in,
-- and so are those of what they replace.
CREATE FUNCTION memory.import_relationships(workspace text, rows jsonb, timeless boolean)
RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off -- see memory.leads
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    outcomes text[] := '{}';
    known text[];
    columns jsonb;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    PERFORM pg_advisory_xact_lock(hashtextextended('import ' || memory.workspace()::text, 0));
    PERFORM memory.hold_type(t.type) FROM (
        SELECT sent ->> 'type' FROM jsonb_array_elements(rows) sent
        UNION
        SELECT held.type FROM jsonb_array_elements(rows) sent CROSS JOIN LATERAL (
            SELECT r.type FROM memory.relationships r
            WHERE r.id >= sent ->> 'id' AND r.id <= sent ->> 'id' ORDER BY r.id OFFSET 0
        ) held
        ORDER BY 1
    ) t (type);
    known := memory.hold_ends(ARRAY(
        SELECT unnest(ARRAY[sent ->> 'from_id', sent ->> 'to_id']) FROM jsonb_array_elements(rows) sent
    ));
    FOR columns IN SELECT value FROM jsonb_array_elements(rows) LOOP
        outcomes := outcomes || memory.take_in(memory.new_relationship(columns), timeless, known);
    END LOOP;
    RETURN outcomes;
END
$$;

-- The parts of an import that were done, by number; or one of them.
CREATE FUNCTION memory.parts(workspace text, import text, number bigint)
RETURNS TABLE (part bigint, fingerprint text, answer text, at bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    SELECT p.part, p.fingerprint, p.answer, p.at FROM memory.import_parts p
    WHERE p.import_id = import AND (number IS NULL OR p.part = number) ORDER BY p.part;
END
$$;

-- Old parts go; those that another transaction lets go are left to it.
CREATE FUNCTION memory.finish_part(
    workspace text, import text, number bigint, fingerprint text, answer text, at bigint, forget_before bigint
)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    DELETE FROM memory.import_parts p WHERE (p.import_id, p.part) IN (
        SELECT old.import_id, old.part FROM memory.import_parts old WHERE old.at < forget_before
        FOR UPDATE SKIP LOCKED
    );
    INSERT INTO memory.import_parts (workspace_id, import_id, part, fingerprint, answer, at)
    VALUES (memory.workspace(), import, number, fingerprint, answer, at)
    ON CONFLICT (workspace_id, import_id, part) DO NOTHING;
END
$$;

GRANT EXECUTE ON FUNCTION
    memory.put_many, memory.export_page, memory.totals, memory.import_memories, memory.import_relationships,
    memory.parts, memory.finish_part
TO memories;

RESET ROLE;
