-- What is done with single relationships. See 0002.

SET LOCAL ROLE memory_owner;

-- Relationships of a memory are read by the index of its side, whatever the planner believes: of a workspace that its
-- statistics do not know, it takes few rows for granted, and any index that begins with the workspace is as good to it.
-- So they are asked for in order of that end, which no other index gives, and nothing else may give it (SET below). The
-- end stands between two bounds because the order of what equals one value is no order.

-- Whether a memory leads to another one over relationships of a type: the current ones, and those that end after
-- `beyond` (null: none of them). Asked from both ends, each time for more: as a rule one of them is soon at its end,
-- since what is new has few relationships.
CREATE FUNCTION memory.leads(start text, goal text, over text, beyond bigint)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    most bigint := 32;
    read bigint;
    met boolean;
BEGIN
    LOOP
        WITH RECURSIVE reached (id) AS (
            SELECT start COLLATE "C"
            UNION
            SELECT next.to_id FROM reached CROSS JOIN LATERAL (
                SELECT r.to_id FROM memory.relationships r
                WHERE r.from_id >= reached.id AND r.from_id <= reached.id AND r.type = over
                    AND (r.valid_until IS NULL OR r.valid_until > beyond)
                ORDER BY r.from_id OFFSET 0
            ) next
        )
        SELECT count(*), bool_or(r.id = goal) INTO read, met FROM (SELECT reached.id FROM reached LIMIT most) r;
        IF met OR read < most THEN
            RETURN met;
        END IF;
        WITH RECURSIVE reached (id) AS (
            SELECT goal COLLATE "C"
            UNION
            SELECT next.from_id FROM reached CROSS JOIN LATERAL (
                SELECT r.from_id FROM memory.relationships r
                WHERE r.to_id >= reached.id AND r.to_id <= reached.id AND r.type = over
                    AND (r.valid_until IS NULL OR r.valid_until > beyond)
                ORDER BY r.to_id OFFSET 0
            ) next
        )
        SELECT count(*), bool_or(r.id = start) INTO read, met FROM (SELECT reached.id FROM reached LIMIT most) r;
        IF met OR read < most THEN
            RETURN met;
        END IF;
        most := most * 8;
    END LOOP;
END
$$;

-- The relationship that has the id of a new one, which may have been sent before, or else the first of those that are
-- the same as it, recorded at `since` or later.
CREATE FUNCTION memory.same(new memory.relationships, since bigint)
RETURNS memory.relationships
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    held memory.relationships;
BEGIN
    SELECT r.* INTO held FROM memory.relationships r WHERE r.id >= new.id AND r.id <= new.id ORDER BY r.id LIMIT 1;
    IF FOUND THEN
        RETURN held;
    END IF;
    SELECT s.* INTO held FROM (
        SELECT r.* FROM memory.relationships r
        WHERE r.from_id >= new.from_id AND r.from_id <= new.from_id AND r.to_id = new.to_id AND r.type = new.type
            AND r.strength = new.strength AND r.confidence = new.confidence
            AND r.context IS NOT DISTINCT FROM new.context
            AND r.recorded_at >= since AND r.valid_until IS NOT DISTINCT FROM new.valid_until
            AND CASE new.valid_from
                WHEN new.recorded_at THEN r.valid_from = r.recorded_at
                ELSE r.valid_from <> r.recorded_at AND r.valid_from = new.valid_from
            END
        ORDER BY r.from_id OFFSET 0
    ) s
    ORDER BY s.recorded_at, s.id LIMIT 1;
    RETURN held;
END
$$;

-- Let nobody else make relationships of a type until the end of the transaction, so that none closes a cycle with one
-- that is not yet to be seen.
CREATE FUNCTION memory.hold_type(type text)
RETURNS void
LANGUAGE sql VOLATILE
AS $$ SELECT pg_advisory_xact_lock(hashtextextended(memory.workspace()::text || type, 0)) $$;

-- Those of some memories that there are; they stay until the end of the transaction.
CREATE FUNCTION memory.hold_ends(ids text[])
RETURNS text[]
LANGUAGE plpgsql VOLATILE -- planned once a session: to plan it takes 0.7 ms, to run it 0.03
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN ARRAY(SELECT m.id FROM memory.memories m WHERE m.id = ANY (ids) ORDER BY m.id FOR KEY SHARE);
END
$$;

