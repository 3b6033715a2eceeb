-- The control plane: who has an account, which workspace it works in, which keys open it.
--
-- Run by `postgres`, which on Supabase is no superuser (CREATEROLE, CREATEDB, BYPASSRLS), in one transaction. The
-- provider has made the schema `app` and its own table app.schema_migrations, and the login roles; what is missing here
-- is made, so that the file also runs alone.
--
-- Who may do what:
--   app_owner      owns tables and functions; nobody can log in as it; no BYPASSRLS, no CREATEROLE
--   memories       logs in; may run app.admit
--   provisioning   logs in; may run app.admit, open_account, attach_store, add_key, revoke_key
--   everyone else  nothing: not Supabase's Data API roles, not PUBLIC

DO $$
DECLARE
    login text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_owner') THEN
        CREATE ROLE app_owner NOLOGIN NOINHERIT;
    END IF;
    FOREACH login IN ARRAY ARRAY['memories', 'provisioning'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', login);
        END IF;
    END LOOP;
END
$$;

-- PostgreSQL 16 and later: whoever creates a role administers it, but is not a member until it says so.
GRANT app_owner TO CURRENT_USER WITH INHERIT TRUE, SET TRUE;

CREATE SCHEMA IF NOT EXISTS app;
REVOKE ALL ON SCHEMA app FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA app TO app_owner;
GRANT USAGE ON SCHEMA app TO memories, provisioning;

-- A query whose caller has given up must not run on.
ALTER ROLE memories SET statement_timeout = '5s';
ALTER ROLE memories SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE provisioning SET statement_timeout = '30s';
ALTER ROLE provisioning SET idle_in_transaction_session_timeout = '30s';

SET LOCAL ROLE app_owner;

-- New functions are nobody's to run until they are granted.
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- `version` grows with every change that a cached principal must not outlive.

CREATE TABLE app.accounts (
    id uuid PRIMARY KEY, -- that of the Supabase user
    name text NOT NULL CHECK (name <> ''),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);

-- The unit of plan, limits, storage and billing.
CREATE TABLE app.workspaces (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    plan text NOT NULL CHECK (plan <> ''), -- a name in functions/declarations.py
    stripe_customer text UNIQUE,
    store_kind text NOT NULL DEFAULT 'sqlite',
    store_url text, -- null until the store is there
    store_token text, -- sealed, see functions/core/seal.py; the context is the workspace's id
    epoch bigint NOT NULL DEFAULT 1, -- grows when the store moves
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((store_url IS NULL) = (store_token IS NULL))
);

CREATE TABLE app.members (
    workspace_id uuid NOT NULL REFERENCES app.workspaces,
    account_id uuid NOT NULL REFERENCES app.accounts,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, account_id)
);
CREATE UNIQUE INDEX members_one_owner ON app.members (workspace_id) WHERE role = 'owner';
CREATE INDEX members_of_account ON app.members (account_id);

-- A member who leaves has no keys left: the reference keeps the row until they are gone.
CREATE TABLE app.api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    account_id uuid NOT NULL,
    name text NOT NULL CHECK (name <> ''),
    prefix text NOT NULL UNIQUE CHECK (prefix ~ '^mg_[0-9A-Za-z]{12}$'), -- what lists show
    key_hash text NOT NULL UNIQUE CHECK (key_hash ~ '^[0-9a-f]{64}$'), -- SHA-256 of the whole key, which is not stored
    scopes text[] NOT NULL,
    project text, -- null: all of the workspace
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    FOREIGN KEY (workspace_id, account_id) REFERENCES app.members
);
CREATE INDEX api_keys_of_member ON app.api_keys (workspace_id, account_id);

-- No policy: should a grant ever be given by mistake, it still yields no row. The owner is not bound by it.
ALTER TABLE app.accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.workspaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.api_keys ENABLE ROW LEVEL SECURITY;

