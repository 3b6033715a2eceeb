-- Backups: who reads everything, which stores were backed up when, and where a restore is tried.
--
--   backup         may read every table of both schemas and write none of them; makes tables in `scratch`, in a
--                  transaction that is rolled back (functions/provisioning/backups/checking.py)
--   provisioning   the functions of this file that begin, note and list
--
-- Who adds a table later adds to its migration what the end of this file does for those before. A test compares.
--
-- Run like 0001.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'backup') THEN
        CREATE ROLE backup NOLOGIN NOINHERIT;
    END IF;
END
$$;

ALTER ROLE backup SET default_transaction_read_only = on;
ALTER ROLE backup SET statement_timeout = '20min';
ALTER ROLE backup SET idle_in_transaction_session_timeout = '10min';
ALTER ROLE backup SET jit = off;

GRANT USAGE ON SCHEMA app, memory TO backup;
CREATE SCHEMA scratch;
REVOKE ALL ON SCHEMA scratch FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA scratch TO backup;

-- The provider's own table, which has no row-level security: which migrations a backup was made with. It is not there
-- when this runs alone.
DO $$
BEGIN
    IF to_regclass('app.schema_migrations') IS NOT NULL THEN
        GRANT SELECT ON app.schema_migrations TO backup;
    END IF;
END
$$;

-- Who may sign in, of Supabase Auth: its tables are not ours, but `postgres`, who runs this, may read them. Nothing
-- where there is no such schema. Not in `app`, where all is app_owner's, who may not.
CREATE SCHEMA backup;
REVOKE ALL ON SCHEMA backup FROM PUBLIC;
GRANT USAGE ON SCHEMA backup TO backup;

CREATE FUNCTION backup.export_auth(name text)
RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF name NOT IN ('users', 'identities') THEN
        RAISE EXCEPTION 'only users and identities are backed up';
    END IF;
    IF to_regclass('auth.' || name) IS NOT NULL THEN
        RETURN QUERY EXECUTE format('SELECT to_jsonb(t) FROM auth.%I t', name);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION backup.export_auth(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION backup.export_auth(text) TO backup;

SET LOCAL ROLE app_owner;

-- One backup of everything. `control` is the object with the control plane, `manifest` the one that is written last.
CREATE TABLE app.backup_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    began_at timestamptz NOT NULL DEFAULT now(),
    claim uuid NOT NULL, -- who is at work at it
    held_until timestamptz NOT NULL,
    control text,
    manifest text,
    finished_at timestamptz, -- without a manifest: it was given up
    failed integer NOT NULL DEFAULT 0, -- stores that could not be backed up
    checked_at timestamptz, -- when it was restored into scratch
    check_error text -- null: what was restored is what was backed up
);
CREATE UNIQUE INDEX backup_runs_one_open ON app.backup_runs ((true)) WHERE finished_at IS NULL;

-- The newest backup of a workspace's store, and the run that looked at it last. Rows go with their workspace; objects
-- end by themselves.
CREATE TABLE app.backup_stores (
    workspace_id uuid PRIMARY KEY REFERENCES app.workspaces ON DELETE CASCADE,
    run uuid NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    mark text, -- of what was in it
    object text, -- the index of the newest backup
    written_at timestamptz,
    looked_at timestamptz, -- when the store was last found to be as in that backup
    attempts integer NOT NULL DEFAULT 0, -- of this run
    error text
);
ALTER TABLE app.backup_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.backup_stores ENABLE ROW LEVEL SECURITY;

-- The run that is under way, held by `claim` for so long from now; `fresh`: a new one when there is none, or only one
-- that began more than 20 hours ago. No row: there is none, or another one is at work at it.
CREATE FUNCTION app.hold_backup(claim uuid, lease interval, fresh boolean)
RETURNS TABLE (run uuid, began_at timestamptz, control text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('app.hold_backup', 0));
    IF fresh THEN
        UPDATE app.backup_runs r SET finished_at = now()
        WHERE r.finished_at IS NULL AND r.began_at < now() - interval '20 hours' AND r.held_until <= clock_timestamp();
        INSERT INTO app.backup_runs (claim, held_until)
        SELECT hold_backup.claim, clock_timestamp() + lease
        WHERE NOT EXISTS (SELECT FROM app.backup_runs r WHERE r.finished_at IS NULL);
        DELETE FROM app.backup_runs r WHERE r.finished_at < now() - interval '60 days';
    END IF;
    RETURN QUERY
    UPDATE app.backup_runs r SET claim = hold_backup.claim, held_until = clock_timestamp() + lease
    WHERE r.finished_at IS NULL AND (r.claim = hold_backup.claim OR r.held_until <= clock_timestamp())
    RETURNING r.id, r.began_at, r.control;
END
$$;

CREATE FUNCTION app.release_backup(claim uuid)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.backup_runs r SET held_until = clock_timestamp()
    WHERE r.finished_at IS NULL AND r.claim = release_backup.claim
$$;