-- `columns` holds every column but workspace_id.
CREATE FUNCTION memory.relate(workspace text, columns jsonb, same_since bigint, once jsonb)
RETURNS TABLE (from_known boolean, to_known boolean, made memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
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
    RETURN NEXT;
END
$$;

CREATE FUNCTION memory.relationship(workspace text, wanted text)
RETURNS SETOF memory.relationship_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    RETURN QUERY SELECT (memory.shown(r)).* FROM memory.relationships r WHERE r.id = wanted;
END
$$;

-- As memory.change.
CREATE FUNCTION memory.amend(workspace text, wanted text, changes jsonb, versions bigint[], moments bigint[])
RETURNS TABLE (current_version bigint, current_at bigint, changed memory.relationship_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
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
END
$$;

-- As memory.remove.
CREATE FUNCTION memory.unrelate(workspace text, wanted text, versions bigint[], moments bigint[])
RETURNS TABLE (known boolean, current_version bigint, current_at bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
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
    RETURN NEXT;
END
$$;

-- Move a number by a step, no further than `lowest` or `highest`, and not back when it is beyond.
CREATE FUNCTION memory.moved(
    start double precision, step double precision, lowest double precision, highest double precision
)
RETURNS double precision
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN step >= 0 THEN greatest(start, least(highest, start + step))
        ELSE least(start, greatest(lowest, start + step))
    END
$$;

-- `token` names this observation: sent twice, it counts once. `author` holds the columns updated_by_*.
CREATE FUNCTION memory.reinforce(
    workspace text, wanted text, token text, success boolean, strength_step double precision,
    confidence_step double precision, lowest double precision, highest double precision, at bigint, author jsonb,
    once jsonb
)
RETURNS SETOF memory.relationship_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    earlier jsonb;
    counted memory.relationship_row;
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    IF once IS NOT NULL THEN
        earlier := memory.answered(once);
        IF earlier IS NOT NULL THEN
            RETURN NEXT jsonb_populate_record(NULL::memory.relationship_row, earlier);
            RETURN;
        END IF;
    END IF;
    UPDATE memory.relationships r SET
        strength = memory.moved(r.strength, strength_step, lowest, highest),
        confidence = memory.moved(r.confidence, confidence_step, lowest, highest),
        evidence_count = r.evidence_count + 1,
        validation_count = r.validation_count + success::integer,
        counter_evidence_count = r.counter_evidence_count + (NOT success)::integer,
        last_validated = at, updated_at = memory.later(at, r.updated_at), version = r.version + 1,
        reinforced_as = token,
        updated_by_key = author ->> 'updated_by_key', updated_by_account = author ->> 'updated_by_account',
        updated_by_agent = author ->> 'updated_by_agent'
    WHERE r.id = wanted AND r.reinforced_as IS DISTINCT FROM token;
    SELECT (memory.shown(r)).* INTO counted FROM memory.relationships r WHERE r.id = wanted;
    IF FOUND THEN
        IF once IS NOT NULL THEN
            PERFORM memory.answer(once, to_jsonb(counted));
        END IF;
        RETURN NEXT counted;
    END IF;
END
$$;

CREATE FUNCTION memory.invalidate(
    workspace text, wanted text, at bigint, superseding text, reason text, author jsonb
)
RETURNS SETOF memory.relationship_row
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    UPDATE memory.relationships r SET
        valid_until = greatest(r.valid_from, at), invalidated_by = superseding, invalidation_reason = reason,
        updated_at = memory.later(at, r.updated_at), version = r.version + 1,
        updated_by_key = author ->> 'updated_by_key', updated_by_account = author ->> 'updated_by_account',
        updated_by_agent = author ->> 'updated_by_agent'
    WHERE r.id = wanted AND (r.valid_until IS NULL OR r.valid_until > greatest(r.valid_from, at));
    RETURN QUERY SELECT (memory.shown(r)).* FROM memory.relationships r WHERE r.id = wanted;
END
$$;

GRANT EXECUTE ON FUNCTION
    memory.relate, memory.relationship, memory.amend, memory.unrelate, memory.reinforce, memory.invalidate
TO memories;

RESET ROLE;
