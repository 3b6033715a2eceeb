-- A move keeps writers out for seconds that end by themselves, and its work is one worker's at a time. See 0015, and
-- functions/provisioning/moves.py for the order of its steps.
--
-- `paused_until`: writes are refused until then, by the clock of this database, while the workspace is open: who paused
-- it and died keeps nobody out. A clock that is set back prolongs no pause past PAUSE_MOST, 15 seconds.
-- `worker`: who may write below the fence of a workspace that is closed. Whoever closes it names itself anew, and what
-- others had sent before comes too late.

SET LOCAL ROLE memory_owner;

ALTER TABLE memory.fences ADD COLUMN paused_until timestamptz, ADD COLUMN worker text;

CREATE FUNCTION memory.is_paused(paused_until timestamptz)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    SELECT coalesce(
        paused_until > clock_timestamp() AND paused_until <= clock_timestamp() + interval '15 seconds', FALSE
    )
$$;

-- As in 0010, and not while it is paused.
CREATE OR REPLACE FUNCTION memory.enter(workspace text, epoch bigint, memories_most bigint, bytes_most bigint)
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
    IF coalesce(held.epoch, 1) <> epoch OR held.mode <> 'open'
        OR (held.paused_until IS NOT NULL AND memory.is_paused(held.paused_until))
    THEN
        RAISE EXCEPTION 'the workspace is not here, not at this epoch, or takes no writes' USING ERRCODE = 'MG421';
    END IF;
    journal := set_config('memory.journal', coalesce(held.journal, FALSE)::text, true);
    RETURN here;
END
$$;

-- Take no writes for so long. None is at work any more when this ends. False: the workspace is not open at this epoch.
CREATE FUNCTION memory.pause(workspace text, at_epoch bigint, seconds double precision)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.open_workspace(workspace), memory.hold_fence(workspace);
    UPDATE memory.fences f SET paused_until = clock_timestamp() + make_interval(secs => seconds)
    WHERE f.epoch = at_epoch AND f.mode = 'open';
    RETURN FOUND;
END
$$;

-- Take none for so long from now on. False: the pause has ended meanwhile, and somebody may have written.
CREATE FUNCTION memory.prolong_pause(workspace text, at_epoch bigint, seconds double precision)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.hold_fence(workspace);
    UPDATE memory.fences f SET paused_until = clock_timestamp() + make_interval(secs => seconds)
    WHERE f.epoch = at_epoch AND f.mode = 'open' AND memory.is_paused(f.paused_until);
    RETURN FOUND;
END
$$;

CREATE FUNCTION memory.end_pause(workspace text, at_epoch bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.hold_fence(workspace);
    UPDATE memory.fences f SET paused_until = NULL WHERE f.epoch = at_epoch;
END
$$;

-- Close the workspace at an epoch, for this worker alone. Nothing that others had begun is at work any more when this
-- ends. False: it is at a later epoch, or at this one and not closed.
CREATE FUNCTION memory.take_over(workspace text, at_epoch bigint, new_worker text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.hold_fence(workspace);
    INSERT INTO memory.fences AS f (workspace_id, epoch, mode, worker)
    VALUES (memory.workspace(), at_epoch, 'closed', new_worker)
    ON CONFLICT (workspace_id) DO UPDATE
    SET epoch = excluded.epoch, mode = excluded.mode, worker = excluded.worker, paused_until = NULL
    WHERE f.epoch < excluded.epoch OR (f.epoch = excluded.epoch AND f.mode = 'closed');
    RETURN FOUND;
END
$$;

-- End the work of this worker: the workspace is in this mode from now on. False: it is another's. Again: true.
CREATE FUNCTION memory.hand_over(workspace text, at_epoch bigint, old_worker text, new_mode text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.hold_fence(workspace);
    UPDATE memory.fences f SET mode = new_mode, worker = NULL
    WHERE f.epoch = at_epoch AND f.mode = 'closed' AND f.worker = old_worker;
    RETURN EXISTS (SELECT FROM memory.fences f WHERE f.epoch = at_epoch AND f.mode = new_mode AND f.worker IS NULL);
END
$$;

-- What a worker calls with, in the place of the workspace.
CREATE FUNCTION memory.working(workspace text, worker text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named text := set_config('memory.worker', coalesce(worker, ''), true);
BEGIN
    RETURN workspace;
END
$$;

-- As in 0015, and only for the worker that holds the workspace; the version before names none.
CREATE OR REPLACE FUNCTION memory.work_behind(workspace text, epoch bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    named text := coalesce(current_setting('memory.worker', true), '');
BEGIN
    PERFORM set_config('memory.workspace', workspace, true), set_config('memory.tally', '', true);
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('fence ' || memory.workspace()::text, 0));
    IF NOT EXISTS (
        SELECT FROM memory.fences f
        WHERE f.epoch = work_behind.epoch AND f.mode = 'closed' AND coalesce(f.worker, '') = named
    ) THEN
        RAISE EXCEPTION 'the workspace is not closed at this epoch for this worker' USING ERRCODE = 'MG421';
    END IF;
END
$$;

-- As in 0015, of a workspace that this worker holds: a runner that was frozen must not end the journal of a later move.
CREATE FUNCTION memory.end_journal(workspace text, epoch bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM memory.work_behind(workspace, epoch);
    UPDATE memory.fences f SET journal = FALSE WHERE f.journal;
    DELETE FROM memory.journal j;
END
$$;

GRANT EXECUTE ON FUNCTION
    memory.pause, memory.prolong_pause, memory.end_pause, memory.take_over, memory.hand_over, memory.working,
    memory.end_journal(text, bigint)
TO provisioning;

RESET ROLE;
SET LOCAL ROLE app_owner;

-- As in 0008, and not past a moment, by the clock of this database: then the pause of the store may be over. Again: true
-- when it was done. Null: too late.
CREATE FUNCTION app.flip_store(
    workspace_id uuid, from_epoch bigint, to_epoch bigint, kind text, url text, token text,
    token_expires_at timestamptz, schema_version integer, before timestamptz
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM app.workspaces w WHERE w.id = flip_store.workspace_id FOR NO KEY UPDATE; -- whoever waits looks at the clock after it
    IF clock_timestamp() >= before AND EXISTS (
        SELECT FROM app.workspaces w
        WHERE w.id = flip_store.workspace_id AND w.epoch = from_epoch AND w.move_epoch = to_epoch
    ) THEN
        RETURN NULL;
    END IF;
    RETURN app.flip_store(workspace_id, from_epoch, to_epoch, kind, url, token, token_expires_at, schema_version);
END
$$;

-- What the store of a workspace is to refuse: 'writes', 'all', or (null) nothing.
CREATE FUNCTION app.read_suspended(workspace_id uuid)
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT w.suspended FROM app.workspaces w WHERE w.id = read_suspended.workspace_id $$;

GRANT EXECUTE ON FUNCTION
    app.flip_store(uuid, bigint, bigint, text, text, text, timestamptz, integer, timestamptz), app.read_suspended(uuid)
TO provisioning;

RESET ROLE;
