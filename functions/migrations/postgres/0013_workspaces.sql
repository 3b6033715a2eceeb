-- Workspaces, who is in them, and who is asked to come. See 0009.

SET LOCAL ROLE app_owner;

CREATE FUNCTION app.workspace_body(actor uuid, workspace uuid)
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'id', w.id, 'name', w.name, 'plan', w.plan, 'role', m.role, 'personal', w.personal, 'seats', w.seats,
        'ready', w.store_url IS NOT NULL, 'created_at', app.iso(w.created_at)
    ))
    FROM app.workspaces w JOIN app.members m ON m.workspace_id = w.id
    WHERE w.id = workspace AND m.account_id = actor
$$;

-- The workspaces of who asks, their own first; by a key: the one that it is for.
CREATE FUNCTION app.list_workspaces(actor uuid, via uuid)
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(
        app.workspace_body(actor, w.id) ORDER BY NOT w.personal, m.role <> 'owner', w.created_at, w.id
    ), '[]')
    FROM app.members m
    JOIN app.workspaces w ON w.id = m.workspace_id
    WHERE m.account_id = actor AND w.closed_at IS NULL AND app.is_good(via, actor)
        AND (via IS NULL OR w.id = (
            SELECT k.workspace_id FROM app.api_keys k WHERE k.id = via AND k.account_id = actor
        ))
$$;

