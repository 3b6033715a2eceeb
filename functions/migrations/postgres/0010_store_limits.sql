-- How full each workspace is and what it may hold, and the fence that every operation passes. See 0002. SQLite does the
-- same with triggers (functions/migrations/sqlite/0002_limits.sql).
--
-- An operation is called with `memory.enter(...)` in the place of its workspace: that fails when the workspace is at
-- another epoch or its mode forbids it, and notes the limits of the caller's plan for this transaction. Triggers add up
-- what a transaction changes (`memory.tally`), and the operation settles it at its end (`memory.settle`), when it has
-- all its other locks: so writers of one workspace wait for each other's commit only, and never for each other's work.
-- Without `enter`, as the version before calls them, operations are counted, and neither fenced nor limited.
--
-- SQLSTATEs that the store knows: MG421 the fence, MG41M no room for another memory, MG41B no room for more bytes.
-- Within this file, MG41X: not certain that each of many rows has room.
--
-- One file, so that nothing is written between the first count and the operations that keep it. 0015: moves.
--
-- Who may do what more: `accounts` logs in and may read how full a workspace is, and all of it; `provisioning` may read
-- how full it is.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'accounts') THEN
        CREATE ROLE accounts NOLOGIN NOINHERIT;
    END IF;
END
$$;
GRANT USAGE ON SCHEMA memory TO accounts;

SET LOCAL ROLE memory_owner;

ALTER TABLE memory.fences ADD COLUMN journal boolean NOT NULL DEFAULT FALSE; -- whether changes are written down

-- Updated by every write: room for new versions of a row on its page.
CREATE TABLE memory.usage (
    workspace_id uuid PRIMARY KEY,
    memories bigint NOT NULL,
    relationships bigint NOT NULL,
    bytes bigint NOT NULL -- of texts of memories and their earlier states, and of relationships (memory.size)
) WITH (fillfactor = 50);

-- What was written since a move began to copy, in order: `kind` is one of `Kind` in memories/stores/ports_move.py.
CREATE TABLE memory.journal (
    workspace_id uuid NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace_id, seq)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['usage', 'journal'] LOOP
        EXECUTE format('ALTER TABLE memory.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY of_workspace ON memory.%I TO memory_owner USING (workspace_id = memory.workspace())', name
        );
    END LOOP;
END
$$;

-- What kept answers are about, so that they go with it: a memory or a relationship; null: a batch, of which no text is
-- kept. A column, because below row-level security no index is used for an expression on JSON.
ALTER TABLE memory.idempotency ADD COLUMN about text COLLATE "C" GENERATED ALWAYS AS (answer ->> 'id') STORED;
CREATE INDEX idempotency_about ON memory.idempotency (workspace_id, about);

-- A relationship takes 500 bytes, which is its row with its indexes (RELATIONSHIP_COST in
-- functions/memories/stores/rows.py; a test compares them), and its texts. None takes none.
CREATE OR REPLACE FUNCTION memory.size(r memory.relationships)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN r.id IS NULL THEN 0 ELSE
        500 + coalesce(octet_length(r.context), 0) + coalesce(octet_length(r.invalidation_reason), 0)
    END::bigint
$$;

CREATE FUNCTION memory.size(v memory.memory_versions)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (
        octet_length(v.title) + octet_length(v.content) + coalesce(octet_length(v.summary), 0) + octet_length(v.tags)
        + coalesce(octet_length(v.context), 0)
    )::bigint
$$;

-- What is there already. The owner sees every workspace's rows until row security is forced on it again; nobody writes
-- meanwhile, nor until the triggers below are there.
ALTER TABLE memory.memories NO FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.memory_versions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.relationships NO FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.usage NO FORCE ROW LEVEL SECURITY;
INSERT INTO memory.usage (workspace_id, memories, relationships, bytes)
SELECT t.workspace_id, sum(t.memories), sum(t.relationships), sum(t.bytes)
FROM (
    SELECT m.workspace_id, 1 AS memories, 0 AS relationships, memory.size(m) AS bytes FROM memory.memories m
    UNION ALL
    SELECT v.workspace_id, 0, 0, memory.size(v) FROM memory.memory_versions v
    UNION ALL
    SELECT r.workspace_id, 0, 1, memory.size(r) FROM memory.relationships r
) t
GROUP BY t.workspace_id;
ALTER TABLE memory.memories FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.memory_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.relationships FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.usage FORCE ROW LEVEL SECURITY;

-- The fence.

