-- What is not needed any more goes; and how many invitations one address is mailed, whoever sends them. See 0009.
--
--   provisioning   app.forget_old
--
-- Run like 0001.

SET LOCAL ROLE app_owner;

-- Mails with an invitation, by whom they went to: SHA-256 of app.fold_email. The invitations themselves do not tell: they
-- are withdrawn and replaced. A row is needed for a day.
CREATE TABLE app.invitation_mails (
    address_hash text NOT NULL CHECK (address_hash ~ '^[0-9a-f]{64}$'),
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX invitation_mails_of_address ON app.invitation_mails (address_hash, at);
ALTER TABLE app.invitation_mails ENABLE ROW LEVEL SECURITY;

-- Count a mail to an address. MGMAI: five went there in the last day, from any workspace. Those to one address are
-- counted one after the other.
CREATE FUNCTION app.count_invitation_mail(address text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hash text := encode(sha256(convert_to(address, 'UTF8')), 'hex');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('invitation ' || hash, 0));
    IF 5 <= (
        SELECT count(*) FROM app.invitation_mails m WHERE m.address_hash = hash AND m.at > now() - interval '1 day'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGMAI', MESSAGE = 'enough mails';
    END IF;
    INSERT INTO app.invitation_mails (address_hash) VALUES (hash);
END
$$;

-- An invitation, and the mail that brings `link`. An open one to the same address is replaced. Again with the same id:
-- the same. MGTEA: the workspace is not on `needs`. MGMEM: they are in it. MGINV: `most` are open. MGMAI: as many mails
-- went from here, or to that address, today as may.
CREATE OR REPLACE FUNCTION app.invite_member(
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
    PERFORM app.count_invitation_mail(address);
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

-- What is older than it is kept goes, at most `most` rows of each table at a time; how many went.
--
--   audit    what was done, and how many seats there were; of seats the last change before that stays, since it still
--            says how many there are
--   keys     keys that were revoked or have expired so long ago. A memory keeps the id of the key that wrote it
--   links    invitations that were accepted or have expired, and requests of erasures that were not confirmed
CREATE FUNCTION app.forget_old(audit interval, keys interval, links interval, most integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone bigint;
    total bigint := 0;
BEGIN
    -- By number: they came in that order, so no index by age is needed.
    DELETE FROM app.audit_log l
    WHERE l.at < now() - audit AND l.id IN (SELECT o.id FROM app.audit_log o ORDER BY o.id LIMIT most);
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;

    DELETE FROM app.seat_changes s
    WHERE s.id IN (
        SELECT o.id FROM app.seat_changes o
        WHERE o.at < now() - audit AND EXISTS (
            SELECT FROM app.seat_changes n
            WHERE n.workspace_id = o.workspace_id AND (n.at, n.id) > (o.at, o.id) AND n.at < now() - audit
        )
        LIMIT most
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;

    DELETE FROM app.api_keys k
    WHERE k.id IN (
        SELECT o.id FROM app.api_keys o WHERE least(o.revoked_at, o.expires_at) < now() - keys LIMIT most
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;

    DELETE FROM app.invitations i
    WHERE i.id IN (
        SELECT o.id FROM app.invitations o WHERE coalesce(o.accepted_at, o.expires_at) < now() - links LIMIT most
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;

    DELETE FROM app.erasure_requests r
    WHERE r.token_hash IN (
        SELECT o.token_hash FROM app.erasure_requests o WHERE o.expires_at < now() - links LIMIT most
    );
    GET DIAGNOSTICS gone = ROW_COUNT;
    total := total + gone;

    DELETE FROM app.invitation_mails m
    WHERE m.ctid IN (SELECT o.ctid FROM app.invitation_mails o WHERE o.at <= now() - interval '1 day' LIMIT most);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN total + gone;
END
$$;

GRANT EXECUTE ON FUNCTION app.forget_old(interval, interval, interval, integer) TO provisioning;

RESET ROLE;
