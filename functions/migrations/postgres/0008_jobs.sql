-- Jobs: what a change leaves to do outside, written in the change's own transaction (a transactional outbox), and what
-- the jobs of stores need to know and say.
--
-- A job is waiting, running under a lease, done or dead. It may run more than once and may be killed anywhere, so doing
-- it again must come to the same end. Whoever lost a lease cannot finish or fail the job any more: another holds it.
--
--   app.enqueue    app_owner (functions of this schema, inside their transaction) and provisioning
--   the rest       provisioning
--
-- Run like 0001.

SET LOCAL ROLE app_owner;

CREATE TABLE app.jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY, -- the order in which they came
    kind text NOT NULL CHECK (kind <> ''),
    subject uuid, -- the workspace or account that it is about
    payload jsonb NOT NULL DEFAULT '{}', -- see app.job_remains
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL DEFAULT now(), -- not before
    locked_until timestamptz, -- the end of the lease
    claim uuid, -- who holds or held the lease
    last_error text,
    dedupe text,
    reported boolean NOT NULL DEFAULT false, -- its death, to the operator
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX jobs_open_once ON app.jobs (kind, dedupe)
WHERE dedupe IS NOT NULL AND state IN ('waiting', 'running');
CREATE INDEX jobs_open ON app.jobs (run_at) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_open_of ON app.jobs (subject, number) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_ended ON app.jobs (state, finished_at) WHERE state IN ('done', 'dead');
ALTER TABLE app.jobs ENABLE ROW LEVEL SECURITY;

-- The end of the store's token (null: it does not end), and a note of why the store is not where the plan says.
ALTER TABLE app.workspaces ADD COLUMN store_token_expires_at timestamptz;
ALTER TABLE app.workspaces ADD COLUMN store_note text;
-- The epoch that the newest attempt at a move leads to; null when none is under way (functions/provisioning/moves.py).
ALTER TABLE app.workspaces ADD COLUMN move_epoch bigint;
-- The newest migration that its own database has.
ALTER TABLE app.workspaces ADD COLUMN store_schema integer NOT NULL DEFAULT 0;

-- How often a job is begun before it is dead: with the pauses below about four hours.
CREATE FUNCTION app.job_attempts_most()
RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT 15 $$;

-- How long a job that failed waits: 5 s, doubled with each attempt, an hour at most, spread by half of it either way.
CREATE FUNCTION app.job_pause(attempts integer)
RETURNS interval
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT least(interval '5 seconds' * power(2, least(attempts, 20) - 1), interval '1 hour') * (0.5 + random()) $$;

-- Jobs of these kinds change a workspace's store: of one workspace, one at a time, in the order in which they came.
CREATE FUNCTION app.job_is_of_store(kind text)
RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT kind IN (
        'open_store', 'close_store', 'suspend_store', 'renew_token', 'upgrade_schema', 'move_store', 'drop_database',
        'drop_memories'
    )
$$;

-- What is kept of a payload when the job is over: nothing once it is done, and of a mail that could not be sent neither
-- the address nor the link, which may open something.
CREATE FUNCTION app.job_remains(kind text, payload jsonb, state text)
RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN state = 'done' THEN '{}'
        WHEN state = 'dead' AND kind = 'send_mail' THEN jsonb_build_object('template', payload -> 'template')
        ELSE payload
    END
$$;

-- A job to do; its id. While one of this kind and `dedupe` is waiting or running, that one is kept and its id given.
CREATE FUNCTION app.enqueue(
    kind text, subject uuid, payload jsonb DEFAULT '{}', dedupe text DEFAULT NULL, delay interval DEFAULT '0'
)
RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    job uuid;
BEGIN
    LOOP
        INSERT INTO app.jobs (kind, subject, payload, dedupe, run_at)
        VALUES (
            enqueue.kind, enqueue.subject, coalesce(enqueue.payload, '{}'), enqueue.dedupe, now() + enqueue.delay
        )
        ON CONFLICT (kind, dedupe) WHERE dedupe IS NOT NULL AND state IN ('waiting', 'running') DO NOTHING
        RETURNING id INTO job;
        IF job IS NULL THEN
            SELECT j.id INTO job FROM app.jobs j
            WHERE j.kind = enqueue.kind AND j.dedupe = enqueue.dedupe AND j.state IN ('waiting', 'running');
        END IF;
        EXIT WHEN job IS NOT NULL; -- else it ended in between
    END LOOP;
    RETURN job;
END
$$;