-- Only for whoever owns one on `needs`: MGTEA. At most `most` of one owner: MGWSM; and made in a day, because each has a
-- database and a credit of calls, whatever becomes of it: MGWSD. Again with the same id: the same.
CREATE FUNCTION app.create_workspace(actor uuid, workspace uuid, name text, first_plan text, needs text, most integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM app.accounts a WHERE a.id = actor AND a.closed_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOA', MESSAGE = 'no such account';
    END IF;
    IF EXISTS (
        SELECT FROM app.members m WHERE m.workspace_id = workspace AND m.account_id = actor AND m.role = 'owner'
    ) THEN
        RETURN app.workspace_body(actor, workspace);
    END IF;
    IF NOT EXISTS (
        SELECT FROM app.members m JOIN app.workspaces w ON w.id = m.workspace_id
        WHERE m.account_id = actor AND m.role = 'owner' AND w.closed_at IS NULL AND w.plan = needs
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGTEA', MESSAGE = 'another plan is needed';
    END IF;
    IF most <= (
        SELECT count(*) FROM app.members m JOIN app.workspaces w ON w.id = m.workspace_id
        WHERE m.account_id = actor AND m.role = 'owner' AND w.closed_at IS NULL AND NOT w.personal
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGWSM', MESSAGE = 'there are too many workspaces';
    END IF;
    IF most <= app.done_today('workspace.created', actor, NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGWSD', MESSAGE = 'enough workspaces for a day';
    END IF;
    INSERT INTO app.workspaces (id, name, plan, personal) VALUES (workspace, name, first_plan, false);
    INSERT INTO app.members (workspace_id, account_id, role) VALUES (workspace, actor, 'owner');
    INSERT INTO app.seat_changes (workspace_id, seats) VALUES (workspace, 1);
    PERFORM app.enqueue('open_store', workspace, jsonb_build_object('plan', first_plan), workspace::text);
    PERFORM app.note(actor, NULL, workspace, 'workspace.created', workspace::text);
    RETURN app.workspace_body(actor, workspace);
END
$$;

CREATE FUNCTION app.rename_workspace(actor uuid, via uuid, workspace uuid, name text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM app.enter(workspace, actor, via, '{owner,admin}');
    UPDATE app.workspaces w SET name = rename_workspace.name WHERE w.id = workspace;
    PERFORM app.note(actor, via, workspace, 'workspace.renamed', workspace::text);
    RETURN app.workspace_body(actor, workspace);
END
$$;

-- Nobody comes in from now on; a job deletes the store. MGPER: it is somebody's own, and ends with the account.
CREATE FUNCTION app.delete_workspace(actor uuid, workspace uuid)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM app.enter(workspace, actor, NULL, '{owner}');
    IF EXISTS (SELECT FROM app.workspaces w WHERE w.id = workspace AND w.personal) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGPER', MESSAGE = 'it ends with the account';
    END IF;
    PERFORM app.note(actor, NULL, workspace, 'workspace.deleted', workspace::text);
    RETURN app.close_workspace(workspace);
END
$$;

CREATE FUNCTION app.close_workspace(workspace uuid)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE app.workspaces w SET closed_at = coalesce(w.closed_at, now()), version = w.version + 1
    WHERE w.id = workspace;
    DELETE FROM app.invitations i WHERE i.workspace_id = workspace AND i.accepted_at IS NULL;
    PERFORM app.enqueue('close_store', workspace, '{}', workspace::text);
    RETURN app.outdate(workspace, NULL, NULL, true);
END
$$;

-- Members.

CREATE FUNCTION app.list_members(actor uuid, via uuid, workspace uuid)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM app.look(workspace, actor, via, '{owner,admin,member}');
    RETURN (
        SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'account_id', a.id, 'name', a.name, 'email', a.email, 'role', m.role, 'since', app.iso(m.created_at)
        )) ORDER BY m.created_at, a.id)
        FROM app.members m JOIN app.accounts a ON a.id = m.account_id
        WHERE m.workspace_id = workspace
    );
END
$$;

-- A role for another member. `owner` hands the workspace over: the old one becomes admin, and only a signed-in owner
-- can do that (MGROL), and not with their own (MGPER). The owner's role is changed in no other way: MGOWN.
CREATE FUNCTION app.change_member(actor uuid, via uuid, workspace uuid, account uuid, role text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held text := app.enter(workspace, actor, via, '{owner,admin}');
    before text;
    voids jsonb;
BEGIN
    SELECT m.role INTO before FROM app.members m WHERE m.workspace_id = workspace AND m.account_id = account;
    IF before IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOM', MESSAGE = 'no such member';
    END IF;
    IF before = change_member.role THEN
        RETURN '[]';
    END IF;
    IF before = 'owner' THEN
        RAISE EXCEPTION USING ERRCODE = 'MGOWN', MESSAGE = 'a workspace has an owner';
    END IF;
    IF change_member.role = 'owner' THEN
        IF held <> 'owner' OR via IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'MGROL', MESSAGE = 'another role is needed';
        END IF;
        IF EXISTS (SELECT FROM app.workspaces w WHERE w.id = workspace AND w.personal) THEN
            RAISE EXCEPTION USING ERRCODE = 'MGPER', MESSAGE = 'it ends with the account';
        END IF;
        UPDATE app.members m SET role = 'admin' WHERE m.workspace_id = workspace AND m.account_id = actor;
        voids := app.outdate(workspace, actor, NULL, false);
    END IF;
    UPDATE app.members m SET role = change_member.role WHERE m.workspace_id = workspace AND m.account_id = account;
    PERFORM app.note(
        actor, via, workspace, 'member.changed', account::text, jsonb_build_object('role', change_member.role)
    );
    RETURN coalesce(voids, '[]') || app.outdate(workspace, account, NULL, false);
END
$$;

-- A member goes, by themselves or removed, and their keys end with it. MGOWN: not the owner.
CREATE FUNCTION app.remove_member(actor uuid, via uuid, workspace uuid, account uuid)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held text := app.enter(workspace, actor, via, '{owner,admin,member}');
    before text;
    voids jsonb;
BEGIN
    IF held = 'member' AND account <> actor THEN
        RAISE EXCEPTION USING ERRCODE = 'MGROL', MESSAGE = 'another role is needed';
    END IF;
    SELECT m.role INTO before FROM app.members m WHERE m.workspace_id = workspace AND m.account_id = account;
    IF before IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOM', MESSAGE = 'no such member';
    END IF;
    IF before = 'owner' THEN
        RAISE EXCEPTION USING ERRCODE = 'MGOWN', MESSAGE = 'a workspace has an owner';
    END IF;
    voids := app.outdate(workspace, account, NULL, true);
    DELETE FROM app.members m WHERE m.workspace_id = workspace AND m.account_id = account;
    PERFORM app.count_seats(workspace);
    PERFORM app.note(actor, via, workspace, 'member.removed', account::text);
    RETURN voids;
END
$$;

-- Invitations.

CREATE FUNCTION app.invitation_body(wanted uuid)
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'id', i.id, 'workspace_id', i.workspace_id, 'email', i.email, 'role', i.role,
        'status', CASE
            WHEN i.accepted_at IS NOT NULL THEN 'accepted' WHEN i.expires_at <= now() THEN 'expired' ELSE 'open'
        END,
        'created_at', app.iso(i.created_at), 'expires_at', app.iso(i.expires_at),
        'invited_by', (
            SELECT jsonb_build_object('id', a.id, 'name', a.name) FROM app.accounts a WHERE a.id = i.invited_by
        )
    ))
    FROM app.invitations i WHERE i.id = wanted
$$;

-- An invitation, and the mail that brings `link`. An open one to the same address is replaced. Again with the same id:
-- the same. MGTEA: the workspace is not on `needs`. MGMEM: they are in it. MGINV: `most` are open. MGMAI: as many mails
-- went from here today as may.
CREATE FUNCTION app.invite_member(
    actor uuid, via uuid, workspace uuid, invitation uuid, email text, role text, token_hash text, lasts interval,
    link text, needs text, most integer, most_mails integer
)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    address text := app.fold_email(email);
BEGIN
    PERFORM app.enter(workspace, actor, via, '{owner,admin}');
    IF EXISTS (
        SELECT FROM app.invitations i
        WHERE i.id = invitation AND i.workspace_id = workspace AND i.token_hash = invite_member.token_hash
    ) THEN
        RETURN app.invitation_body(invitation);
    END IF;
    IF NOT EXISTS (SELECT FROM app.workspaces w WHERE w.id = workspace AND w.plan = needs) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGTEA', MESSAGE = 'another plan is needed';
    END IF;
    IF app.done_today('member.invited', NULL, workspace) >= most_mails THEN
        RAISE EXCEPTION USING ERRCODE = 'MGMAI', MESSAGE = 'enough mails';
    END IF;
    IF EXISTS (
        SELECT FROM app.members m JOIN app.accounts a ON a.id = m.account_id
        WHERE m.workspace_id = workspace AND app.fold_email(a.email) = address
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGMEM', MESSAGE = 'they are a member';
    END IF;
    DELETE FROM app.invitations i
    WHERE i.workspace_id = workspace AND i.accepted_at IS NULL AND (i.email = address OR i.expires_at <= now());
    IF most <= (SELECT count(*) FROM app.invitations i WHERE i.workspace_id = workspace AND i.accepted_at IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGINV', MESSAGE = 'there are too many invitations';
    END IF;
    INSERT INTO app.invitations (id, workspace_id, email, role, token_hash, invited_by, expires_at)
    VALUES (invitation, workspace, address, role, token_hash, actor, now() + lasts);
    PERFORM app.enqueue(
        'send_mail', workspace,
        jsonb_build_object('template', 'invitation', 'to', btrim(email), 'data', jsonb_build_object(
            'link', link, 'role', role, 'expires_at', app.iso(now() + lasts),
            'workspace', (SELECT w.name FROM app.workspaces w WHERE w.id = workspace),
            'inviter', (SELECT a.name FROM app.accounts a WHERE a.id = actor)
        )),
        invitation::text
    );
    PERFORM app.note(actor, via, workspace, 'member.invited', invitation::text, jsonb_build_object('role', role));
    RETURN app.invitation_body(invitation);
END
$$;

CREATE FUNCTION app.list_invitations(actor uuid, via uuid, workspace uuid)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM app.look(workspace, actor, via, '{owner,admin}');
    RETURN (
        SELECT coalesce(jsonb_agg(app.invitation_body(i.id) ORDER BY i.created_at, i.id), '[]')
        FROM app.invitations i WHERE i.workspace_id = workspace AND i.accepted_at IS NULL
    );
END
$$;

-- False: there is none that is open.
CREATE FUNCTION app.withdraw_invitation(actor uuid, via uuid, workspace uuid, invitation uuid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM app.enter(workspace, actor, via, '{owner,admin}');
    DELETE FROM app.invitations i WHERE i.id = invitation AND i.workspace_id = workspace AND i.accepted_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM app.note(actor, via, workspace, 'invitation.withdrawn', invitation::text);
    RETURN true;
END
$$;

-- Become a member by the token of the mail, which only the person with that address can use. Again by the same: the
-- same. MGNOI: there is none. MGADR: it is for another address. MGUSD: it was used. MGEXP. MGTEA.
CREATE FUNCTION app.accept_invitation(actor uuid, token_hash text, needs text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sent app.invitations;
    address text;
BEGIN
    -- Held, so that an erasure of the account sees what it becomes a member of.
    SELECT app.fold_email(a.email) INTO address FROM app.accounts a WHERE a.id = actor AND a.closed_at IS NULL
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOA', MESSAGE = 'no such account';
    END IF;
    PERFORM FROM app.workspaces w
    WHERE w.id = (SELECT i.workspace_id FROM app.invitations i WHERE i.token_hash = accept_invitation.token_hash)
        AND w.closed_at IS NULL
    FOR NO KEY UPDATE;
    IF FOUND THEN
        SELECT i.* INTO sent FROM app.invitations i WHERE i.token_hash = accept_invitation.token_hash;
    END IF;
    IF sent.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOI', MESSAGE = 'no such invitation';
    END IF;
    IF sent.email IS DISTINCT FROM address THEN
        RAISE EXCEPTION USING ERRCODE = 'MGADR', MESSAGE = 'it is for another address';
    END IF;
    IF sent.accepted_at IS NOT NULL THEN
        IF sent.accepted_by = actor AND EXISTS (
            SELECT FROM app.members m WHERE m.workspace_id = sent.workspace_id AND m.account_id = actor
        ) THEN
            RETURN app.workspace_body(actor, sent.workspace_id);
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'MGUSD', MESSAGE = 'it was used';
    END IF;
    IF sent.expires_at <= now() THEN
        RAISE EXCEPTION USING ERRCODE = 'MGEXP', MESSAGE = 'it has expired';
    END IF;
    IF NOT EXISTS (SELECT FROM app.workspaces w WHERE w.id = sent.workspace_id AND w.plan = needs) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGTEA', MESSAGE = 'another plan is needed';
    END IF;
    INSERT INTO app.members (workspace_id, account_id, role) VALUES (sent.workspace_id, actor, sent.role)
    ON CONFLICT DO NOTHING;
    UPDATE app.invitations i SET accepted_at = now(), accepted_by = actor WHERE i.id = sent.id;
    PERFORM app.count_seats(sent.workspace_id);
    PERFORM app.note(actor, NULL, sent.workspace_id, 'invitation.accepted', sent.id::text);
    RETURN app.workspace_body(actor, sent.workspace_id);
END
$$;

GRANT EXECUTE ON FUNCTION
    app.list_workspaces(uuid, uuid),
    app.create_workspace(uuid, uuid, text, text, text, integer),
    app.rename_workspace(uuid, uuid, uuid, text),
    app.delete_workspace(uuid, uuid),
    app.list_members(uuid, uuid, uuid),
    app.change_member(uuid, uuid, uuid, uuid, text),
    app.remove_member(uuid, uuid, uuid, uuid),
    app.invite_member(uuid, uuid, uuid, uuid, text, text, text, interval, text, text, integer, integer),
    app.list_invitations(uuid, uuid, uuid),
    app.withdraw_invitation(uuid, uuid, uuid, uuid),
    app.accept_invitation(uuid, text, text)
TO accounts;

RESET ROLE;