-- Who asks. No row: there is no such key. `refused` is null, or why the key is not accepted.
-- The sum of the three versions grows when any of them does.
CREATE FUNCTION app.admit(key_hash text)
RETURNS TABLE (
    refused text, key_id text, account_id text, workspace_id text, plan text, scopes text[], version bigint,
    store_kind text, store_url text, store_token text, expires_at double precision
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        CASE
            WHEN k.revoked_at IS NOT NULL THEN 'revoked'
            WHEN k.expires_at <= now() THEN 'expired'
            WHEN a.closed_at IS NOT NULL THEN 'closed'
        END,
        k.id::text, k.account_id::text, k.workspace_id::text, w.plan, k.scopes, k.version + w.version + a.version,
        w.store_kind, w.store_url, w.store_token, extract(epoch FROM k.expires_at)::double precision
    FROM app.api_keys k
    JOIN app.workspaces w ON w.id = k.workspace_id
    JOIN app.accounts a ON a.id = k.account_id
    WHERE k.key_hash = admit.key_hash
$$;

-- An account and its own workspace, without a store yet. Running it again changes nothing.
CREATE FUNCTION app.open_account(account_id uuid, workspace_id uuid, name text, plan text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO app.accounts (id, name) VALUES (open_account.account_id, open_account.name) ON CONFLICT DO NOTHING;
    INSERT INTO app.workspaces (id, name, plan)
    VALUES (open_account.workspace_id, open_account.name, open_account.plan) ON CONFLICT DO NOTHING;
    INSERT INTO app.members (workspace_id, account_id, role)
    VALUES (open_account.workspace_id, open_account.account_id, 'owner') ON CONFLICT DO NOTHING;
$$;

-- Where the workspace's memories are. False: there is no such workspace.
CREATE FUNCTION app.attach_store(workspace_id uuid, kind text, url text, token text)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH changed AS (
        UPDATE app.workspaces w
        SET store_kind = kind, store_url = url, store_token = token, version = w.version + 1
        WHERE w.id = attach_store.workspace_id
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM changed)
$$;

-- Running it again with the same hash changes nothing.
CREATE FUNCTION app.add_key(
    workspace_id uuid, account_id uuid, name text, prefix text, key_hash text, scopes text[], expires_at timestamptz
)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO app.api_keys (workspace_id, account_id, name, prefix, key_hash, scopes, expires_at)
    VALUES (
        add_key.workspace_id, add_key.account_id, add_key.name, add_key.prefix, add_key.key_hash, add_key.scopes,
        add_key.expires_at
    )
    ON CONFLICT ON CONSTRAINT api_keys_key_hash_key DO NOTHING
$$;

-- The version that no cached principal of this key may be older than; null: there is no such key.
-- Running it again gives the same version.
CREATE FUNCTION app.revoke_key(key_hash text)
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH revoked AS (
        UPDATE app.api_keys k
        SET revoked_at = coalesce(k.revoked_at, now()),
            version = k.version + CASE WHEN k.revoked_at IS NULL THEN 1 ELSE 0 END
        WHERE k.key_hash = revoke_key.key_hash
        RETURNING k.version, k.workspace_id, k.account_id
    )
    SELECT r.version + w.version + a.version
    FROM revoked r
    JOIN app.workspaces w ON w.id = r.workspace_id
    JOIN app.accounts a ON a.id = r.account_id
$$;

GRANT EXECUTE ON FUNCTION app.admit(text) TO memories, provisioning;
GRANT EXECUTE ON FUNCTION
    app.open_account(uuid, uuid, text, text),
    app.attach_store(uuid, text, text, text),
    app.add_key(uuid, uuid, text, text, text, text[], timestamptz),
    app.revoke_key(text)
TO provisioning;

RESET ROLE;

-- Supabase's Data API roles: nothing, whatever default privileges the project has.
DO $$
DECLARE
    outsider text;
BEGIN
    FOR outsider IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role') LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA app FROM %I', outsider);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA app FROM %I', outsider);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA app FROM %I', outsider);
    END LOOP;
END
$$;