-- The next job that is due, for `lease` from now. No row: none is. Run again with the same claim, it gives the same
-- job, so that an answer that was lost loses no time. A lease that ended is no one's: its process was killed, or hangs.
CREATE FUNCTION app.claim_job(claim uuid, lease interval)
RETURNS TABLE (id uuid, kind text, subject uuid, payload jsonb, attempts integer)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    chosen uuid;
BEGIN
    -- One claims at a time: what another one took is seen, also where it bars jobs of the same workspace.
    PERFORM pg_advisory_xact_lock(hashtextextended('app.claim_job', 0));
    UPDATE app.jobs j
    SET state = 'dead', finished_at = now(), locked_until = NULL, payload = app.job_remains(j.kind, j.payload, 'dead'),
        last_error = coalesce(j.last_error || '; then ', '') || 'its process ended, or hung, while it ran'
    WHERE j.state = 'running' AND j.locked_until <= clock_timestamp() AND j.attempts >= app.job_attempts_most();
    SELECT j.id INTO chosen FROM app.jobs j WHERE j.claim = claim_job.claim AND j.state = 'running';
    IF chosen IS NOT NULL THEN
        RETURN QUERY SELECT j.id, j.kind, j.subject, j.payload, j.attempts FROM app.jobs j WHERE j.id = chosen;
        RETURN;
    END IF;
    SELECT j.id INTO chosen
    FROM app.jobs j
    WHERE ((j.state = 'waiting' AND j.run_at <= clock_timestamp())
        OR (j.state = 'running' AND j.locked_until <= clock_timestamp()))
        AND NOT (app.job_is_of_store(j.kind) AND EXISTS (
            SELECT FROM app.jobs o
            WHERE o.subject = j.subject AND o.id <> j.id AND app.job_is_of_store(o.kind)
                AND ((o.state = 'running' AND (o.number < j.number OR o.locked_until > clock_timestamp()))
                    OR (o.state = 'waiting' AND o.number < j.number
                        AND (o.attempts > 0 OR o.run_at <= clock_timestamp())))
        ))
    ORDER BY j.kind <> 'open_store', j.run_at, j.number -- somebody waits for a store
    FOR UPDATE SKIP LOCKED
    LIMIT 1;
    RETURN QUERY
    UPDATE app.jobs j
    SET state = 'running', attempts = j.attempts + 1, claim = claim_job.claim, locked_until = clock_timestamp() + lease
    WHERE j.id = chosen
    RETURNING j.id, j.kind, j.subject, j.payload, j.attempts;
END
$$;

-- Hold the lease longer. False: it is no longer the caller's, who must stop.
CREATE FUNCTION app.hold_job(id uuid, claim uuid, lease interval)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH held AS (
        UPDATE app.jobs j SET locked_until = clock_timestamp() + lease
        WHERE j.id = hold_job.id AND j.claim = hold_job.claim AND j.state = 'running'
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM held)
$$;

-- Done. False: the lease is no longer the caller's. Again: true, and nothing happens.
CREATE FUNCTION app.finish_job(id uuid, claim uuid)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH finished AS (
        UPDATE app.jobs j
        SET state = 'done', finished_at = coalesce(j.finished_at, now()), locked_until = NULL,
            payload = app.job_remains(j.kind, j.payload, 'done')
        WHERE j.id = finish_job.id AND j.claim = finish_job.claim AND j.state IN ('running', 'done')
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM finished)
$$;

