-- A caller that is bound to a project sees the memories of that project (context.project_path is exactly it) and the
-- relationships between them, and nothing else. See 0002 and 0010. SQLite does the same with what it puts before each
-- statement (functions/memories/stores/sqlite/sight.py).
--
-- Each operation has a twin in schema `memory_bound`, of the same text, which runs as `memory_bound`: for this role
-- row-level security knows the project as well. Its callers come in by `memory_bound.enter`, with the project. So what
-- is asked without a project is planned and run as before: as a further condition of the policies that are there, a
-- project cost every caller 20 to 40 percent of many reads, and counting all memories took three times as long.
--
-- Who may do what more:
--   memory_bound   owns the twins; nobody can log in as it; no BYPASSRLS; sees of a workspace one project
--   memories       may run the twins
--
-- Quotas count the whole workspace: `usage` is as before, and so are kept answers, parts of imports and earlier states,
-- which are asked for by the memory they belong to. A migration that adds or changes an operation ends with
-- `SELECT memory_bound.renew()`; a test compares each with its twin.
--
-- A row whose id is that of a memory outside of the project is refused by row-level security itself, with 42501.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'memory_bound') THEN
        CREATE ROLE memory_bound NOLOGIN NOINHERIT;
    END IF;
END
$$;
GRANT memory_bound TO CURRENT_USER WITH INHERIT TRUE, SET TRUE;

CREATE SCHEMA memory_bound;
REVOKE ALL ON SCHEMA memory_bound FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA memory_bound TO memory_bound;
GRANT USAGE ON SCHEMA memory_bound TO memories;
GRANT USAGE ON SCHEMA memory TO memory_bound;
ALTER DEFAULT PRIVILEGES FOR ROLE memory_bound REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

SET LOCAL ROLE memory_owner;

-- The project of this transaction; null: none, which is no memory's.
CREATE FUNCTION memory.project()
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('memory.project', true), '') $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON
    memory.memories, memory.memory_versions, memory.relationships, memory.idempotency, memory.import_parts,
    memory.usage, memory.journal
TO memory_bound;
GRANT SELECT ON memory.fences TO memory_bound;

-- As a subquery, the setting is read once and not per row.
CREATE POLICY of_project ON memory.memories TO memory_bound USING (
    workspace_id = memory.workspace() AND project_path = (SELECT memory.project())
);
CREATE POLICY of_project ON memory.relationships TO memory_bound USING (
    workspace_id = memory.workspace()
    AND EXISTS (SELECT FROM memory.memories m WHERE m.id = from_id)
    AND EXISTS (SELECT FROM memory.memories m WHERE m.id = to_id)
);
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['memory_versions', 'idempotency', 'import_parts', 'usage', 'journal', 'fences'] LOOP
        EXECUTE format(
            'CREATE POLICY of_project ON memory.%I TO memory_bound USING (workspace_id = memory.workspace())', name
        );
    END LOOP;
END
$$;

-- Whether a state with this context is one that the caller sees.
CREATE FUNCTION memory.of_project(context text)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN memory.project() IS NULL THEN TRUE
        ELSE coalesce(context::json ->> 'project_path' = memory.project(), FALSE)
    END
$$;

-- Those of some ids that the caller may not use, since they are those of memories, or relationships, that it does not
-- see. Of a caller without a project: none.
CREATE FUNCTION memory.taken(ids text[], edges boolean)
RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF memory.project() IS NULL THEN
        RETURN '{}';
    ELSIF edges THEN
        RETURN ARRAY(
            SELECT r.id FROM memory.relationships r
            WHERE r.id = ANY (ids) AND 2 <> (
                SELECT count(*) FROM unnest(ARRAY[r.from_id, r.to_id]) e (id)
                JOIN memory.memories m ON m.id = e.id AND m.project_path = memory.project()
            )
            ORDER BY r.id
        );
    END IF;
    RETURN ARRAY(
        SELECT m.id FROM memory.memories m
        WHERE m.id = ANY (ids) AND m.project_path IS DISTINCT FROM memory.project() ORDER BY m.id
    );
