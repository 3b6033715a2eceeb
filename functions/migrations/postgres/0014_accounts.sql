-- The account of a person: what is held of it, and its end. See 0009.

SET LOCAL ROLE app_owner;

CREATE FUNCTION app.read_account(actor uuid, via uuid)
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'id', a.id, 'name', a.name, 'email', a.email, 'settings', a.settings, 'created_at', app.iso(a.created_at),
        'erasure', (
            SELECT jsonb_build_object('requested_at', app.iso(r.created_at), 'expires_at', app.iso(r.expires_at))
            FROM app.erasure_requests r WHERE r.account_id = a.id AND r.expires_at > now()
            ORDER BY r.created_at DESC LIMIT 1
        )
    ))
    FROM app.accounts a WHERE a.id = actor AND a.closed_at IS NULL AND app.is_good(via, actor)
$$;

-- A null name stays. `settings` are laid over those that are there; null ones go. MGBIG: they are then more than `most`
-- bytes.
CREATE FUNCTION app.update_account(actor uuid, via uuid, name text, settings jsonb, most integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE app.accounts a
    SET name = coalesce(update_account.name, a.name),
        settings = jsonb_strip_nulls(a.settings || coalesce(update_account.settings, '{}'))
    WHERE a.id = actor AND a.closed_at IS NULL AND app.is_good(via, actor);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOA', MESSAGE = 'no such account';
    END IF;
    IF (SELECT octet_length(a.settings::text) > most FROM app.accounts a WHERE a.id = actor) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGBIG', MESSAGE = 'the settings are too large';
    END IF;
    PERFORM app.note(actor, via, NULL, 'account.changed', actor::text);
    RETURN app.read_account(actor, via);
END
$$;

-- All that the control plane holds of an account, without what opens anything; by a key: of its workspace only.
CREATE FUNCTION app.export_account(actor uuid, via uuid)
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH own AS (
        SELECT w.id, w.personal FROM app.members m JOIN app.workspaces w ON w.id = m.workspace_id
        WHERE m.account_id = actor AND m.role = 'owner' AND w.closed_at IS NULL
            AND (via IS NULL OR w.id = (SELECT k.workspace_id FROM app.api_keys k WHERE k.id = via))
    )
    SELECT jsonb_build_object(
        'account', app.read_account(actor, via),
        'workspaces', app.list_workspaces(actor, via),
        'stores', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', w.id, 'kind', w.store_kind, 'url', w.store_url, 'token', w.store_token, 'epoch', w.epoch
            ) ORDER BY NOT w.personal, w.created_at), '[]')
            FROM own JOIN app.workspaces w USING (id) WHERE w.store_url IS NOT NULL
        ),
        'keys', (
            SELECT coalesce(jsonb_agg(app.key_body(k.id) || jsonb_build_object('workspace_id', k.workspace_id)
                ORDER BY k.created_at, k.id), '[]')
            FROM app.api_keys k
            WHERE k.account_id = actor
                AND (via IS NULL OR k.workspace_id = (SELECT b.workspace_id FROM app.api_keys b WHERE b.id = via))
        ),
        'invitations', (
            SELECT coalesce(jsonb_agg(app.invitation_body(i.id) ORDER BY i.created_at, i.id), '[]')
            FROM app.invitations i
            WHERE via IS NULL AND (
                i.invited_by = actor
                OR i.email = (SELECT app.fold_email(a.email) FROM app.accounts a WHERE a.id = actor)
            )
        ),
        'audit', (
            SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                'at', app.iso(l.at), 'key_id', l.key_id, 'workspace_id', l.workspace_id, 'action', l.action,
                'subject', l.subject, 'detail', l.detail
            )) ORDER BY l.id), '[]')
            FROM app.audit_log l
            WHERE l.account_id = actor
                AND (via IS NULL OR l.workspace_id = (SELECT k.workspace_id FROM app.api_keys k WHERE k.id = via))
        )
    )
$$;