-- It failed: the state that it has now, waiting for another attempt or dead (`final`: no attempt would help). Null: the
-- lease is no longer the caller's. Again: the same state.
CREATE FUNCTION app.fail_job(id uuid, claim uuid, error text, final boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    became text;
BEGIN
    SELECT CASE WHEN final OR j.attempts >= app.job_attempts_most() THEN 'dead' ELSE 'waiting' END INTO became
    FROM app.jobs j WHERE j.id = fail_job.id;
    UPDATE app.jobs j
    SET state = became, finished_at = CASE became WHEN 'dead' THEN now() END, locked_until = NULL,
        run_at = clock_timestamp() + app.job_pause(j.attempts), last_error = left(error, 2000),
        payload = app.job_remains(j.kind, j.payload, became)
    WHERE j.id = fail_job.id AND j.claim = fail_job.claim AND j.state = 'running'
    RETURNING j.state INTO became;
    IF became IS NULL THEN
        SELECT j.state INTO became FROM app.jobs j
        WHERE j.id = fail_job.id AND j.claim = fail_job.claim AND j.state IN ('waiting', 'dead');
    END IF;
    RETURN became;
END
$$;

-- Seconds until a job may be claimed: 0 or less when one may now, null when none is open. What bars a job is left out.
CREATE FUNCTION app.next_job_in()
RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT extract(epoch FROM min(CASE j.state WHEN 'running' THEN j.locked_until ELSE j.run_at END)
        - clock_timestamp())::double precision
    FROM app.jobs j WHERE j.state IN ('waiting', 'running')
$$;

-- What the operator sees of jobs in a state, the newest first. Not the payload.
CREATE FUNCTION app.list_jobs(state text, most integer DEFAULT 100)
RETURNS TABLE (
    id uuid, kind text, subject uuid, attempts integer, run_at timestamptz, last_error text, created_at timestamptz,
    finished_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT j.id, j.kind, j.subject, j.attempts, j.run_at, j.last_error, j.created_at, j.finished_at
    FROM app.jobs j WHERE j.state = list_jobs.state
    ORDER BY j.number DESC LIMIT list_jobs.most
$$;

-- A dead job has another life, from now. False: there is no such dead job, it is a mail, or an open one does the same.
CREATE FUNCTION app.revive_job(id uuid)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH revived AS (
        UPDATE app.jobs j
        SET state = 'waiting', attempts = 0, run_at = now(), finished_at = NULL, claim = NULL, reported = false
        WHERE j.id = revive_job.id AND j.state = 'dead' AND j.kind <> 'send_mail' AND NOT EXISTS (
            SELECT FROM app.jobs o
            WHERE o.kind = j.kind AND o.dedupe = j.dedupe AND o.state IN ('waiting', 'running')
        )
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM revived)
$$;

-- Forget what was done this long ago; dead jobs stay four times as long. The number of those forgotten.
CREATE FUNCTION app.forget_jobs(age interval)
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH forgotten AS (
        DELETE FROM app.jobs j
        WHERE (j.state = 'done' AND j.finished_at < now() - age)
            OR (j.state = 'dead' AND j.finished_at < now() - 4 * age)
        RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;

-- Where a workspace's store is. No row: there is no such workspace. `store_url` is null until the store is there.
CREATE FUNCTION app.read_store(workspace_id uuid)
RETURNS TABLE (
    plan text, name text, store_kind text, store_url text, store_token text, token_expires_at timestamptz, epoch bigint,
    store_schema integer, store_note text, move_epoch bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.plan, w.name, w.store_kind, w.store_url, w.store_token, w.store_token_expires_at, w.epoch,
        w.store_schema, w.store_note, w.move_epoch
    FROM app.workspaces w WHERE w.id = read_store.workspace_id
$$;

-- Where the workspace's memories are. A workspace that has a store elsewhere keeps it: that is a move, and an attempt
-- that was overtaken must not hide what was written since. One whose store was closed gets none. The address that
-- holds; no row: there is no such workspace.
CREATE FUNCTION app.place_store(
    workspace_id uuid, kind text, url text, token text, token_expires_at timestamptz, schema_version integer, note text
)
RETURNS TABLE (store_kind text, store_url text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE app.workspaces w
    SET store_kind = kind, store_url = url, store_token = token, store_token_expires_at = token_expires_at,
        store_schema = schema_version, store_note = note, version = w.version + 1
    WHERE w.id = place_store.workspace_id AND w.store_note IS DISTINCT FROM 'closed'
        AND (w.store_url IS NULL OR (w.store_kind, w.store_url) = (kind, url));
    RETURN QUERY SELECT w.store_kind, w.store_url FROM app.workspaces w WHERE w.id = place_store.workspace_id;
END
$$;

-- Another attempt to move the store of a workspace at this epoch: the epoch that it leads to, which no earlier attempt
-- had. Null: the workspace is at another epoch, or closed.
CREATE FUNCTION app.begin_move(workspace_id uuid, from_epoch bigint)
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.workspaces w SET move_epoch = greatest(w.epoch, w.move_epoch) + 1
    WHERE w.id = begin_move.workspace_id AND w.epoch = from_epoch AND w.store_note IS DISTINCT FROM 'closed'
    RETURNING w.move_epoch
$$;

-- From now on the memories are there, at the epoch of this attempt. False: another attempt has begun since, or the
-- workspace is at another epoch. Again: true.
CREATE FUNCTION app.flip_store(
    workspace_id uuid, from_epoch bigint, to_epoch bigint, kind text, url text, token text,
    token_expires_at timestamptz, schema_version integer
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE app.workspaces w
    SET store_kind = kind, store_url = url, store_token = token, store_token_expires_at = token_expires_at,
        store_schema = schema_version, store_note = NULL, epoch = to_epoch, version = w.version + 1
    WHERE w.id = flip_store.workspace_id AND w.epoch = from_epoch AND w.move_epoch = to_epoch
        AND w.store_note IS DISTINCT FROM 'closed';
    RETURN EXISTS (
        SELECT FROM app.workspaces w WHERE w.id = flip_store.workspace_id AND w.epoch = to_epoch AND w.store_url = url
    );
END
$$;

-- The move that led to this epoch is finished. Again: nothing happens.
CREATE FUNCTION app.end_move(workspace_id uuid, at_epoch bigint)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.workspaces w SET move_epoch = NULL
    WHERE w.id = end_move.workspace_id AND w.epoch = at_epoch AND w.move_epoch = at_epoch
$$;

-- Why the store is not where the plan says.
CREATE FUNCTION app.note_store(workspace_id uuid, note text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.workspaces w SET store_note = note
    WHERE w.id = note_store.workspace_id AND w.store_note IS DISTINCT FROM 'closed'
$$;

-- Another token for the store at `url`. False: the workspace is gone, or its store is elsewhere.
CREATE FUNCTION app.renew_store_token(workspace_id uuid, url text, token text, token_expires_at timestamptz)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH renewed AS (
        UPDATE app.workspaces w
        SET store_token = token, store_token_expires_at = token_expires_at, version = w.version + 1
        WHERE w.id = renew_store_token.workspace_id AND w.store_url = url
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM renewed)
$$;

-- The store at `url` has this schema now.
CREATE FUNCTION app.record_schema(workspace_id uuid, url text, schema_version integer)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.workspaces w SET store_schema = schema_version
    WHERE w.id = record_schema.workspace_id AND w.store_url = url
$$;

-- Workspaces with a database of their own, by id, after `after`: those whose token ends before `ending` or does not say
-- when, or whose schema is older than `below`.
CREATE FUNCTION app.list_databases(after uuid, most integer, ending timestamptz, below integer)
RETURNS TABLE (workspace_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id FROM app.workspaces w
    WHERE w.store_kind = 'sqlite' AND w.store_url IS NOT NULL
        AND (list_databases.after IS NULL OR w.id > list_databases.after)
        AND (coalesce(w.store_token_expires_at, '-infinity') < ending OR w.store_schema < below)
    ORDER BY w.id LIMIT list_databases.most
$$;

-- How many workspaces have a database of their own.
CREATE FUNCTION app.count_databases()
RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT count(*) FROM app.workspaces w WHERE w.store_kind = 'sqlite' AND w.store_url IS NOT NULL $$;

-- Tell the operator by mail which jobs died, each once; how many. A mail to the operator that died tells of nothing.
CREATE FUNCTION app.report_dead(recipient text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb;
BEGIN
    WITH reported AS (
        UPDATE app.jobs j SET reported = true
        WHERE j.id IN (
            SELECT o.id FROM app.jobs o
            WHERE o.state = 'dead' AND NOT o.reported
                AND NOT (o.kind = 'send_mail' AND o.payload ->> 'template' = 'operator')
            ORDER BY o.number LIMIT 50 FOR UPDATE SKIP LOCKED
        )
        RETURNING j.id, j.kind, j.subject, j.attempts, j.last_error
    )
    SELECT jsonb_agg(format(
        '%s %s of %s, after %s attempts: %s',
        r.kind, r.id, coalesce(r.subject::text, 'nobody'), r.attempts, r.last_error
    )) INTO found FROM reported r;
    IF found IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM app.enqueue('send_mail', NULL, jsonb_build_object(
        'template', 'operator', 'to', recipient,
        'data', jsonb_build_object('headline', jsonb_array_length(found) || ' jobs were given up', 'lines', found)
    ));
    RETURN jsonb_array_length(found);
END
$$;

GRANT EXECUTE ON FUNCTION
    app.enqueue(text, uuid, jsonb, text, interval),
    app.claim_job(uuid, interval),
    app.hold_job(uuid, uuid, interval),
    app.finish_job(uuid, uuid),
    app.fail_job(uuid, uuid, text, boolean),
    app.next_job_in(),
    app.list_jobs(text, integer),
    app.revive_job(uuid),
    app.forget_jobs(interval),
    app.report_dead(text),
    app.read_store(uuid),
    app.place_store(uuid, text, text, text, timestamptz, integer, text),
    app.begin_move(uuid, bigint),
    app.flip_store(uuid, bigint, bigint, text, text, text, timestamptz, integer),
    app.end_move(uuid, bigint),
    app.note_store(uuid, text),
    app.renew_store_token(uuid, text, text, timestamptz),
    app.record_schema(uuid, text, integer),
    app.list_databases(uuid, integer, timestamptz, integer),
    app.count_databases()
TO provisioning;

RESET ROLE;