-- A workspace without a row was never moved: it is open, at its first epoch.
CREATE FUNCTION memory.enter(workspace text, epoch bigint)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    here text := set_config('memory.workspace', workspace, true);
    held memory.fences;
BEGIN
    SELECT f.* INTO held FROM memory.fences f WHERE f.workspace_id = memory.workspace();
    IF coalesce(held.epoch, 1) <> epoch OR held.mode = 'closed' THEN
        RAISE EXCEPTION 'the workspace is not here, or not at this epoch' USING ERRCODE = 'MG421';
    END IF;
    RETURN here;
END
$$;

-- To write. The fence changes only when nobody who passed it is at work (memory.fence). Limits that are null do not
-- limit.
CREATE FUNCTION memory.enter(workspace text, epoch bigint, memories_most bigint, bytes_most bigint)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    here text := set_config('memory.workspace', workspace, true);
    limits text := set_config('memory.limits', ARRAY[memories_most, bytes_most]::text, true);
    tally text := set_config('memory.tally', '', true);
    journal text;
    held memory.fences;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('fence ' || memory.workspace()::text, 0));
    SELECT f.* INTO held FROM memory.fences f WHERE f.workspace_id = memory.workspace();
    IF coalesce(held.epoch, 1) <> epoch OR held.mode <> 'open' THEN
        RAISE EXCEPTION 'the workspace is not here, not at this epoch, or takes no writes' USING ERRCODE = 'MG421';
    END IF;
    journal := set_config('memory.journal', coalesce(held.journal, FALSE)::text, true);
    RETURN here;
END
$$;

-- Counting. Functions are called in assignments, which take a fifth of the time of PERFORM and SELECT.

-- What this transaction has changed is in the setting memory.tally: memories, relationships, bytes; bytes that it may
-- have added at most, which no other change of it makes up for; and bytes by which texts have grown, earlier states
-- left out. The triggers have few expressions, because every transaction prepares each of them anew.