-- The workspaces that end with an account. MGHAN: others work in one of them that could be handed over.
CREATE FUNCTION app.ending_with(actor uuid)
RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own uuid[];
BEGIN
    SELECT coalesce(array_agg(w.id ORDER BY w.id), '{}') INTO own FROM (
        SELECT w.id FROM app.workspaces w JOIN app.members m ON m.workspace_id = w.id
        WHERE m.account_id = actor AND m.role = 'owner'
        ORDER BY w.id FOR NO KEY UPDATE OF w
    ) w;
    IF EXISTS (
        SELECT FROM app.members m JOIN app.workspaces w ON w.id = m.workspace_id
        WHERE m.workspace_id = ANY (own) AND m.account_id <> actor AND w.closed_at IS NULL
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGHAN', MESSAGE = 'others work there';
    END IF;
    RETURN own;
END
$$;

-- Ask for the erasure of an account: a mail brings `link`. Earlier links end. MGNOE: no address is known. MGHAN. MGMAI:
-- as many mails went out today as may.
CREATE FUNCTION app.request_erasure(actor uuid, token_hash text, lasts interval, link text, most_mails integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    address text;
BEGIN
    SELECT a.email INTO address FROM app.accounts a WHERE a.id = actor AND a.closed_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOA', MESSAGE = 'no such account';
    END IF;
    IF address IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOE', MESSAGE = 'no address is known';
    END IF;
    PERFORM app.ending_with(actor);
    IF app.done_today('erasure.requested', actor, NULL) >= most_mails AND NOT EXISTS (
        SELECT FROM app.erasure_requests r WHERE r.token_hash = request_erasure.token_hash
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGMAI', MESSAGE = 'enough mails';
    END IF;
    DELETE FROM app.erasure_requests r WHERE r.account_id = actor AND r.token_hash <> request_erasure.token_hash;
    INSERT INTO app.erasure_requests (token_hash, account_id, expires_at)
    VALUES (token_hash, actor, now() + lasts) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM app.enqueue('send_mail', actor, jsonb_build_object('template', 'erasure', 'to', address, 'data',
            jsonb_build_object('link', link, 'expires_at', app.iso(now() + lasts))), token_hash);
        PERFORM app.note(actor, NULL, NULL, 'erasure.requested', actor::text);
    END IF;
    RETURN jsonb_build_object('expires_at', app.iso(now() + lasts));
END
$$;

-- Close the account and all that is its own, for good; a job erases it. Again: the same, with nothing left to void.
-- MGTOK: there is no such request, or its time is over. MGHAN.
CREATE FUNCTION app.confirm_erasure(token_hash text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    account uuid;
    own uuid[];
    one uuid;
    voids jsonb := '[]';
BEGIN
    SELECT r.account_id INTO account FROM app.erasure_requests r
    WHERE r.token_hash = confirm_erasure.token_hash
        AND (r.expires_at > now() OR EXISTS (SELECT FROM app.erased e WHERE e.account_id = r.account_id));
    IF account IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGTOK', MESSAGE = 'no such request';
    END IF;
    PERFORM FROM app.accounts a WHERE a.id = account FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM app.erased e WHERE e.account_id = account) THEN
        RETURN voids;
    END IF;
    own := app.ending_with(account);
    INSERT INTO app.erased (account_id, workspaces) VALUES (account, own);
    UPDATE app.accounts a SET closed_at = now(), version = a.version + 1 WHERE a.id = account;
    FOR one IN
        SELECT m.workspace_id FROM app.members m WHERE m.account_id = account ORDER BY m.workspace_id
    LOOP
        PERFORM FROM app.workspaces w WHERE w.id = one FOR NO KEY UPDATE;
        IF one = ANY (own) THEN
            UPDATE app.workspaces w SET closed_at = coalesce(w.closed_at, now()), version = w.version + 1
            WHERE w.id = one;
            voids := voids || app.outdate(one, NULL, NULL, true);
        ELSE
            IF EXISTS (
                SELECT FROM app.members m WHERE m.workspace_id = one AND m.account_id = account AND m.role = 'owner'
            ) THEN -- it was handed over to them just now
                RAISE EXCEPTION USING ERRCODE = 'MGHAN', MESSAGE = 'others work there';
            END IF;
            voids := voids || app.outdate(one, account, NULL, true);
            DELETE FROM app.members m WHERE m.workspace_id = one AND m.account_id = account;
            PERFORM app.count_seats(one);
        END IF;
    END LOOP;
    PERFORM app.enqueue(
        'erase_account', account, jsonb_build_object('workspaces', to_jsonb(own)), account::text
    );
    PERFORM app.note(account, NULL, NULL, 'erasure.confirmed', account::text);
    RETURN voids;
END
$$;

-- The end of an erasure, once the stores, Stripe and the sign-in are empty: every row of the account and of its own
-- workspaces goes; the ledger stays. What it did elsewhere is kept without its name. Again: nothing happens.
CREATE FUNCTION app.forget_account(account uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own uuid[];
BEGIN
    SELECT e.workspaces INTO own FROM app.erased e WHERE e.account_id = account;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'MGTOK', MESSAGE = 'its erasure was not confirmed';
    END IF;
    DELETE FROM app.invitations i WHERE i.workspace_id = ANY (own)
        OR i.email = (SELECT app.fold_email(a.email) FROM app.accounts a WHERE a.id = account);
    UPDATE app.invitations i SET invited_by = NULL WHERE i.invited_by = account;
    UPDATE app.invitations i SET accepted_by = NULL WHERE i.accepted_by = account;
    DELETE FROM app.audit_log l WHERE l.workspace_id = ANY (own) OR l.account_id = account AND l.workspace_id IS NULL;
    UPDATE app.audit_log l SET account_id = NULL WHERE l.account_id = account;
    DELETE FROM app.api_keys k WHERE k.workspace_id = ANY (own) OR k.account_id = account;
    DELETE FROM app.members m WHERE m.workspace_id = ANY (own) OR m.account_id = account;
    DELETE FROM app.workspaces w WHERE w.id = ANY (own);
    DELETE FROM app.accounts a WHERE a.id = account;
    UPDATE app.erased e SET finished_at = coalesce(e.finished_at, now()) WHERE e.account_id = account;
END
$$;

GRANT EXECUTE ON FUNCTION
    app.read_account(uuid, uuid),
    app.update_account(uuid, uuid, text, jsonb, integer),
    app.export_account(uuid, uuid),
    app.request_erasure(uuid, text, interval, text, integer),
    app.confirm_erasure(text)
TO accounts;
GRANT EXECUTE ON FUNCTION app.forget_account(uuid) TO provisioning;

RESET ROLE;
