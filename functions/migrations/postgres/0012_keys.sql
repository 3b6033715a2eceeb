-- API keys: made, listed, renamed, rotated, revoked. See 0009.

SET LOCAL ROLE app_owner;

CREATE FUNCTION app.key_body(wanted uuid)
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'id', k.id, 'name', k.name, 'prefix', k.prefix, 'masked', k.prefix || '****', 'scopes', to_jsonb(k.scopes),
        'status', CASE
            WHEN k.revoked_at IS NOT NULL THEN 'revoked'
            WHEN k.expires_at <= now() THEN 'expired'
            WHEN k.overlap_until IS NOT NULL THEN 'rotated'
            ELSE 'active'
        END,
        'project', k.project, 'calls_per_day', k.calls_per_day, 'created_at', app.iso(k.created_at),
        'expires_at', app.iso(k.expires_at), 'last_used_at', app.iso(k.last_used_at), 'rotated_from', k.rotated_from,
        'owner', jsonb_build_object('id', a.id, 'name', a.name)
    ))
    FROM app.api_keys k JOIN app.accounts a ON a.id = k.account_id
    WHERE k.id = wanted
$$;

-- A key cannot make one that may more than itself. One with a cap of its own makes none: each would count anew. MGMOR.
CREATE FUNCTION app.need_power(via uuid, scopes text[], project text, expires_at timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own app.api_keys;
BEGIN
    IF via IS NULL THEN
        RETURN;
    END IF;
    SELECT k.* INTO own FROM app.api_keys k WHERE k.id = via;
    IF NOT (
        need_power.scopes <@ own.scopes
        AND (own.project IS NULL OR need_power.project IS NOT DISTINCT FROM own.project)
        AND own.calls_per_day IS NULL
        AND (own.expires_at IS NULL OR coalesce(need_power.expires_at <= own.expires_at, false))
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGMOR', MESSAGE = 'the key would make one that may more';
    END IF;
END
$$;

-- A key of who asks. Again with the same id: the same answer. MGKEY: there are `most` already. MGSTO: the workspace has
-- no store yet. MGMOR.
CREATE FUNCTION app.create_key(
    actor uuid, via uuid, workspace uuid, key uuid, name text, prefix text, key_hash text, scopes text[], project text,
    calls_per_day integer, expires_at timestamptz, most integer
)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM app.enter(workspace, actor, via, '{owner,admin,member}');
    IF EXISTS (
        SELECT FROM app.api_keys k
        WHERE k.id = key AND k.key_hash = create_key.key_hash AND k.workspace_id = workspace AND k.account_id = actor
    ) THEN
        RETURN app.key_body(key);
    END IF;
    PERFORM app.need_power(via, scopes, project, expires_at);
    IF most <= (
        SELECT count(*) FROM app.api_keys k
        WHERE k.workspace_id = workspace AND k.revoked_at IS NULL AND k.overlap_until IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now())
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGKEY', MESSAGE = 'there are too many keys';
    END IF;
    IF NOT EXISTS (SELECT FROM app.workspaces w WHERE w.id = workspace AND w.store_url IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGSTO', MESSAGE = 'the store is not there yet';
    END IF;
    INSERT INTO app.api_keys (
        id, workspace_id, account_id, name, prefix, key_hash, scopes, project, calls_per_day, expires_at
    )
    VALUES (key, workspace, actor, name, prefix, key_hash, scopes, project, calls_per_day, expires_at);
    PERFORM app.note(actor, via, workspace, 'key.created', key::text, jsonb_build_object('scopes', to_jsonb(scopes)));
    RETURN app.key_body(key);
END
$$;

-- Keys that were not revoked, newest first: one's own, or all of the workspace to whom it belongs or who runs it.
CREATE FUNCTION app.list_keys(actor uuid, via uuid, workspace uuid)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held text := app.look(workspace, actor, via, '{owner,admin,member}');
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(app.key_body(k.id) ORDER BY k.created_at DESC, k.id), '[]')
        FROM app.api_keys k
        WHERE k.workspace_id = workspace AND k.revoked_at IS NULL AND (k.account_id = actor OR held <> 'member')
    );
END
$$;

-- A key that who asks may change, locked with its workspace. MGNOK: there is none. `own`: only their own.
CREATE FUNCTION app.hold_key(actor uuid, via uuid, workspace uuid, key uuid, own boolean)
RETURNS app.api_keys
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held text := app.enter(workspace, actor, via, '{owner,admin,member}');
    found app.api_keys;
BEGIN
    SELECT k.* INTO found FROM app.api_keys k
    WHERE k.id = key AND k.workspace_id = workspace AND (k.account_id = actor OR held <> 'member');
    IF found.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOK', MESSAGE = 'no such key';
    END IF;
    IF own AND found.account_id <> actor THEN
        RAISE EXCEPTION USING ERRCODE = 'MGOTH', MESSAGE = 'the key is of somebody else';
    END IF;
    RETURN found;
END
$$;

CREATE FUNCTION app.rename_key(actor uuid, via uuid, workspace uuid, key uuid, name text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held app.api_keys := app.hold_key(actor, via, workspace, key, false);
BEGIN
    IF held.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOK', MESSAGE = 'no such key';
    END IF;
    UPDATE app.api_keys k SET name = rename_key.name WHERE k.id = key;
    PERFORM app.note(actor, via, workspace, 'key.renamed', key::text);
    RETURN app.key_body(key);
END
$$;

-- A key in the place of another one, which ends after the overlap; what that one took the place of ends at once. Only
-- for one's own: the new key acts in its owner's name and role. Again with the same id: the same answer.
-- MGDEA: it has ended, or was rotated. MGMOR.
CREATE FUNCTION app.rotate_key(
    actor uuid, via uuid, workspace uuid, key uuid, next_key uuid, prefix text, key_hash text, overlap interval
)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held app.api_keys := app.hold_key(actor, via, workspace, key, true);
    voids jsonb := '[]';
BEGIN
    IF EXISTS (
        SELECT FROM app.api_keys k
        WHERE k.id = next_key AND k.key_hash = rotate_key.key_hash AND k.rotated_from = key
    ) THEN
        RETURN jsonb_build_object('key', app.key_body(next_key), 'previous', app.key_body(key), 'voids', voids);
    END IF;
    IF held.revoked_at IS NOT NULL OR held.expires_at <= now() OR held.overlap_until IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGDEA', MESSAGE = 'the key has ended';
    END IF;
    PERFORM app.need_power(via, held.scopes, held.project, held.expires_at);
    IF held.rotated_from IS NOT NULL THEN
        voids := app.outdate(workspace, actor, held.rotated_from, true);
    END IF;
    INSERT INTO app.api_keys (
        id, workspace_id, account_id, name, prefix, key_hash, scopes, project, calls_per_day, expires_at, rotated_from
    )
    VALUES (
        next_key, workspace, actor, held.name, prefix, key_hash, held.scopes, held.project, held.calls_per_day,
        held.expires_at, key
    );
    UPDATE app.api_keys k
    SET overlap_until = least(k.expires_at, now() + overlap), expires_at = least(k.expires_at, now() + overlap)
    WHERE k.id = key;
    voids := voids || app.outdate(workspace, actor, key, overlap <= interval '0');
    PERFORM app.note(actor, via, workspace, 'key.rotated', key::text, jsonb_build_object('next', next_key));
    RETURN jsonb_build_object('key', app.key_body(next_key), 'previous', app.key_body(key), 'voids', voids);
END
$$;

-- Again: the same answer.
CREATE FUNCTION app.revoke_key(actor uuid, via uuid, workspace uuid, key uuid)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held app.api_keys := app.hold_key(actor, via, workspace, key, false);
BEGIN
    IF held.revoked_at IS NULL THEN
        PERFORM app.note(actor, via, workspace, 'key.revoked', key::text);
        RETURN app.outdate(workspace, NULL, key, true);
    END IF;
    RETURN (
        SELECT jsonb_build_array(jsonb_build_array(held.key_hash, held.version + w.version + a.version))
        FROM app.workspaces w, app.accounts a
        WHERE w.id = workspace AND a.id = held.account_id
    );
END
$$;

GRANT EXECUTE ON FUNCTION
    app.create_key(uuid, uuid, uuid, uuid, text, text, text, text[], text, integer, timestamptz, integer),
    app.list_keys(uuid, uuid, uuid),
    app.rename_key(uuid, uuid, uuid, uuid, text),
    app.rotate_key(uuid, uuid, uuid, uuid, uuid, text, text, interval),
    app.revoke_key(uuid, uuid, uuid, uuid)
TO accounts;

RESET ROLE;