-- Write down what changed, while a move copies. The setting is empty when the operation came without `enter`.
CREATE FUNCTION memory.note(kind text, id text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    noted boolean := current_setting('memory.journal', true) = 'true' OR EXISTS (
        SELECT FROM memory.fences f WHERE f.journal AND f.workspace_id = memory.workspace()
    );
BEGIN
    IF noted THEN
        INSERT INTO memory.journal (workspace_id, kind, id) VALUES (memory.workspace(), kind, id);
    END IF;
    RETURN noted;
END
$$;

CREATE FUNCTION memory.count_memory()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    old_size bigint := coalesce(memory.size(OLD), 0);
    new_size bigint := coalesce(memory.size(NEW), 0);
    tally bigint[] := coalesce(nullif(current_setting('memory.tally', true), ''), '{0,0,0,0,0}');
    kept text := set_config('memory.tally', ARRAY[
        tally[1] + (TG_OP = 'INSERT')::integer - (TG_OP = 'DELETE')::integer, tally[2], tally[3] + new_size - old_size,
        tally[4] + new_size, tally[5] + greatest(new_size - old_size, 0)
    ]::text, true);
BEGIN
    IF coalesce(current_setting('memory.journal', true), '') <> 'false' THEN
        kept := memory.note('memory', coalesce(NEW.id, OLD.id));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_memory AFTER INSERT OR UPDATE OR DELETE ON memory.memories
FOR EACH ROW EXECUTE FUNCTION memory.count_memory();

CREATE FUNCTION memory.count_version()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    tally bigint[] := coalesce(nullif(current_setting('memory.tally', true), ''), '{0,0,0,0,0}');
    kept text := set_config('memory.tally', ARRAY[
        tally[1], tally[2], tally[3] + coalesce(memory.size(NEW), 0) - coalesce(memory.size(OLD), 0), tally[4], tally[5]
    ]::text, true);
BEGIN
    RETURN NULL;
END
$$;
CREATE TRIGGER count_version AFTER INSERT OR DELETE ON memory.memory_versions
FOR EACH ROW EXECUTE FUNCTION memory.count_version();

CREATE FUNCTION memory.count_relationship()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    growth bigint := coalesce(memory.size(NEW), 0) - coalesce(memory.size(OLD), 0);
    tally bigint[] := coalesce(nullif(current_setting('memory.tally', true), ''), '{0,0,0,0,0}');
    kept text := set_config('memory.tally', ARRAY[
        tally[1], tally[2] + (TG_OP = 'INSERT')::integer - (TG_OP = 'DELETE')::integer, tally[3] + growth,
        tally[4] + greatest(growth, 0), tally[5] + greatest(growth, 0)
    ]::text, true);
BEGIN
    IF coalesce(current_setting('memory.journal', true), '') <> 'false' THEN
        kept := memory.note('relationship', coalesce(NEW.id, OLD.id));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_relationship AFTER INSERT OR UPDATE OR DELETE ON memory.relationships
FOR EACH ROW EXECUTE FUNCTION memory.count_relationship();

CREATE FUNCTION memory.note_key()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF coalesce(current_setting('memory.journal', true), '') <> 'false' THEN
        PERFORM memory.note('key', coalesce(NEW.key, OLD.key));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_key AFTER INSERT OR UPDATE OR DELETE ON memory.idempotency
FOR EACH ROW EXECUTE FUNCTION memory.note_key();

CREATE FUNCTION memory.note_part()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF coalesce(current_setting('memory.journal', true), '') <> 'false' THEN
        PERFORM memory.note('part', coalesce(NEW.import_id, OLD.import_id));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_part AFTER INSERT OR UPDATE OR DELETE ON memory.import_parts
FOR EACH ROW EXECUTE FUNCTION memory.note_part();

-- Add up what this transaction has changed since it last did, and leave nothing to add. Holds the workspace's row of
-- `usage` from here to the end of the transaction, so it is called last.
CREATE FUNCTION memory.add_up(OUT memories bigint, OUT bytes bigint, OUT tally bigint[])
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    held text := current_setting('memory.tally', true);
BEGIN
    IF coalesce(held, '') IN ('', '{0,0,0,0,0}') THEN
        RETURN;
    END IF;
    tally := held;
    held := set_config('memory.tally', '', true);
    UPDATE memory.usage u
    SET memories = u.memories + tally[1], relationships = u.relationships + tally[2], bytes = u.bytes + tally[3]
    WHERE u.workspace_id = memory.workspace()
    RETURNING u.memories, u.bytes INTO memories, bytes;
    IF NOT FOUND THEN -- the first of its workspace
        INSERT INTO memory.usage AS u (workspace_id, memories, relationships, bytes)
        VALUES (memory.workspace(), tally[1], tally[2], tally[3])
        ON CONFLICT (workspace_id) DO UPDATE SET
            memories = u.memories + excluded.memories, relationships = u.relationships + excluded.relationships,
            bytes = u.bytes + excluded.bytes
        RETURNING u.memories, u.bytes INTO memories, bytes;
    END IF;
END
$$;

-- End an operation on one thing; `changed` names it when it is a memory. One that grows needs room for all of its text,
-- because its earlier state is kept. One that does not is always taken: where there is no room for another earlier
-- state, its oldest give way, so that it takes no more room with them than before.
CREATE FUNCTION memory.settle(changed text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    used record := memory.add_up();
    tally bigint[] := used.tally;
    limits bigint[];
BEGIN
    IF tally IS NULL THEN
        RETURN FALSE;
    END IF;
    limits := nullif(current_setting('memory.limits', true), '')::bigint[];
    IF tally[1] > 0 AND used.memories > limits[1] THEN
        RAISE EXCEPTION 'no room for another memory' USING ERRCODE = 'MG41M';
    END IF;
    IF tally[5] > 0 AND used.bytes - tally[3] + tally[4] > limits[2] THEN
        RAISE EXCEPTION 'no room for more bytes' USING ERRCODE = 'MG41B';
    END IF;
    IF tally[4] > 0 AND tally[5] = 0 AND used.bytes > limits[2] THEN
        DELETE FROM memory.memory_versions v WHERE v.id = changed AND v.version IN (
            SELECT s.version FROM (
                SELECT o.version, sum(memory.size(o)) OVER (ORDER BY o.version) - memory.size(o) AS older
                FROM memory.memory_versions o WHERE o.id = changed
            ) s
            JOIN memory.memories m ON m.id = changed
            WHERE s.older < memory.size(m)
        );
        used := memory.add_up();
    END IF;
    RETURN TRUE;
END
$$;

-- End an operation on many things: when each has room, whatever the order. Else it fails, and they are taken in order,
-- one by one.
CREATE FUNCTION memory.settle_all()
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    used record := memory.add_up();
    tally bigint[] := used.tally;
    limits bigint[] := nullif(current_setting('memory.limits', true), '')::bigint[];
BEGIN
    IF (tally[1] > 0 AND used.memories > limits[1]) OR (tally[4] > 0 AND used.bytes - tally[3] + tally[4] > limits[2])
    THEN
        RAISE EXCEPTION 'not certain that each has room' USING ERRCODE = 'MG41X';
    END IF;
    RETURN tally IS NOT NULL;
END
$$;

CREATE FUNCTION memory.read_usage(workspace text)
RETURNS TABLE (memories bigint, relationships bigint, bytes bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY SELECT u.memories, u.relationships, u.bytes FROM memory.usage u;
END
$$;

-- Operations of 0003, 0005 and 0007, which now settle. What is deleted takes the answers about it along.

CREATE OR REPLACE FUNCTION memory.put(workspace text, columns jsonb, once jsonb)
RETURNS SETOF memory.memory_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settled boolean;
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
    settled := memory.settle(stored.id);
    RETURN NEXT stored;
END
$$;

CREATE OR REPLACE FUNCTION memory.change(
    workspace text, wanted text, changes jsonb, versions bigint[], moments bigint[]
)
RETURNS TABLE (current_version bigint, current_at bigint, changed memory.memory_row)
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
    settled := memory.settle(wanted);
END
$$;

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
    DELETE FROM memory.memory_versions v WHERE v.id = wanted;
    WITH gone AS (
        DELETE FROM memory.relationships r WHERE r.id IN (
            SELECT old.id FROM memory.relationships old
            WHERE old.from_id = wanted OR old.to_id = wanted
            ORDER BY old.id FOR UPDATE
        )
        RETURNING r.id
    )
    DELETE FROM memory.idempotency i WHERE i.about IN (SELECT wanted COLLATE "C" UNION ALL SELECT gone.id FROM gone);
    settled := memory.settle(NULL);
    RETURN NEXT;
END
$$;

CREATE OR REPLACE FUNCTION memory.relate(workspace text, columns jsonb, same_since bigint, once jsonb)
RETURNS TABLE (from_known boolean, to_known boolean, made memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    settled boolean;
    new memory.relationships;
    held memory.relationships;
    earlier jsonb;
    known text[];
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF once IS NOT NULL THEN
        earlier := memory.answered(once);
        IF earlier IS NOT NULL THEN
            made := jsonb_populate_record(NULL::memory.relationship_row, earlier);
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    new := memory.new_relationship(columns);
    PERFORM memory.hold_type(new.type);
    known := memory.hold_ends(ARRAY[new.from_id, new.to_id]);
    from_known := new.from_id = ANY (known);
    to_known := new.to_id = ANY (known);
    held := memory.same(new, same_since);
    -- What had ended when it was recorded closes no cycle.
    IF held.id IS NULL AND from_known AND to_known AND (
        coalesce(new.valid_until <= new.recorded_at, FALSE)
        OR NOT memory.leads(new.to_id, new.from_id, new.type, new.recorded_at)
    ) THEN
        INSERT INTO memory.relationships SELECT new.*;
        held := new;
    END IF;
    IF held.id IS NOT NULL THEN
        made := memory.shown(held);
        IF once IS NOT NULL THEN
            PERFORM memory.answer(once, to_jsonb(made));
        END IF;
    END IF;
    settled := memory.settle(NULL);
    RETURN NEXT;
END
$$;

CREATE OR REPLACE FUNCTION memory.amend(workspace text, wanted text, changes jsonb, versions bigint[], moments bigint[])
RETURNS TABLE (current_version bigint, current_at bigint, changed memory.relationship_row)
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
        FROM memory.relationships r WHERE r.id = wanted FOR NO KEY UPDATE;
        IF FOUND AND NOT memory.expected(current_version, current_at, versions, moments) THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    UPDATE memory.relationships r SET
        (strength, confidence, context, structure, updated_at, updated_by_key, updated_by_account, updated_by_agent,
         version)
        = (
            SELECT n.strength, n.confidence, n.context, n.structure, memory.later(n.updated_at, r.updated_at),
                n.updated_by_key, n.updated_by_account, n.updated_by_agent, r.version + 1
            FROM jsonb_populate_record(r, changes) n
        )
    WHERE r.id = wanted
    RETURNING r.version, r.updated_at, memory.shown(r);
    settled := memory.settle(NULL);
END
$$;

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
    DELETE FROM memory.idempotency i WHERE i.about = wanted;
    settled := memory.settle(NULL);
    RETURN NEXT;
END
$$;

CREATE OR REPLACE FUNCTION memory.invalidate(
    workspace text, wanted text, at bigint, superseding text, reason text, author jsonb
)
RETURNS SETOF memory.relationship_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    settled boolean;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    UPDATE memory.relationships r SET
        valid_until = greatest(r.valid_from, at), invalidated_by = superseding, invalidation_reason = reason,
        updated_at = memory.later(at, r.updated_at), version = r.version + 1,
        updated_by_key = author ->> 'updated_by_key', updated_by_account = author ->> 'updated_by_account',
        updated_by_agent = author ->> 'updated_by_agent'
    WHERE r.id = wanted AND (r.valid_until IS NULL OR r.valid_until > greatest(r.valid_from, at));
    RETURN QUERY SELECT (memory.shown(r)).* FROM memory.relationships r WHERE r.id = wanted;
    settled := memory.settle(NULL);
END
$$;

-- Store many memories; what became of each, in order. With `atomic` all or none, else those that have room: `refused`
-- says what the others have no room for.
CREATE FUNCTION memory.store_rows(rows jsonb, atomic boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    settled boolean;
    stored jsonb;
    columns jsonb;
    one jsonb;
BEGIN
    BEGIN
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', s.id, 'version', s.version, 'created_at', s.created_at, 'updated_at', s.updated_at
        ) ORDER BY sent.place), '[]')
        INTO stored
        FROM memory.store(rows) s
        JOIN jsonb_array_elements(rows) WITH ORDINALITY sent (columns, place) ON sent.columns ->> 'id' = s.id;
        settled := memory.settle_all();
        RETURN stored;
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
    RETURN stored;
END
$$;

CREATE FUNCTION memory.put_rows(workspace text, rows jsonb, once jsonb, atomic boolean)
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
        IF once IS NOT NULL THEN
            PERFORM memory.answer(once, stored);
        END IF;
    END IF;
    RETURN QUERY
    SELECT s.id, s.version, s.created_at, s.updated_at, s.refused
    FROM jsonb_to_recordset(stored) s (id text, version bigint, created_at bigint, updated_at bigint, refused text);
END
$$;

-- As the version before calls it.
CREATE OR REPLACE FUNCTION memory.put_many(workspace text, rows jsonb, once jsonb)
RETURNS TABLE (id text, version bigint, created_at bigint, updated_at bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.id, p.version, p.created_at, p.updated_at FROM memory.put_rows(workspace, rows, once, TRUE) p
$$;

-- Store memories with their own times, unless what is there is as new: those that were stored, and whether each is new.
CREATE FUNCTION memory.bring_in(rows jsonb)
RETURNS TABLE (id text, created boolean)
LANGUAGE sql VOLATILE
AS $$
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
    RETURNING m.id, m.xmax = 0
$$;

-- The outcome of each that was not left as it was: one of `Outcome` in functions/memories/transfer/model.py.
CREATE FUNCTION memory.take_memories(workspace text, rows jsonb)
RETURNS TABLE (id text, outcome text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    settled boolean;
    columns jsonb;
    found jsonb;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
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

-- As the version before calls it.
CREATE OR REPLACE FUNCTION memory.import_memories(workspace text, rows jsonb)
RETURNS TABLE (id text, created boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.id, t.outcome = 'created' FROM memory.take_memories(workspace, rows) t
$$;

-- As in 0007, and `over_bytes` for what has no room.
CREATE OR REPLACE FUNCTION memory.import_relationships(workspace text, rows jsonb, timeless boolean)
RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off -- see memory.leads
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    settled boolean;
    outcomes text[] := '{}';
    known text[];
    outcome text;
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
    BEGIN
        FOR columns IN SELECT value FROM jsonb_array_elements(rows) LOOP
            outcomes := outcomes || memory.take_in(memory.new_relationship(columns), timeless, known);
        END LOOP;
        settled := memory.settle_all();
        RETURN outcomes;
    EXCEPTION WHEN SQLSTATE 'MG41X' THEN
        outcomes := '{}';
    END;
    FOR columns IN SELECT value FROM jsonb_array_elements(rows) LOOP
        BEGIN
            outcome := memory.take_in(memory.new_relationship(columns), timeless, known);
            settled := memory.settle(NULL);
        EXCEPTION WHEN SQLSTATE 'MG41B' THEN
            outcome := 'over_bytes';
        END;
        outcomes := outcomes || outcome;
    END LOOP;
    RETURN outcomes;
END
$$;

GRANT EXECUTE ON FUNCTION
    memory.enter(text, bigint), memory.enter(text, bigint, bigint, bigint), memory.read_usage, memory.put_rows,
    memory.take_memories
TO memories;
GRANT EXECUTE ON FUNCTION memory.enter(text, bigint), memory.read_usage, memory.export_page, memory.totals TO accounts;
GRANT EXECUTE ON FUNCTION memory.enter(text, bigint), memory.read_usage TO provisioning;
GRANT USAGE ON TYPE memory.memory_row, memory.relationship_row TO accounts;

RESET ROLE;
