-- What workspaces use, day by day; who was told that a limit comes near; and what jobs need at the end of a store.
--
--   accounts       app.usage_of
--   provisioning   the rest
--
-- Run like 0001.

SET LOCAL ROLE app_owner;

-- A workspace's day (UTC). `memories` and `bytes` are what its store held when it was last measured on that day.
CREATE TABLE app.usage_daily (
    workspace_id uuid NOT NULL REFERENCES app.workspaces ON DELETE CASCADE,
    day date NOT NULL,
    calls bigint NOT NULL DEFAULT 0,
    memories bigint,
    bytes bigint,
    measured_at timestamptz,
    measured_calls bigint NOT NULL DEFAULT 0, -- what `calls` was then
    PRIMARY KEY (workspace_id, day)
);
CREATE INDEX usage_daily_by_day ON app.usage_daily (day);

-- Days that are over and were counted since: Redis is asked about them no more.
CREATE TABLE app.usage_days (
    day date PRIMARY KEY,
    closed_at timestamptz NOT NULL DEFAULT now()
);

-- What somebody was told, so that they are told once: the owner of a workspace, or (null) the operator.
CREATE TABLE app.quota_marks (
    workspace_id uuid REFERENCES app.workspaces ON DELETE CASCADE,
    what text NOT NULL,
    level integer NOT NULL, -- per cent
    told_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (workspace_id, what, level)
);

ALTER TABLE app.usage_daily ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.usage_days ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.quota_marks ENABLE ROW LEVEL SECURITY;

