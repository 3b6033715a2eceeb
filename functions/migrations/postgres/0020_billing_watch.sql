-- What the sweep and the nightly look ask besides (functions/provisioning/{grace,misplaced,reconcile}.py). All of it is
-- granted to provisioning only.
--
-- Run like 0001.

SET LOCAL ROLE app_owner;

-- Workspaces whose payment is due and whose grace ends after `at` and not after `until`, by id, after `after`.
CREATE FUNCTION app.list_graces(at timestamptz, until timestamptz, after uuid, most integer)
RETURNS TABLE (workspace_id uuid, plan text, grace_until timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.workspace_id, s.plan, s.grace_until
    FROM app.subscriptions s JOIN app.workspaces w ON w.id = s.workspace_id
    WHERE s.live AND s.grace_until > at AND s.grace_until <= list_graces.until AND w.closed_at IS NULL
        AND (list_graces.after IS NULL OR s.workspace_id > list_graces.after)
    ORDER BY s.workspace_id LIMIT list_graces.most
$$;

-- Workspaces whose store is not of the kind that `kinds` says of their plan, by id, after `after`, and what was measured
-- of them last. `moving`: a move is waiting or under way; `moved`: one has ended within a day. Those that are marked for
-- another reason than their size stay where they are.
CREATE FUNCTION app.list_misplaced(kinds jsonb, too_large text, after uuid, most integer)
RETURNS TABLE (
    workspace_id uuid, plan text, noted boolean, memories bigint, bytes bigint, moving boolean, moved boolean
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id, w.plan, w.store_note IS NOT NULL, used.memories, used.bytes, coalesce(jobs.moving, false),
        coalesce(jobs.moved, false)
    FROM app.workspaces w
    LEFT JOIN LATERAL (
        SELECT u.memories, u.bytes FROM app.usage_daily u
        WHERE u.workspace_id = w.id AND u.measured_at IS NOT NULL ORDER BY u.day DESC LIMIT 1
    ) used ON true
    LEFT JOIN LATERAL (
        SELECT bool_or(j.finished_at IS NULL) AS moving, bool_or(j.finished_at > now() - interval '1 day') AS moved
        FROM app.jobs j WHERE j.kind = 'move_store' AND j.subject = w.id
    ) jobs ON true
    WHERE w.store_kind <> kinds ->> w.plan AND w.store_url IS NOT NULL AND w.closed_at IS NULL
        AND w.suspended IS NULL AND coalesce(w.store_note, too_large) = too_large
        AND (list_misplaced.after IS NULL OR w.id > list_misplaced.after)
    ORDER BY w.id LIMIT list_misplaced.most
$$;

-- Mail the owner of a workspace, once for `what` at this level, until app.untell_owners. False: they were told already,
-- or there is no such workspace.
CREATE FUNCTION app.tell_owner(workspace uuid, what text, level integer, template text, data jsonb)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO app.quota_marks (workspace_id, what, level)
    SELECT w.id, tell_owner.what, tell_owner.level FROM app.workspaces w WHERE w.id = workspace
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM app.mail_owner(workspace, template, data);
    RETURN true;
END
$$;

-- It is no longer so, except in these workspaces: the next time their owners are told again.
CREATE FUNCTION app.untell_owners(what text, but uuid[])
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM app.quota_marks q
    WHERE q.what = untell_owners.what AND q.workspace_id IS NOT NULL AND q.workspace_id <> ALL (but)
$$;

-- `open`, `closed`, or `erased` (with the account that owned it); null: there never was such a workspace. It is named as
-- a customer at Stripe names it, where anything may stand.
CREATE FUNCTION app.workspace_standing(named text)
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT CASE WHEN w.closed_at IS NULL THEN 'open' ELSE 'closed' END
            FROM app.workspaces w WHERE w.id::text = named),
        (SELECT 'erased' WHERE EXISTS (SELECT FROM app.erased e WHERE named = ANY (e.workspaces::text[])))
    )
$$;

-- Customers and their workspaces, which were closed before this; a hundred at most.
CREATE FUNCTION app.list_ended_payers(before timestamptz)
RETURNS TABLE (customer text, workspace_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.stripe_customer, w.id FROM app.workspaces w
    WHERE w.closed_at < before AND w.stripe_customer IS NOT NULL
    ORDER BY w.id LIMIT 100
$$;

GRANT EXECUTE ON FUNCTION
    app.list_graces(timestamptz, timestamptz, uuid, integer),
    app.list_misplaced(jsonb, text, uuid, integer),
    app.tell_owner(uuid, text, integer, text, jsonb),
    app.untell_owners(text, uuid[]),
    app.workspace_standing(text),
    app.list_ended_payers(timestamptz)
TO provisioning;

RESET ROLE;