CREATE FUNCTION app.record_control_backup(run uuid, object text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ UPDATE app.backup_runs r SET control = object WHERE r.id = run AND r.control IS NULL $$;

-- Whether a store may hold something that its newest backup does not: it was called since, it has moved, or nobody has
-- looked for three days. And after seven days it is written anew, since objects end after thirty.
CREATE FUNCTION app.needs_backup(b app.backup_stores, epoch bigint)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.object IS NULL OR b.looked_at IS NULL OR b.error IS NOT NULL OR b.epoch <> needs_backup.epoch
        OR b.written_at < now() - interval '7 days' OR b.looked_at < now() - interval '3 days'
        OR EXISTS (
            SELECT FROM app.usage_daily u
            WHERE u.workspace_id = b.workspace_id AND u.day >= (b.looked_at AT TIME ZONE 'UTC')::date AND u.calls > 0
        )
$$;

-- Stores that this run has still to look at; those that need nothing are passed over, without a look. `mark`: of the
-- newest backup; null: there is none, or it is to be written anew whatever its mark.
CREATE FUNCTION app.list_backups_due(run uuid, most integer, attempts_most integer)
RETURNS TABLE (workspace_id uuid, mark text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE app.backup_stores b SET run = list_backups_due.run, attempts = 0
    FROM app.workspaces w
    WHERE w.id = b.workspace_id AND b.run <> list_backups_due.run AND NOT app.needs_backup(b, w.epoch);
    RETURN QUERY
    SELECT w.id, CASE WHEN b.written_at >= now() - interval '7 days' THEN b.mark END
    FROM app.workspaces w LEFT JOIN app.backup_stores b ON b.workspace_id = w.id
    WHERE w.store_url IS NOT NULL AND w.closed_at IS NULL
        AND (b.run IS DISTINCT FROM list_backups_due.run
            OR b.error IS NOT NULL AND b.attempts < attempts_most)
    ORDER BY (b.run IS NOT DISTINCT FROM list_backups_due.run), w.id -- what failed comes again at the end
    LIMIT most;
END
$$;

-- What became of a store in this run. `object`: it was written anew; null: it is as it was. `error`: neither.
CREATE FUNCTION app.record_backup(
    run uuid, workspace uuid, epoch bigint, mark text, object text, error text
)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO app.backup_stores AS b (workspace_id, run, epoch, mark, object, written_at, looked_at, attempts, error)
    SELECT w.id, record_backup.run, record_backup.epoch, record_backup.mark, record_backup.object,
        CASE WHEN record_backup.object IS NOT NULL THEN now() END,
        CASE WHEN record_backup.error IS NULL THEN now() END, 1, record_backup.error
    FROM app.workspaces w WHERE w.id = record_backup.workspace
    ON CONFLICT (workspace_id) DO UPDATE
    SET run = excluded.run,
        epoch = CASE WHEN excluded.error IS NULL THEN excluded.epoch ELSE b.epoch END,
        mark = CASE WHEN excluded.error IS NULL THEN excluded.mark ELSE b.mark END,
        object = coalesce(excluded.object, b.object),
        written_at = coalesce(excluded.written_at, b.written_at),
        looked_at = coalesce(excluded.looked_at, b.looked_at),
        attempts = CASE WHEN b.run = excluded.run THEN b.attempts ELSE 0 END + 1,
        error = excluded.error
$$;

-- The newest backup of each store, by id, behind `after`.
CREATE FUNCTION app.list_backups(after uuid, most integer)
RETURNS TABLE (workspace_id uuid, object text, error text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.workspace_id, b.object, b.error FROM app.backup_stores b
    JOIN app.workspaces w ON w.id = b.workspace_id
    WHERE (after IS NULL OR b.workspace_id > after) AND w.store_url IS NOT NULL AND w.closed_at IS NULL
    ORDER BY b.workspace_id LIMIT most
$$;

CREATE FUNCTION app.finish_backup(run uuid, manifest text, failed integer)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.backup_runs r
    SET manifest = finish_backup.manifest, failed = finish_backup.failed, finished_at = now()
    WHERE r.id = run AND r.finished_at IS NULL
$$;

-- The newest run that ended with a manifest. `age`: seconds since it began.
CREATE FUNCTION app.newest_backup()
RETURNS TABLE (
    run uuid, manifest text, failed integer, age double precision, checked_at timestamptz, check_error text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.id, r.manifest, r.failed, extract(epoch FROM now() - r.began_at)::double precision, r.checked_at,
        r.check_error
    FROM app.backup_runs r WHERE r.manifest IS NOT NULL ORDER BY r.finished_at DESC LIMIT 1
$$;

CREATE FUNCTION app.record_check(run uuid, error text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ UPDATE app.backup_runs r SET checked_at = now(), check_error = error WHERE r.id = run $$;

CREATE OR REPLACE FUNCTION app.job_is_of_store(kind text)
RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT kind IN (
        'open_store', 'close_store', 'suspend_store', 'renew_token', 'upgrade_schema', 'move_store', 'drop_database',
        'drop_memories', 'restore_store'
    )
$$;

GRANT EXECUTE ON FUNCTION
    app.hold_backup, app.release_backup, app.record_control_backup, app.list_backups_due, app.record_backup,
    app.list_backups, app.finish_backup, app.newest_backup, app.record_check
TO provisioning;

RESET ROLE;

-- What `backup` reads, whatever row-level security says to others. Whoever runs this has what both owners have (0001,
-- 0002).
DO $$
DECLARE
    name regclass;
BEGIN
    FOR name IN
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relnamespace IN ('app'::regnamespace, 'memory'::regnamespace) AND c.relkind = 'r'
            AND c.relname <> 'schema_migrations'
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO backup', name);
        EXECUTE format('CREATE POLICY for_backup ON %s FOR SELECT TO backup USING (true)', name);
    END LOOP;
END
$$;