-- The last `days` days of a workspace that had any calls, the newest first.
CREATE FUNCTION app.usage_of(workspace uuid, days integer)
RETURNS TABLE (day date, calls bigint, memories bigint, bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.day, u.calls, u.memories, u.bytes FROM app.usage_daily u
    WHERE u.workspace_id = workspace AND u.day > (now() AT TIME ZONE 'UTC')::date - days
    ORDER BY u.day DESC
$$;

-- Workspaces that somebody may call, by id, after `after`.
CREATE FUNCTION app.list_callable(after uuid, most integer)
RETURNS TABLE (workspace_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id FROM app.workspaces w
    WHERE w.closed_at IS NULL AND (list_callable.after IS NULL OR w.id > list_callable.after)
    ORDER BY w.id LIMIT most
$$;

-- Counters of a day, as they stand now; never added up, so running it again changes nothing, and a counter that was
-- lost takes nothing back.
CREATE FUNCTION app.record_usage(day date, workspaces uuid[], calls bigint[])
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO app.usage_daily AS u (workspace_id, day, calls)
    SELECT w.id, record_usage.day, c.calls
    FROM unnest(workspaces, record_usage.calls) AS c (workspace_id, calls)
    JOIN app.workspaces w ON w.id = c.workspace_id
    ORDER BY w.id
    ON CONFLICT (workspace_id, day) DO UPDATE SET calls = greatest(u.calls, excluded.calls)
$$;

-- The days before `today` that Redis still counts (three days) and that are not closed.
CREATE FUNCTION app.unclosed_days(today date)
RETURNS TABLE (day date)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.day FROM unnest(ARRAY[today - 2, today - 1]) AS d (day)
    WHERE NOT EXISTS (SELECT FROM app.usage_days c WHERE c.day = d.day)
    ORDER BY d.day
$$;

CREATE FUNCTION app.close_day(day date)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ INSERT INTO app.usage_days (day) VALUES (close_day.day) ON CONFLICT DO NOTHING $$;

-- Workspaces that were called on a day since their store was measured, which is `age` ago at least; those that wait the
-- longest first.
CREATE FUNCTION app.list_unmeasured(day date, age interval, most integer)
RETURNS TABLE (workspace_id uuid, calls bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.workspace_id, u.calls
    FROM app.usage_daily u JOIN app.workspaces w ON w.id = u.workspace_id
    WHERE u.day = list_unmeasured.day AND u.calls > u.measured_calls AND w.store_url IS NOT NULL AND w.closed_at IS NULL
        AND (u.measured_at IS NULL OR u.measured_at < now() - age)
    ORDER BY u.measured_at NULLS FIRST, u.workspace_id LIMIT most
$$;

CREATE FUNCTION app.record_measure(workspace uuid, day date, calls bigint, memories bigint, bytes bigint)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.usage_daily u
    SET memories = record_measure.memories, bytes = record_measure.bytes, measured_at = now(),
        measured_calls = record_measure.calls
    WHERE u.workspace_id = workspace AND u.day = record_measure.day
$$;

-- What every workspace used on a day, with its plan, for those that used any of it; by id, after `after`.
CREATE FUNCTION app.list_use(day date, after uuid, most integer)
RETURNS TABLE (workspace_id uuid, name text, plan text, calls bigint, memories bigint, bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id, w.name, w.plan, u.calls, u.memories, u.bytes
    FROM app.usage_daily u JOIN app.workspaces w ON w.id = u.workspace_id
    WHERE u.day = list_use.day AND w.closed_at IS NULL AND (list_use.after IS NULL OR w.id > list_use.after)
    ORDER BY w.id LIMIT most
$$;

-- Tell the owner by mail that a limit comes near, once for each crossing: at 80 and at 100 per cent of `most`. A mark
-- goes when the use is 5 per cent below it; `what` may name a day, so that each day is its own. The level that was
-- mailed about, or null.
CREATE FUNCTION app.tell_quota(workspace uuid, what text, used bigint, most bigint, data jsonb)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    percent numeric := used * 100.0 / nullif(most, 0);
    step integer;
    told integer;
    address text;
BEGIN
    FOREACH step IN ARRAY ARRAY[80, 100] LOOP
        IF percent >= step THEN
            INSERT INTO app.quota_marks (workspace_id, what, level) VALUES (workspace, tell_quota.what, step)
            ON CONFLICT DO NOTHING;
            IF FOUND THEN
                told := step;
            END IF;
        ELSIF percent < step - 5 THEN
            DELETE FROM app.quota_marks q
            WHERE q.workspace_id = workspace AND q.what = tell_quota.what AND q.level = step;
        END IF;
    END LOOP;
    IF told IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT a.email INTO address FROM app.members m JOIN app.accounts a ON a.id = m.account_id
    WHERE m.workspace_id = workspace AND m.role = 'owner';
    IF address IS NOT NULL THEN
        PERFORM app.enqueue('send_mail', workspace, jsonb_build_object(
            'template', 'quota_' || told, 'to', address, 'data', data
        ));
    END IF;
    RETURN told;
END
$$;

-- Tell the operator something by mail, once for `what` until it is forgotten. False: it was told already.
CREATE FUNCTION app.tell_operator(what text, recipient text, data jsonb)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO app.quota_marks (workspace_id, what, level) VALUES (NULL, tell_operator.what, 0) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM app.enqueue('send_mail', NULL, jsonb_build_object('template', 'operator', 'to', recipient, 'data', data));
    RETURN true;
END
$$;

CREATE FUNCTION app.untell_operator(what text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ DELETE FROM app.quota_marks q WHERE q.workspace_id IS NULL AND q.what = untell_operator.what $$;

-- Marks of days that are over.
CREATE FUNCTION app.forget_marks(age interval)
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH forgotten AS (
        DELETE FROM app.quota_marks q WHERE q.told_at < now() - age AND q.what ~ '\d{4}-\d\d-\d\d$' RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;

-- A store is gone for good: no address leads there, and no other is opened (app.place_store).
CREATE FUNCTION app.clear_store(workspace uuid)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.workspaces w
    SET store_url = NULL, store_token = NULL, store_token_expires_at = NULL, store_schema = 0, store_note = 'closed',
        epoch = w.epoch + 1, version = w.version + 1
    WHERE w.id = workspace AND w.store_note IS DISTINCT FROM 'closed'
$$;

-- An erasure that was confirmed: the workspaces that go with the account, and whether it is finished. No row: none was.
CREATE FUNCTION app.read_erasure(account uuid)
RETURNS TABLE (workspaces text[], finished boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.workspaces::text[], e.finished_at IS NOT NULL FROM app.erased e WHERE e.account_id = account
$$;

-- The end of an erasure (app.forget_account), and in the same moment the mail that says so: later nobody knows whom.
CREATE FUNCTION app.finish_erasure(account uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    address text;
BEGIN
    SELECT a.email INTO address FROM app.accounts a WHERE a.id = account FOR UPDATE;
    IF address IS NOT NULL THEN
        PERFORM app.enqueue(
            'send_mail', account, jsonb_build_object('template', 'erased', 'to', address, 'data', jsonb_build_object()),
            'erased ' || account
        );
    END IF;
    PERFORM app.forget_account(account);
END
$$;

GRANT EXECUTE ON FUNCTION app.usage_of(uuid, integer) TO accounts, provisioning;
GRANT EXECUTE ON FUNCTION
    app.list_callable(uuid, integer),
    app.record_usage(date, uuid[], bigint[]),
    app.unclosed_days(date),
    app.close_day(date),
    app.list_unmeasured(date, interval, integer),
    app.record_measure(uuid, date, bigint, bigint, bigint),
    app.list_use(date, uuid, integer),
    app.tell_quota(uuid, text, bigint, bigint, jsonb),
    app.tell_operator(text, text, jsonb),
    app.untell_operator(text),
    app.forget_marks(interval),
    app.clear_store(uuid),
    app.read_erasure(uuid),
    app.finish_erasure(uuid)
TO provisioning;

RESET ROLE;
