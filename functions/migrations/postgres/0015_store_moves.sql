-- Moving a workspace between stores, and erasing it: `MovableStore` in functions/memories/stores/ports_move.py, for
-- provisioning. What writes rows does so only while the workspace is closed at an epoch; the others pass no fence. See
-- 0010.

SET LOCAL ROLE memory_owner;

-- The fence, which nobody passes between this and the end of the transaction.
CREATE FUNCTION memory.hold_fence(workspace text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    PERFORM pg_advisory_xact_lock(hashtextextended('fence ' || memory.workspace()::text, 0));
END
$$;

-- Go on only while the workspace is closed at this epoch, which it then stays until the end of the transaction.
CREATE FUNCTION memory.work_behind(workspace text, epoch bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM set_config('memory.workspace', workspace, true), set_config('memory.tally', '', true);
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('fence ' || memory.workspace()::text, 0));
    IF NOT EXISTS (SELECT FROM memory.fences f WHERE f.epoch = work_behind.epoch AND f.mode = 'closed') THEN
        RAISE EXCEPTION 'the workspace is not closed at this epoch' USING ERRCODE = 'MG421';
    END IF;
END
$$;

CREATE FUNCTION memory.read_fence(workspace text)
RETURNS TABLE (epoch bigint, mode text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY
    SELECT coalesce(f.epoch, 1), coalesce(f.mode, 'open') FROM (SELECT) one LEFT JOIN memory.fences f ON TRUE;
END
$$;

-- Nothing that the new fence forbids is at work any more when this ends. An earlier epoch changes nothing.
CREATE FUNCTION memory.fence(workspace text, wanted_epoch bigint, wanted_mode text)
RETURNS TABLE (epoch bigint, mode text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM memory.hold_fence(workspace);
    INSERT INTO memory.fences AS f (workspace_id, epoch, mode) VALUES (memory.workspace(), wanted_epoch, wanted_mode)
    ON CONFLICT (workspace_id) DO UPDATE SET epoch = excluded.epoch, mode = excluded.mode
    WHERE f.epoch <= excluded.epoch;
    RETURN QUERY SELECT f.epoch, f.mode FROM memory.fences f;
END
$$;

CREATE FUNCTION memory.begin_journal(workspace text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.hold_fence(workspace);
    DELETE FROM memory.journal j WHERE NOT EXISTS (SELECT FROM memory.fences f WHERE f.journal);
    INSERT INTO memory.fences (workspace_id, epoch, mode, journal) VALUES (memory.workspace(), 1, 'open', TRUE)
    ON CONFLICT (workspace_id) DO UPDATE SET journal = TRUE;
END
$$;

-- Numbers are given before a transaction ends: while nobody is at work, none is missing behind the last.
CREATE FUNCTION memory.read_journal(workspace text, after bigint, most bigint)
RETURNS TABLE (seq bigint, kind text, id text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.hold_fence(workspace);
    RETURN QUERY SELECT j.seq, j.kind, j.id FROM memory.journal j WHERE j.seq > after ORDER BY j.seq LIMIT most;
END
$$;

CREATE FUNCTION memory.end_journal(workspace text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.hold_fence(workspace);
    UPDATE memory.fences f SET journal = FALSE;
    DELETE FROM memory.journal j;
END
$$;

-- Where the rows of a kind are: table, the column that names the thing, a number that tells its rows apart, their size.
CREATE FUNCTION memory.place(kind text, OUT tab text, OUT thing text, OUT number text, OUT size text)
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    SELECT p.tab, p.thing, p.number, p.size INTO STRICT tab, thing, number, size
    FROM (VALUES
        ('memory', 'memories', 'id', '0::bigint', 'memory.size(t)'),
        ('version', 'memory_versions', 'id', 't.version', 'memory.size(t)'),
        ('relationship', 'relationships', 'id', '0::bigint', 'memory.size(t)'),
        ('key', 'idempotency', 'key', '0::bigint', 'octet_length(t.answer::text)'),
        ('part', 'import_parts', 'import_id', 't.part', 'octet_length(t.answer)')
    ) p (kind, tab, thing, number, size)
    WHERE p.kind = place.kind;
END
$$;

-- Rows as JSON, in order of their keys, behind one; of some things when they are given.
CREATE FUNCTION memory.raw_page(
    workspace text, kind text, after_id text, after_number bigint, ids text[], most bigint, bytes bigint
)
RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record := memory.place(kind);
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY EXECUTE format(
        $query$
            SELECT to_jsonb(t)::text
            FROM (
                SELECT s.id, s.number, sum(s.size) OVER (ORDER BY s.id, s.number) - s.size AS before
                FROM (
                    SELECT t.%2$I AS id, %3$s AS number, %4$s AS size FROM memory.%1$I t
                    WHERE ($1 IS NULL OR (t.%2$I, %3$s) > ($1, $2)) AND ($3 IS NULL OR t.%2$I = ANY ($3))
                    ORDER BY 1, 2 LIMIT $4
                ) s
            ) page
            JOIN memory.%1$I t ON t.%2$I = page.id AND %3$s = page.number
            WHERE page.before < $5 ORDER BY page.id, page.number
        $query$, p.tab, p.thing, p.number, p.size
    ) USING after_id, after_number, ids, most, bytes;
END
$$;

-- Rows as they are, each in the place of the one with its key.
CREATE FUNCTION memory.put_raw(workspace text, epoch bigint, kind text, rows jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record := memory.place(kind);
    here jsonb;
BEGIN
    PERFORM memory.work_behind(workspace, epoch);
    here := jsonb_build_object('workspace_id', memory.workspace());
    EXECUTE format(
        'DELETE FROM memory.%1$I t USING jsonb_array_elements($1) r WHERE t.%2$I = r ->> %2$L AND %3$s = %4$s',
        p.tab, p.thing, p.number,
        CASE WHEN p.number LIKE 't.%' THEN format('(r ->> %L)::bigint', substr(p.number, 3)) ELSE p.number END
    ) USING rows;
    EXECUTE format(
        'INSERT INTO memory.%1$I %2$s FROM jsonb_array_elements($1) r CROSS JOIN %3$s n',
        p.tab,
        CASE kind
            WHEN 'key' THEN '(workspace_id, key, fingerprint, at, answer)
                SELECT n.workspace_id, n.key, n.fingerprint, n.at, n.answer'
            ELSE 'SELECT n.*'
        END,
        CASE kind
            WHEN 'memory' THEN 'memory.new_memory(r)'
            WHEN 'relationship' THEN 'memory.new_relationship(r)'
            ELSE format('jsonb_populate_record(NULL::memory.%I, r || $2)', p.tab)
        END
    ) USING rows, here;
    PERFORM memory.add_up();
END
$$;

CREATE FUNCTION memory.drop_raw(workspace text, epoch bigint, kind text, ids text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record := memory.place(kind);
BEGIN
    PERFORM memory.work_behind(workspace, epoch);
    EXECUTE format('DELETE FROM memory.%1$I t WHERE t.%2$I = ANY ($1)', p.tab, p.thing) USING ids;
    PERFORM memory.add_up();
END
$$;

-- A value with its length before it, so that no two rows give the same text; floats are given as their bits.
CREATE FUNCTION memory.field(value text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(octet_length(value) || ':' || value, '-') $$;

-- What a row adds to a checksum: `summed` in functions/memories/stores/raw.py does the same.

CREATE FUNCTION memory.summed(t memory.memories)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT ('x' || left(md5(concat(
        'memory', memory.field(t.id), memory.field(t.type), memory.field(t.title), memory.field(t.content),
        memory.field(t.summary), memory.field(t.tags),
        memory.field(encode(float8send(t.importance), 'hex')),
        memory.field(encode(float8send(t.confidence), 'hex')), memory.field(t.context),
        memory.field(t.created_at::text), memory.field(t.updated_at::text), memory.field(t.version::text),
        memory.field(t.created_by_key), memory.field(t.created_by_account),
        memory.field(t.created_by_agent), memory.field(t.updated_by_key),
        memory.field(t.updated_by_account), memory.field(t.updated_by_agent)
    )), 16))::bit(64)::bigint
$$;

CREATE FUNCTION memory.summed(t memory.memory_versions)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT ('x' || left(md5(concat(
        'version', memory.field(t.id), memory.field(t.type), memory.field(t.title),
        memory.field(t.content), memory.field(t.summary), memory.field(t.tags),
        memory.field(encode(float8send(t.importance), 'hex')),
        memory.field(encode(float8send(t.confidence), 'hex')), memory.field(t.context),
        memory.field(t.created_at::text), memory.field(t.updated_at::text), memory.field(t.version::text),
        memory.field(t.updated_by_key), memory.field(t.updated_by_account),
        memory.field(t.updated_by_agent)
    )), 16))::bit(64)::bigint
$$;

CREATE FUNCTION memory.summed(t memory.relationships)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT ('x' || left(md5(concat(
        'relationship', memory.field(t.id), memory.field(t.from_id), memory.field(t.to_id),
        memory.field(t.type), memory.field(encode(float8send(t.strength), 'hex')),
        memory.field(encode(float8send(t.confidence), 'hex')), memory.field(t.context),
        memory.field(t.created_at::text), memory.field(t.updated_at::text),
        memory.field(t.valid_from::text), memory.field(t.valid_until::text),
        memory.field(t.recorded_at::text), memory.field(t.invalidated_by),
        memory.field(t.invalidation_reason), memory.field(t.evidence_count::text),
        memory.field(t.validation_count::text), memory.field(t.counter_evidence_count::text),
        memory.field(t.last_validated::text), memory.field(t.version::text), memory.field(t.reinforced_as),
        memory.field(t.created_by_key), memory.field(t.created_by_account),
        memory.field(t.created_by_agent), memory.field(t.updated_by_key),
        memory.field(t.updated_by_account), memory.field(t.updated_by_agent)
    )), 16))::bit(64)::bigint
$$;

CREATE FUNCTION memory.digest(workspace text)
RETURNS TABLE (memories bigint, versions bigint, relationships bigint, checksum numeric)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    whole numeric := 2::numeric ^ 64;
    one numeric;
    two numeric;
    three numeric;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    SELECT count(*), coalesce(sum(memory.summed(m)), 0) INTO memories, one FROM memory.memories m;
    SELECT count(*), coalesce(sum(memory.summed(v)), 0) INTO versions, two FROM memory.memory_versions v;
    SELECT count(*), coalesce(sum(memory.summed(r)), 0) INTO relationships, three FROM memory.relationships r;
    checksum := mod(mod(one + two + three, whole) + whole, whole);
    RETURN NEXT;
END
$$;

-- Remove a piece of everything but the fence, and end the journal; whether nothing is left.
CREATE FUNCTION memory.erase(workspace text, epoch bigint, most bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
    removed bigint;
    done boolean := TRUE;
BEGIN
    PERFORM memory.work_behind(workspace, epoch), set_config('memory.journal', 'false', true);
    UPDATE memory.fences f SET journal = FALSE WHERE f.journal;
    FOREACH name IN ARRAY ARRAY[
        'relationships', 'memories', 'memory_versions', 'idempotency', 'import_parts', 'journal'
    ] LOOP
        EXECUTE format(
            'DELETE FROM memory.%1$I t WHERE t.ctid = ANY (ARRAY(SELECT o.ctid FROM memory.%1$I o LIMIT $1))', name
        ) USING most;
        GET DIAGNOSTICS removed = ROW_COUNT;
        done := done AND removed < most;
    END LOOP;
    PERFORM memory.add_up();
    DELETE FROM memory.usage u WHERE done;
    RETURN done;
END
$$;

GRANT EXECUTE ON FUNCTION
    memory.read_fence, memory.fence, memory.begin_journal, memory.read_journal, memory.end_journal, memory.raw_page,
    memory.put_raw, memory.drop_raw, memory.digest, memory.erase
TO provisioning;

RESET ROLE;
