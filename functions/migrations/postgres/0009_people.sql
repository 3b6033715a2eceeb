-- People: who signs in, their keys, their workspaces, who else works there, and how all of it ends. See 0001.
--
--   accounts       logs in; may run app.admit, admit_member and describe, and what 0012 to 0014 grant to it
--   memories       besides app.admit: app.admit_member
--   provisioning   besides: app.admit_member
--
-- Every function of 0012 to 0014 takes who asks (`actor`) and by which key (`via`; null: the person is signed in), and
-- checks again, in the transaction of the change, that they may: the function's own check is of a moment ago. Each
-- locks the workspace first (app.enter), so that changes of one workspace follow each other. What is refused is raised
-- with a SQLSTATE of class MG, which functions/accounts/refusals.py gives its words.
--
-- A change that a cached principal must not outlive raises versions and enqueues `void_keys`, and returns as `voids`
-- what the function voids at once: [[name, version], ...]. A key's name is its hash, a person's app.person_name.
--
-- Jobs are made by app.enqueue (0008).

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'accounts') THEN
        CREATE ROLE accounts NOLOGIN NOINHERIT;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA app TO accounts;
ALTER ROLE accounts SET statement_timeout = '5s';
ALTER ROLE accounts SET idle_in_transaction_session_timeout = '5s';

-- It reads the memories of those who ask for all that is held of them.
SET LOCAL ROLE memory_owner;
GRANT USAGE ON SCHEMA memory TO accounts;
GRANT USAGE ON TYPE memory.memory_row, memory.relationship_row TO accounts;
GRANT EXECUTE ON FUNCTION memory.export_page, memory.totals TO accounts;
RESET ROLE;

SET LOCAL ROLE app_owner;

-- Tables.

ALTER TABLE app.accounts
    ADD COLUMN email text, -- what the newest token said; null until the person has signed in
    ADD COLUMN email_until timestamptz, -- the end of that token: older ones may still be in use
    ADD COLUMN settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object');

ALTER TABLE app.workspaces
    ADD COLUMN personal boolean NOT NULL DEFAULT true, -- made with the account, and ends with it
    ADD COLUMN closed_at timestamptz, -- nobody comes in; its store is being deleted
    ADD COLUMN suspended text CHECK (suspended IN ('writes', 'all')), -- what its store refuses; null: nothing
    ADD COLUMN seats integer NOT NULL DEFAULT 1; -- its members, for billing: app.count_seats

ALTER TABLE app.members ADD COLUMN version bigint NOT NULL DEFAULT 1;

-- One owner: whoever pays. Ownership is handed over, never shared, so a workspace is never without (members_one_owner).

-- Keys outlive a membership, revoked: they say who wrote a memory, and a caller why its key is refused.
ALTER TABLE app.api_keys
    DROP CONSTRAINT api_keys_workspace_id_account_id_fkey,
    ADD FOREIGN KEY (workspace_id) REFERENCES app.workspaces,
    ADD FOREIGN KEY (account_id) REFERENCES app.accounts,
    ADD COLUMN calls_per_day integer CHECK (calls_per_day > 0), -- its own cap, below the plan's
    ADD COLUMN rotated_from uuid, -- the key that it takes the place of
    ADD COLUMN overlap_until timestamptz; -- it was rotated, and ends then

CREATE TABLE app.invitations (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES app.workspaces,
    email text NOT NULL CHECK (email <> ''), -- app.fold_email
    role text NOT NULL CHECK (role IN ('admin', 'member')),
    token_hash text NOT NULL UNIQUE CHECK (token_hash ~ '^[0-9a-f]{64}$'), -- SHA-256 of what the mail says
    invited_by uuid REFERENCES app.accounts,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by uuid REFERENCES app.accounts
);
CREATE UNIQUE INDEX invitations_open ON app.invitations (workspace_id, email) WHERE accepted_at IS NULL;

-- What billing charges for, and since when.
CREATE TABLE app.seat_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES app.workspaces ON DELETE CASCADE,
    seats integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX seat_changes_of_workspace ON app.seat_changes (workspace_id, at);

-- Who did what. It names things by id: no e-mail address, no name, no key.
CREATE TABLE app.audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    account_id uuid, -- null: the account was erased since
    key_id uuid, -- null: the person was signed in
    workspace_id uuid,
    action text NOT NULL,
    subject text,
    detail jsonb
);
CREATE INDEX audit_log_of_account ON app.audit_log (account_id, at);
CREATE INDEX audit_log_of_workspace ON app.audit_log (workspace_id, at);