END
$$;

-- Remove what a memory that is gone has left: its earlier states, its relationships, and the answers about both.
-- Relationships to what the caller does not see go too.
CREATE FUNCTION memory.clear(gone text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM memory.memories m WHERE m.id = clear.gone) THEN
        RETURN FALSE;
    END IF;
    DELETE FROM memory.memory_versions v WHERE v.id = clear.gone;
    WITH edges AS (
        DELETE FROM memory.relationships r WHERE r.id IN (
            SELECT old.id FROM memory.relationships old
            WHERE old.from_id = clear.gone OR old.to_id = clear.gone
            ORDER BY old.id FOR UPDATE
        )
        RETURNING r.id
    )
    DELETE FROM memory.idempotency i
    WHERE i.about IN (SELECT clear.gone COLLATE "C" UNION ALL SELECT edges.id FROM edges);
    RETURN TRUE;
END
$$;
GRANT EXECUTE ON FUNCTION memory.taken, memory.clear TO memory_bound;

-- A memory with who wrote the state that it is in; or, with a moment, the last state that it was in then. One in which
-- it was in another project is not shown.
CREATE FUNCTION memory.read(workspace text, wanted text, moment bigint)
RETURNS TABLE (hit memory.memory_row, by_key text, by_account text, by_agent text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF moment IS NULL THEN
        RETURN QUERY
        SELECT memory.shown(m), m.updated_by_key, m.updated_by_account, m.updated_by_agent
        FROM memory.memories m WHERE m.id = wanted;
        RETURN;
    END IF;
    IF memory.project() IS NOT NULL AND NOT EXISTS (
        SELECT FROM memory.memories m WHERE m.id = wanted
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT s.hit, s.by_key, s.by_account, s.by_agent
    FROM (
        SELECT t.* FROM (
            SELECT memory.shown(m), m.version, m.updated_at, m.context, m.updated_by_key, m.updated_by_account,
                m.updated_by_agent
            FROM memory.memories m WHERE m.id = wanted
            UNION ALL
            SELECT ROW(
                v.id, v.type, v.title, v.content, v.summary, v.tags, v.importance, v.confidence, v.context,
                v.created_at, v.updated_at, v.version
            )::memory.memory_row, v.version, v.updated_at, v.context, v.updated_by_key, v.updated_by_account,
                v.updated_by_agent
            FROM memory.memory_versions v WHERE v.id = wanted
        ) t (hit, version, updated_at, context, by_key, by_account, by_agent)
        WHERE t.updated_at <= moment ORDER BY t.version DESC LIMIT 1
    ) s
    WHERE memory.of_project(s.context);
END
$$;

-- As the version before calls it.
CREATE OR REPLACE FUNCTION memory.get_as_of(workspace text, wanted text, moment bigint)
RETURNS SETOF memory.memory_row
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT (r.hit).* FROM memory.read(workspace, wanted, moment) r $$;

-- As in 0006; a state in which the memory was in another project has no title and no author.
CREATE OR REPLACE FUNCTION memory.history(
    workspace text, wanted text, types text[], most bigint, skipped bigint, bytes bigint
)
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
    SELECT 1, s.version, CASE WHEN s.shown THEN s.title END, s.updated_at, CASE WHEN s.shown THEN s.by_key END,
        CASE WHEN s.shown THEN s.by_account END, CASE WHEN s.shown THEN s.by_agent END, NULL::memory.relationship_row
    FROM (
        SELECT m.version, m.title, m.updated_at, m.updated_by_key, m.updated_by_account, m.updated_by_agent, TRUE
        FROM memory.memories m WHERE m.id = wanted
        UNION ALL
        SELECT v.version, v.title, v.updated_at, v.updated_by_key, v.updated_by_account, v.updated_by_agent,
            memory.of_project(v.context)
        FROM memory.memory_versions v WHERE v.id = wanted
    ) s (version, title, updated_at, by_key, by_account, by_agent, shown)
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

-- As in 0010; with the memory all its relationships go, also those to what the caller does not see.
CREATE OR REPLACE FUNCTION memory.remove(workspace text, wanted text, versions bigint[], moments bigint[])
RETURNS TABLE (known boolean, current_version bigint, current_at bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    settled boolean;
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
    IF NOT known THEN
        RETURN NEXT;
        RETURN;
    END IF;
    settled := memory.clear(wanted);
    settled := memory.settle(NULL);
    RETURN NEXT;
END
$$;

-- As in 0010; the answers about what was not removed stay.
CREATE OR REPLACE FUNCTION memory.unrelate(workspace text, wanted text, versions bigint[], moments bigint[])
RETURNS TABLE (known boolean, current_version bigint, current_at bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    settled boolean;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF versions IS NOT NULL THEN
        SELECT r.version, r.updated_at INTO current_version, current_at
        FROM memory.relationships r WHERE r.id = wanted FOR UPDATE;
        IF FOUND AND NOT memory.expected(current_version, current_at, versions, moments) THEN
            known := TRUE;
            RETURN NEXT;
            RETURN;
        END IF;
        current_version := NULL;
        current_at := NULL;
    END IF;
    DELETE FROM memory.relationships r WHERE r.id = wanted;
    known := FOUND;
    IF known THEN
        DELETE FROM memory.idempotency i WHERE i.about = wanted;
        settled := memory.settle(NULL);
    END IF;
    RETURN NEXT;
END
$$;

-- What became of some rows, in their order: of those that were left out something else.
CREATE FUNCTION memory.in_order(rows jsonb, stored jsonb, left_out jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN left_out = '[]' THEN stored ELSE (
        SELECT jsonb_agg(told.one ORDER BY sent.place)
        FROM jsonb_array_elements(rows) WITH ORDINALITY sent (columns, place)
        JOIN jsonb_array_elements(stored || left_out) told (one) ON told.one ->> 'id' = sent.columns ->> 'id'
    ) END
$$;

-- As in 0010; `refused` is 'taken' for a row whose id is that of a memory outside of the project. With `atomic` such
-- rows alone are given, and nothing is done.
CREATE OR REPLACE FUNCTION memory.store_rows(rows jsonb, atomic boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    settled boolean;
    stored jsonb;
    columns jsonb;
    one jsonb;
    taken text[];
    sent_rows jsonb := rows;
    left_out jsonb := '[]';
BEGIN
    IF memory.project() IS NOT NULL THEN
        taken := memory.taken(ARRAY(SELECT sent ->> 'id' FROM jsonb_array_elements(rows) sent), FALSE);
        left_out := coalesce(
            (SELECT jsonb_agg(jsonb_build_object('id', t.id, 'refused', 'taken')) FROM unnest(taken) t (id)), '[]'
        );
        IF atomic AND cardinality(taken) > 0 THEN
            RETURN left_out;
        END IF;
        rows := coalesce(
            (
                SELECT jsonb_agg(sent.columns ORDER BY sent.place)
                FROM jsonb_array_elements(rows) WITH ORDINALITY sent (columns, place)
                WHERE sent.columns ->> 'id' <> ALL (taken)
            ), '[]'
        );
    END IF;
    BEGIN
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', s.id, 'version', s.version, 'created_at', s.created_at, 'updated_at', s.updated_at
        ) ORDER BY sent.place), '[]')
        INTO stored
        FROM memory.store(rows) s
        JOIN jsonb_array_elements(rows) WITH ORDINALITY sent (columns, place) ON sent.columns ->> 'id' = s.id;
        settled := memory.settle_all();
        RETURN memory.in_order(sent_rows, stored, left_out);
    EXCEPTION WHEN SQLSTATE 'MG41X' THEN
        stored := '[]';
    END;
    -- In order of id, as above, so that two batches do not lock each other out.
    PERFORM FROM memory.memories m
    WHERE m.id IN (SELECT sent ->> 'id' FROM jsonb_array_elements(rows) sent) ORDER BY m.id FOR NO KEY UPDATE;
    FOR columns IN SELECT value FROM jsonb_array_elements(rows) LOOP
        one := jsonb_build_object('id', columns ->> 'id');
        BEGIN
            SELECT jsonb_build_object(
                'id', s.id, 'version', s.version, 'created_at', s.created_at, 'updated_at', s.updated_at
            ) INTO one FROM memory.store(jsonb_build_array(columns)) s;
            settled := memory.settle(columns ->> 'id');
        EXCEPTION
            WHEN SQLSTATE 'MG41M' THEN
                IF atomic THEN
                    RAISE;
                END IF;
                one := jsonb_build_object('id', columns ->> 'id', 'refused', 'memories');
            WHEN SQLSTATE 'MG41B' THEN
                IF atomic THEN
                    RAISE;
                END IF;
                one := jsonb_build_object('id', columns ->> 'id', 'refused', 'bytes');
        END;
        stored := stored || one;
    END LOOP;
    RETURN memory.in_order(sent_rows, stored, left_out);
END
$$;

-- As in 0010; what was not done is not remembered.
CREATE OR REPLACE FUNCTION memory.put_rows(workspace text, rows jsonb, once jsonb, atomic boolean)
RETURNS TABLE (id text, version bigint, created_at bigint, updated_at bigint, refused text)
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
        stored := memory.store_rows(rows, atomic);
        IF once IS NOT NULL AND NOT (atomic AND stored @> '[{"refused": "taken"}]') THEN
            PERFORM memory.answer(once, stored);
        END IF;
    END IF;
    RETURN QUERY
    SELECT s.id, s.version, s.created_at, s.updated_at, s.refused
    FROM jsonb_to_recordset(stored) s (id text, version bigint, created_at bigint, updated_at bigint, refused text);
END
$$;

-- As in 0010, and `taken`.
CREATE OR REPLACE FUNCTION memory.take_memories(workspace text, rows jsonb)
RETURNS TABLE (id text, outcome text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    settled boolean;
    columns jsonb;
    found jsonb;
    taken text[];
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF memory.project() IS NOT NULL THEN
        taken := memory.taken(ARRAY(SELECT sent ->> 'id' FROM jsonb_array_elements(rows) sent), FALSE);
        RETURN QUERY SELECT t.id, 'taken' FROM unnest(taken) t (id);
        rows := coalesce(
            (
                SELECT jsonb_agg(sent.columns ORDER BY sent.place)
                FROM jsonb_array_elements(rows) WITH ORDINALITY sent (columns, place)
                WHERE sent.columns ->> 'id' <> ALL (taken)
            ), '[]'
        );
    END IF;
    BEGIN
        SELECT coalesce(jsonb_object_agg(b.id, CASE WHEN b.created THEN 'created' ELSE 'updated' END), '{}')
        INTO found FROM memory.bring_in(rows) b;
        settled := memory.settle_all();
        RETURN QUERY SELECT f.key, f.value FROM jsonb_each_text(found) f;
        RETURN;
    EXCEPTION WHEN SQLSTATE 'MG41X' THEN
        NULL;
    END;
    PERFORM FROM memory.memories m
    WHERE m.id IN (SELECT sent ->> 'id' FROM jsonb_array_elements(rows) sent) ORDER BY m.id FOR NO KEY UPDATE;
    FOR columns IN SELECT value FROM jsonb_array_elements(rows) LOOP
        outcome := NULL;
        BEGIN
            SELECT CASE WHEN b.created THEN 'created' ELSE 'updated' END INTO outcome
            FROM memory.bring_in(jsonb_build_array(columns)) b;
            settled := memory.settle(columns ->> 'id');
        EXCEPTION
            WHEN SQLSTATE 'MG41M' THEN
                outcome := 'over_memories';
            WHEN SQLSTATE 'MG41B' THEN
                outcome := 'over_bytes';
        END;
        IF outcome IS NOT NULL THEN
            id := columns ->> 'id';
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

-- As in 0007, and `taken`.
CREATE OR REPLACE FUNCTION memory.take_in(new memory.relationships, timeless boolean, known text[])
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
    IF memory.project() IS NOT NULL AND cardinality(memory.taken(ARRAY[new.id], TRUE)) > 0 THEN
        RETURN 'taken';
    END IF;
    IF new.valid_until IS NULL AND memory.leads(new.to_id, new.from_id, new.type, NULL) THEN
        RETURN 'cycle';
    END IF;
    INSERT INTO memory.relationships SELECT new.*;
    RETURN 'created';
END
$$;

GRANT EXECUTE ON FUNCTION memory.read TO memories;

RESET ROLE;

CREATE FUNCTION memory_bound.enter(workspace text, epoch bigint, project text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bound text := set_config('memory.project', project, true);
BEGIN
    RETURN memory.enter(workspace, epoch);
END
$$;

CREATE FUNCTION memory_bound.enter(
    workspace text, epoch bigint, memories_most bigint, bytes_most bigint, project text
)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bound text := set_config('memory.project', project, true);
BEGIN
    RETURN memory.enter(workspace, epoch, memories_most, bytes_most);
END
$$;

-- In the place of memory.find, which sees all of a workspace.
CREATE FUNCTION memory_bound.find(w memory.wanted, OUT total bigint, OUT ids text[])
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    w.by_tag := TRUE; -- so that the needles are a condition, which they are for memory_finder in its policies
    SELECT s.total, s.ids INTO total, ids FROM memory.sift(w) s;
END
$$;

-- Make the twins anew. By who migrates.
CREATE FUNCTION memory_bound.renew()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $do$
DECLARE
    one record;
    legacy constant text[] := '{get,get_as_of,put_many,import_memories}'; -- as versions before call them
BEGIN
    FOR one IN
        SELECT p.oid::regprocedure AS named FROM pg_proc p
        WHERE p.pronamespace = 'memory_bound'::regnamespace AND p.prosecdef
    LOOP
        EXECUTE format('DROP FUNCTION %s', one.named);
    END LOOP;
    FOR one IN
        SELECT t.oid::regtype AS named FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
        WHERE t.typnamespace = 'memory'::regnamespace
    LOOP
        EXECUTE format('GRANT USAGE ON TYPE %s TO memory_bound', one.named);
    END LOOP;
    FOR one IN
        SELECT p.oid::regprocedure AS named FROM pg_proc p
        WHERE p.pronamespace = 'memory'::regnamespace AND NOT p.prosecdef
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO memory_bound', one.named);
    END LOOP;
    FOR one IN
        SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS taken, pg_get_functiondef(p.oid) AS text
        FROM pg_proc p
        WHERE p.pronamespace = 'memory'::regnamespace AND p.prosecdef AND p.proname <> 'enter'
            AND p.proname <> ALL (legacy) AND has_function_privilege('memories', p.oid, 'EXECUTE')
    LOOP
        EXECUTE replace(
            replace(one.text, format('FUNCTION memory.%I(', one.name), format('FUNCTION memory_bound.%I(', one.name)),
            'memory.find(', 'memory_bound.find('
        );
        EXECUTE format('REVOKE ALL ON FUNCTION memory_bound.%I(%s) FROM PUBLIC', one.name, one.taken);
        EXECUTE format('GRANT EXECUTE ON FUNCTION memory_bound.%I(%s) TO memories', one.name, one.taken);
        EXECUTE format('ALTER FUNCTION memory_bound.%I(%s) OWNER TO memory_bound', one.name, one.taken);
    END LOOP;
END
$do$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA memory_bound FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    memory_bound.enter(text, bigint, text), memory_bound.enter(text, bigint, bigint, bigint, text)
TO memories;
ALTER FUNCTION memory_bound.find OWNER TO memory_bound;
SELECT memory_bound.renew();