CREATE TABLE app.erasure_requests (
    token_hash text PRIMARY KEY CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    account_id uuid NOT NULL REFERENCES app.accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX erasure_requests_of_account ON app.erasure_requests (account_id);

-- The ledger: a first sign-in and every restore consult it. It is never emptied.
CREATE TABLE app.erased (
    account_id uuid PRIMARY KEY,
    workspaces uuid[] NOT NULL, -- that were its own
    at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

ALTER TABLE app.invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.seat_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.erasure_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.erased ENABLE ROW LEVEL SECURITY;

-- Small things. They are granted to nobody.

CREATE FUNCTION app.iso(at timestamptz)
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
$$;

-- Addresses are the same when these are.
CREATE FUNCTION app.fold_email(email text)
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT lower(normalize(btrim(email), NFKC))
$$;

-- What leases and caches call a person in a workspace; null: in their own, without saying which.
CREATE FUNCTION app.person_name(account uuid, workspace uuid)
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(sha256(convert_to('person ' || account || ' ' || coalesce(workspace::text, ''), 'UTF8')), 'hex')
$$;

CREATE FUNCTION app.note(actor uuid, via uuid, workspace uuid, action text, subject text, detail jsonb DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO app.audit_log (account_id, key_id, workspace_id, action, subject, detail)
    VALUES (actor, via, workspace, action, subject, detail)
$$;

-- Whether it is a key of that account that has not ended; null: no key is used.
CREATE FUNCTION app.is_good(via uuid, actor uuid)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT via IS NULL OR EXISTS (
        SELECT FROM app.api_keys k
        WHERE k.id = via AND k.account_id = actor AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now())
    )
$$;

-- How often somebody did this in the last day, or (null) anybody in a workspace.
CREATE FUNCTION app.done_today(action text, actor uuid, workspace uuid)
RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM app.audit_log l
    WHERE l.action = done_today.action AND l.at > now() - interval '1 day'
        AND (actor IS NULL OR l.account_id = actor) AND (workspace IS NULL OR l.workspace_id = workspace)
$$;

-- The role of who asks, which must be one of `roles`.
-- MGNOW: they are not in this workspace, or there is none, or the key is not for it. MGROL: another role is needed.
CREATE FUNCTION app.look(workspace uuid, actor uuid, via uuid, roles text[])
RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held text;
BEGIN
    SELECT m.role INTO held
    FROM app.members m
    JOIN app.workspaces w ON w.id = m.workspace_id
    JOIN app.accounts a ON a.id = m.account_id
    WHERE m.workspace_id = workspace AND m.account_id = actor AND w.closed_at IS NULL AND a.closed_at IS NULL;
    IF held IS NULL OR NOT app.is_good(via, actor) OR via IS NOT NULL AND NOT EXISTS (
        SELECT FROM app.api_keys k WHERE k.id = via AND k.workspace_id = workspace AND 'account' = ANY (k.scopes)
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOW', MESSAGE = 'no such workspace';
    END IF;
    IF held <> ALL (roles) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGROL', MESSAGE = 'another role is needed';
    END IF;
    RETURN held;
END
$$;

-- The same for a change: others wait until it is done.
CREATE FUNCTION app.enter(workspace uuid, actor uuid, via uuid, roles text[])
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM app.workspaces w WHERE w.id = workspace FOR NO KEY UPDATE;
    RETURN app.look(workspace, actor, via, roles);
END
$$;

-- Make cached principals of a workspace outdated: of one key, of one member with their keys, or (nulls) of everybody.
-- `revoke`: their keys end as well.
CREATE FUNCTION app.outdate(workspace uuid, account uuid, key uuid, revoke boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    voids jsonb;
    persons jsonb;
BEGIN
    WITH changed AS (
        UPDATE app.api_keys k
        SET version = k.version + 1, revoked_at = CASE WHEN revoke THEN now() END
        WHERE k.workspace_id = workspace AND (account IS NULL OR k.account_id = account)
            AND (key IS NULL OR k.id = key) AND k.revoked_at IS NULL
        RETURNING k.key_hash, k.version, k.account_id
    )
    SELECT coalesce(jsonb_agg(jsonb_build_array(c.key_hash, c.version + w.version + a.version)), '[]') INTO voids
    FROM changed c
    JOIN app.workspaces w ON w.id = workspace
    JOIN app.accounts a ON a.id = c.account_id;
    IF key IS NULL THEN
        WITH changed AS (
            UPDATE app.members m SET version = m.version + 1
            WHERE m.workspace_id = workspace AND (account IS NULL OR m.account_id = account)
            RETURNING m.account_id, m.role, m.version
        )
        SELECT coalesce(jsonb_agg(jsonb_build_array(
            app.person_name(c.account_id, n.named), c.version + w.version + a.version
        )), '[]') INTO persons
        FROM changed c
        JOIN app.workspaces w ON w.id = workspace
        JOIN app.accounts a ON a.id = c.account_id
        JOIN LATERAL (SELECT w.id UNION ALL SELECT NULL WHERE w.personal AND c.role = 'owner') n (named) ON true;
        voids := voids || persons;
    END IF;
    IF voids <> '[]' THEN
        PERFORM app.enqueue('void_keys', workspace, jsonb_build_object('keys', voids));
    END IF;
    RETURN voids;
END
$$;

-- What the store refuses from now on: 'writes', 'all', or (null) nothing. Again: nothing happens.
CREATE FUNCTION app.suspend_workspace(workspace uuid, what text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE app.workspaces w SET suspended = what WHERE w.id = workspace AND w.suspended IS DISTINCT FROM what;
    IF FOUND THEN
        PERFORM app.outdate(workspace, NULL, NULL, false);
    END IF;
END
$$;

CREATE FUNCTION app.count_seats(workspace uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted integer := (SELECT count(*) FROM app.members m WHERE m.workspace_id = workspace);
BEGIN
    UPDATE app.workspaces w SET seats = counted WHERE w.id = workspace AND w.seats <> counted;
    IF FOUND THEN
        INSERT INTO app.seat_changes (workspace_id, seats) VALUES (workspace, counted);
    END IF;
END
$$;

-- Who asks.

DROP FUNCTION app.admit(text);

-- No row: there is no such key. `refused` is null, or why the key is not accepted.
-- The sum of the three versions grows when any of them does. Not STABLE: that a key was used is written at most once an
-- hour, and never by a look-up that would wait for it or that may only read.
CREATE FUNCTION app.admit(key_hash text)
RETURNS TABLE (
    refused text, key_id text, account_id text, workspace_id text, plan text, scopes text[], version bigint,
    store_kind text, store_url text, store_token text, expires_at double precision, role text, project text,
    key_calls_per_day integer, epoch bigint, workspace_created double precision, suspended text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    used timestamptz;
BEGIN
    SELECT
        CASE
            WHEN k.revoked_at IS NOT NULL THEN 'revoked'
            WHEN k.expires_at <= now() THEN 'expired'
            WHEN a.closed_at IS NOT NULL OR w.closed_at IS NOT NULL THEN 'closed'
            WHEN m.role IS NULL THEN 'no member'
        END,
        k.id::text, k.account_id::text, k.workspace_id::text, w.plan, k.scopes, k.version + w.version + a.version,
        w.store_kind, w.store_url, w.store_token, extract(epoch FROM k.expires_at)::double precision, m.role, k.project,
        k.calls_per_day, w.epoch, extract(epoch FROM w.created_at)::double precision, w.suspended, k.last_used_at
    INTO refused, key_id, account_id, workspace_id, plan, scopes, version, store_kind, store_url, store_token,
        expires_at, role, project, key_calls_per_day, epoch, workspace_created, suspended, used
    FROM app.api_keys k
    JOIN app.workspaces w ON w.id = k.workspace_id
    JOIN app.accounts a ON a.id = k.account_id
    LEFT JOIN app.members m ON m.workspace_id = k.workspace_id AND m.account_id = k.account_id
    WHERE k.key_hash = admit.key_hash;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN NEXT;
    IF refused IS NULL AND (used IS NULL OR used < now() - interval '1 hour')
        AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE app.api_keys k SET last_used_at = now()
        WHERE k.id = (
            SELECT o.id FROM app.api_keys o WHERE o.key_hash = admit.key_hash FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
END
$$;

-- The person whose token said this, in a workspace; null: in their own. The first time their account and their own
-- workspace are made, with a job for its store. A workspace that is not there is one that they are not in.
CREATE FUNCTION app.admit_member(
    account uuid, workspace uuid, email text, name text, token_ends double precision, first_plan text
)
RETURNS TABLE (
    refused text, account_id text, workspace_id text, plan text, version bigint,
    store_kind text, store_url text, store_token text, role text, epoch bigint, workspace_created double precision,
    suspended text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made uuid := gen_random_uuid();
    address text := nullif(email, '');
    ends timestamptz := to_timestamp(token_ends);
    known app.accounts;
BEGIN
    SELECT a.* INTO known FROM app.accounts a WHERE a.id = account;
    IF known.id IS NULL THEN
        IF EXISTS (SELECT FROM app.erased e WHERE e.account_id = account) THEN
            refused := 'erased';
            RETURN NEXT;
            RETURN;
        END IF;
        INSERT INTO app.accounts (id, name, email, email_until)
        VALUES (account, coalesce(nullif(name, ''), nullif(split_part(address, '@', 1), ''), 'Account'), address, ends)
        ON CONFLICT DO NOTHING; -- another sign-in at the same time: it is waited for, and has made all of it
        IF FOUND THEN
            INSERT INTO app.workspaces (id, name, plan) VALUES (made, 'Personal', first_plan);
            INSERT INTO app.members (workspace_id, account_id, role) VALUES (made, account, 'owner');
            INSERT INTO app.seat_changes (workspace_id, seats) VALUES (made, 1);
            PERFORM app.enqueue('open_store', made, jsonb_build_object('plan', first_plan), made::text);
            PERFORM app.note(account, NULL, made, 'account.opened', account::text);
        END IF;
    ELSIF known.email IS DISTINCT FROM address AND (known.email_until IS NULL OR ends > known.email_until) THEN
        UPDATE app.accounts a SET email = address, email_until = ends WHERE a.id = account;
    END IF;
    SELECT
        CASE
            WHEN EXISTS (SELECT FROM app.erased e WHERE e.account_id = account) THEN 'erased'
            WHEN a.closed_at IS NOT NULL THEN 'closed'
            WHEN m.role IS NULL THEN 'no member'
            WHEN w.closed_at IS NOT NULL THEN 'closed'
        END,
        a.id::text, w.id::text, w.plan, m.version + w.version + a.version, w.store_kind, w.store_url, w.store_token,
        m.role, w.epoch, extract(epoch FROM w.created_at)::double precision, w.suspended
    INTO refused, account_id, workspace_id, plan, version, store_kind, store_url, store_token, role, epoch,
        workspace_created, suspended
    FROM app.accounts a
    LEFT JOIN app.workspaces w ON w.id = coalesce(workspace, (
        SELECT o.id FROM app.members b JOIN app.workspaces o ON o.id = b.workspace_id
        WHERE b.account_id = account AND b.role = 'owner' AND o.personal ORDER BY o.created_at LIMIT 1
    ))
    LEFT JOIN app.members m ON m.workspace_id = w.id AND m.account_id = a.id
    WHERE a.id = account;
    RETURN NEXT;
END
$$;

-- Who a credential is: the account, the workspace, and the key's own facts.
CREATE FUNCTION app.describe(actor uuid, workspace uuid, via uuid)
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'account', jsonb_strip_nulls(jsonb_build_object('id', a.id, 'name', a.name, 'email', a.email)),
        'workspace', jsonb_strip_nulls(jsonb_build_object(
            'id', w.id, 'name', w.name, 'personal', w.personal, 'seats', w.seats, 'ready', w.store_url IS NOT NULL,
            'created_at', app.iso(w.created_at)
        )),
        'role', m.role,
        'keys', (
            SELECT count(*) FROM app.api_keys k
            WHERE k.workspace_id = workspace AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        ),
        'key', (
            SELECT jsonb_strip_nulls(jsonb_build_object(
                'id', k.id, 'name', k.name, 'prefix', k.prefix, 'scopes', to_jsonb(k.scopes), 'project', k.project,
                'calls_per_day', k.calls_per_day, 'expires_at', app.iso(k.expires_at)
            )) FROM app.api_keys k WHERE k.id = via AND k.account_id = actor AND k.workspace_id = workspace
        )
    )
    FROM app.accounts a
    JOIN app.members m ON m.account_id = a.id AND m.workspace_id = workspace
    JOIN app.workspaces w ON w.id = m.workspace_id
    WHERE a.id = actor AND a.closed_at IS NULL AND w.closed_at IS NULL AND app.is_good(via, actor)
$$;

GRANT EXECUTE ON FUNCTION app.admit(text), app.admit_member(uuid, uuid, text, text, double precision, text)
TO memories, accounts, provisioning;
GRANT EXECUTE ON FUNCTION app.describe(uuid, uuid, uuid) TO accounts;
GRANT EXECUTE ON FUNCTION app.suspend_workspace(uuid, text) TO provisioning;

RESET ROLE;
