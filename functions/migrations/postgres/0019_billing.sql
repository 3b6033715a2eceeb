-- Billing: who pays for a workspace, what Stripe was last seen to say of it, and what follows. functions/billing/ asks
-- Stripe and says what it means (billing/projecting.py); here that becomes the workspace's plan, with the jobs and
-- mails of the change, in one transaction. What is refused is raised as in 0009 (functions/billing/refusals.py).
--
--   billing        logs in; may run app.admit and admit_member, and what is granted to it below
--   provisioning   besides: what its jobs and its sweep need of this
--
-- Nothing here waits for Stripe: whoever works at a customer holds a lease, which is a row (app.hold_customer).
--
-- Run like 0001.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'billing') THEN
        CREATE ROLE billing NOLOGIN NOINHERIT;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA app TO billing;
ALTER ROLE billing SET statement_timeout = '5s';
ALTER ROLE billing SET idle_in_transaction_session_timeout = '5s';

SET LOCAL ROLE app_owner;

-- Tables.

ALTER TABLE app.workspaces
    ADD COLUMN alone boolean NOT NULL DEFAULT false, -- its plan has room for its owner only: others are not admitted
    ADD COLUMN customers integer NOT NULL DEFAULT 0, -- customers at Stripe that it had before stripe_customer
    ADD COLUMN owners integer NOT NULL DEFAULT 0, -- how often it was handed over
    ADD COLUMN given text; -- the plan that it has when nothing is paid for, by the operator; null: the free one

-- Nothing was sold before this: who is on another plan was given it.
UPDATE app.workspaces w SET given = w.plan WHERE w.plan <> 'free';

-- The subscription that counts, as Stripe said it at `settled_at`. No row: there is none.
CREATE TABLE app.subscriptions (
    workspace_id uuid PRIMARY KEY REFERENCES app.workspaces ON DELETE CASCADE,
    customer text NOT NULL,
    id text NOT NULL,
    item text NOT NULL,
    status text NOT NULL,
    plan text NOT NULL, -- what it is paid for
    by_seat boolean NOT NULL,
    live boolean NOT NULL, -- whether the workspace has that plan by it; false: its payment is due for too long
    lookup_key text NOT NULL,
    seats integer NOT NULL,
    began timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    cancel_at timestamptz,
    next_plan text,
    next_at timestamptz,
    grace_until timestamptz, -- a payment is due, and until then the plan goes on
    settled_at timestamptz NOT NULL
);
CREATE INDEX subscriptions_of_customer ON app.subscriptions (customer);

CREATE TABLE app.billing_leases (
    customer text PRIMARY KEY, -- or what else only one may work at
    holder text NOT NULL,
    until timestamptz NOT NULL
);

-- Deliveries of webhooks. Only ids are kept. `handled_at` is null until what the event is about was looked at.
CREATE TABLE app.stripe_events (
    id text PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    customer text,
    workspace_id uuid REFERENCES app.workspaces ON DELETE CASCADE, -- null: the customer was no workspace's
    created timestamptz NOT NULL, -- at Stripe
    received_at timestamptz NOT NULL DEFAULT now(),
    handled_at timestamptz,
    error text -- why it was not handled the last time
);
CREATE INDEX stripe_events_of_workspace ON app.stripe_events (workspace_id);
CREATE INDEX stripe_events_of_customer ON app.stripe_events (customer);
CREATE INDEX stripe_events_by_time ON app.stripe_events (received_at);

CREATE TABLE app.disputes (
    id text PRIMARY KEY,
    customer text,
    workspace_id uuid REFERENCES app.workspaces ON DELETE CASCADE,
    status text NOT NULL, -- Stripe's
    amount_cents bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX disputes_of_workspace ON app.disputes (workspace_id);

ALTER TABLE app.subscriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.billing_leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.stripe_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.disputes ENABLE ROW LEVEL SECURITY;

-- Small things. They are granted to nobody.

-- A job that begins when this transaction is over, however many ask for it. One that runs has looked around already, so
-- it does not count; one that waits is held until then, so that it does not begin before.
CREATE FUNCTION app.enqueue_next(kind text, subject uuid)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM app.jobs j
    WHERE j.kind = enqueue_next.kind AND j.subject = enqueue_next.subject AND j.state = 'waiting' FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM app.enqueue(kind, subject);
    END IF;
END
$$;

-- A job, unless one of this kind and `dedupe` is open; whether it was made.
CREATE FUNCTION app.enqueue_new(kind text, subject uuid, payload jsonb, dedupe text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM app.jobs j
        WHERE j.kind = enqueue_new.kind AND j.dedupe = enqueue_new.dedupe AND j.state IN ('waiting', 'running')
    ) THEN
        RETURN false;
    END IF;
    PERFORM app.enqueue(kind, subject, payload, dedupe);
    RETURN true;
END
$$;

-- Tell the operator by mail, once for `what`. Whom that is, only provisioning knows: the mail says no recipient.
CREATE FUNCTION app.mail_operator(what text, headline text, lines text[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO app.quota_marks (workspace_id, what, level) VALUES (NULL, mail_operator.what, 0) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM app.enqueue('send_mail', NULL, jsonb_build_object(
        'template', 'operator', 'data', jsonb_build_object('headline', headline, 'lines', to_jsonb(lines))
    ));
    RETURN true;
END
$$;

-- A mail to whoever owns the workspace; none when no address is known. `data` besides its name.
CREATE FUNCTION app.mail_owner(workspace uuid, template text, data jsonb)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT app.enqueue('send_mail', w.id, jsonb_build_object(
        'template', template, 'to', a.email, 'data', jsonb_build_object('workspace', w.name) || data
    ))
    FROM app.workspaces w
    JOIN app.members m ON m.workspace_id = w.id AND m.role = 'owner'
    JOIN app.accounts a ON a.id = m.account_id
    WHERE w.id = workspace AND a.email IS NOT NULL
$$;

-- A day as mails say it: 11 December 2026.
CREATE FUNCTION app.day_of(at timestamptz)
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT to_char(at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY') $$;

-- Have the store of a workspace that is locked moved to where its new plan says. The jobs of a store run in the order
-- in which they came, so the newest open one decides where it ends. A move that has not begun and leads elsewhere is
-- taken back; one that has begun ends first, because what it has changed is to be ended. Whether a job was made.
CREATE FUNCTION app.ask_move(workspace uuid, wanted text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest app.jobs;
BEGIN
    UPDATE app.jobs j
    SET state = 'done', finished_at = now(), payload = '{}', last_error = 'another plan came before it began'
    WHERE j.kind = 'move_store' AND j.subject = workspace AND j.state = 'waiting' AND j.attempts = 0
        AND j.payload ->> 'to' <> wanted;
    -- Held: it does not begin before the new plan can be seen. One that runs has read the old one.
    SELECT j.* INTO newest FROM app.jobs j
    WHERE j.kind = 'move_store' AND j.subject = workspace AND j.state IN ('waiting', 'running')
    ORDER BY j.number DESC LIMIT 1 FOR UPDATE;
    IF newest.id IS NULL AND EXISTS (
        SELECT FROM app.workspaces w WHERE w.id = workspace AND w.store_kind = wanted
    ) OR newest.state = 'waiting' AND newest.payload ->> 'to' = wanted THEN
        RETURN false;
    END IF;
    PERFORM app.enqueue('move_store', workspace, jsonb_build_object('to', wanted));
    RETURN true;
END
$$;

-- Leases.

-- Whether nobody else works at this customer for so long, from now. Again by the same holder: longer.
CREATE FUNCTION app.hold_customer(customer text, holder text, lasts interval)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH held AS (
        INSERT INTO app.billing_leases AS l (customer, holder, until)
        VALUES (hold_customer.customer, hold_customer.holder, clock_timestamp() + lasts)
        ON CONFLICT (customer) DO UPDATE SET holder = excluded.holder, until = clock_timestamp() + lasts
        WHERE l.holder = excluded.holder OR l.until <= clock_timestamp()
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM held)
$$;

-- Those that were left by somebody who died go, too.
CREATE FUNCTION app.release_customer(customer text, holder text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM app.billing_leases l
    WHERE l.customer = release_customer.customer AND l.holder = release_customer.holder
        OR l.until < now() - interval '1 day'
$$;

-- Settling.

-- Make the workspace of a customer what it pays for. `facts` (functions/billing/control.py writes them):
--   deleted         whether the customer is
--   plan            null: nothing can be said, and what is there stays
--   paid            whether a subscription grants it; else the workspace has what it was given
--   seat_plans      the plans that are by seat
--   store           where the plan's memories are; null: they stay
--   subscription    what app.subscriptions holds; null: none counts
--   duplicates      ids of others that are paid for beside it
--   overdue         ids of those whose payment is due for too long
--   unknown_prices  subscriptions that grant nothing, as the operator is told of them
-- Settling the same again changes nothing. Returns {workspace, changes, voids}; workspace null: it is nobody's
-- customer.
-- MGLEA: the holder does not hold the customer any more.
CREATE FUNCTION app.settle_billing(customer text, holder text, facts jsonb, at timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held app.workspaces;
    before app.subscriptions;
    after app.subscriptions;
    wanted text;
    lonely boolean;
    crowd integer; -- members
    one text;
    changes text[] := '{}';
    voids jsonb := '[]';
BEGIN
    PERFORM FROM app.billing_leases l
    WHERE l.customer = settle_billing.customer AND l.holder = settle_billing.holder AND l.until > clock_timestamp()
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'MGLEA', MESSAGE = 'the lease is lost';
    END IF;
    SELECT w.* INTO held FROM app.workspaces w WHERE w.stripe_customer = settle_billing.customer FOR NO KEY UPDATE;
    IF held.id IS NULL THEN
        RETURN jsonb_build_object('workspace', NULL, 'changes', '[]'::jsonb, 'voids', voids);
    END IF;
    SELECT s.* INTO before FROM app.subscriptions s WHERE s.workspace_id = held.id;

    IF facts ->> 'plan' IS NULL THEN
        after := before;
        UPDATE app.subscriptions s SET settled_at = at WHERE s.workspace_id = held.id;
        wanted := held.plan;
        lonely := held.alone;
    ELSE
        wanted := CASE WHEN (facts ->> 'paid')::boolean THEN facts ->> 'plan'
            ELSE coalesce(held.given, facts ->> 'plan') END;
        lonely := NOT facts -> 'seat_plans' ? wanted;
        IF jsonb_typeof(facts -> 'subscription') = 'object' THEN
            after := jsonb_populate_record(NULL::app.subscriptions, facts -> 'subscription' || jsonb_build_object(
                'workspace_id', held.id, 'customer', settle_billing.customer, 'settled_at', at
            ));
            DELETE FROM app.subscriptions s WHERE s.workspace_id = held.id;
            INSERT INTO app.subscriptions SELECT (after).*;
        ELSE
            DELETE FROM app.subscriptions s WHERE s.workspace_id = held.id;
        END IF;
    END IF;
    SELECT coalesce(array_agg(format(
        'subscription: %s %s -> %s', k.name, coalesce(to_jsonb(before) ->> k.name, 'none'),
        coalesce(to_jsonb(after) ->> k.name, 'none')
    ) ORDER BY k.place), '{}')
    INTO changes
    FROM unnest('{id,status,plan,lookup_key,live,seats,period_end,cancel_at,next_plan,next_at,grace_until}'::text[])
        WITH ORDINALITY k (name, place)
    WHERE to_jsonb(before) ->> k.name IS DISTINCT FROM to_jsonb(after) ->> k.name;

    crowd := (SELECT count(*) FROM app.members m WHERE m.workspace_id = held.id);
    IF held.plan <> wanted OR held.alone <> lonely AND crowd > 1 THEN
        UPDATE app.workspaces w
        SET plan = wanted, alone = lonely, version = w.version + 1, store_note = CASE
            WHEN held.plan = wanted OR w.store_note = 'closed' THEN w.store_note
        END
        WHERE w.id = held.id;
        voids := app.outdate(held.id, NULL, NULL, false);
        changes := changes || CASE WHEN held.plan <> wanted
            THEN format('workspace: plan %s -> %s', held.plan, wanted) ELSE format('workspace: alone %s', lonely) END;
    ELSE -- there is nobody whom that shuts out
        UPDATE app.workspaces w SET alone = lonely WHERE w.id = held.id AND w.alone <> lonely;
    END IF;
    IF held.closed_at IS NULL THEN
        IF held.plan <> wanted AND facts ->> 'store' IS NOT NULL AND wanted = facts ->> 'plan' THEN
            IF app.ask_move(held.id, facts ->> 'store') THEN
                changes := changes || format('job: move_store to %s', facts ->> 'store');
            END IF;
        END IF;
        IF after.live AND after.seats <> (CASE WHEN after.by_seat THEN crowd ELSE 1 END)
            AND facts ->> 'plan' IS NOT NULL AND NOT EXISTS (
                SELECT FROM app.jobs j
                WHERE j.kind = 'sync_seats' AND j.subject = held.id AND j.state IN ('waiting', 'running')
            ) THEN
            PERFORM app.enqueue('sync_seats', held.id);
            changes := changes || 'job: sync_seats'::text;
        END IF;
        PERFORM app.mail_billing(held.id, held.plan, wanted, before, after, facts, at);
    END IF;
    FOR one IN SELECT jsonb_array_elements_text(facts -> 'duplicates') LOOP
        IF app.enqueue_new('end_duplicate', held.id, jsonb_build_object(
            'subscription', one, 'customer', settle_billing.customer
        ), one) THEN
            changes := changes || format('job: end_duplicate %s', one);
        END IF;
    END LOOP;
    IF jsonb_array_length(facts -> 'overdue') > 0 AND app.enqueue_new(
        'end_grace', held.id, jsonb_build_object('customer', settle_billing.customer), settle_billing.customer
    ) THEN
        changes := changes || 'job: end_grace'::text;
    END IF;
    FOR one IN SELECT jsonb_array_elements_text(facts -> 'unknown_prices') LOOP
        IF app.mail_operator('unknown price ' || one, 'Somebody pays for what is not sold', ARRAY[
            format('Workspace %s, customer %s at Stripe.', held.id, settle_billing.customer),
            format('The price of subscription %s is none of functions/declarations.py. It grants nothing.', one),
            'End the subscription at Stripe and give the money back, or declare the price.'
        ]) THEN
            changes := changes || format('operator: unknown price of %s', one);
        END IF;
    END LOOP;
    IF (facts ->> 'deleted')::boolean THEN
        UPDATE app.workspaces w SET stripe_customer = NULL, customers = w.customers + 1 WHERE w.id = held.id;
        changes := changes || format('customer: %s is deleted', settle_billing.customer);
    END IF;
    IF changes <> '{}' THEN
        PERFORM app.note(NULL, NULL, held.id, 'billing.settled', settle_billing.customer,
            jsonb_build_object('changes', to_jsonb(changes)));
    END IF;
    RETURN jsonb_build_object('workspace', held.id, 'changes', to_jsonb(changes), 'voids', voids);
END
$$;

-- What the owner is told of a settlement: of what it changed, and once.
CREATE FUNCTION app.mail_billing(
    workspace uuid, old_plan text, new_plan text, before app.subscriptions, after app.subscriptions, facts jsonb,
    at timestamptz
)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF old_plan <> new_plan THEN
        IF (facts ->> 'paid')::boolean THEN
            PERFORM app.mail_owner(workspace, 'plan_begun', jsonb_build_object('plan', initcap(new_plan)));
        ELSE
            PERFORM app.mail_owner(workspace, 'plan_ended', jsonb_build_object('plan', initcap(old_plan)));
        END IF;
    END IF;
    IF after.live AND after.grace_until > at AND after.grace_until IS DISTINCT FROM before.grace_until THEN
        PERFORM app.mail_owner(workspace, 'payment_failed', jsonb_build_object(
            'plan', initcap(after.plan), 'grace_until', app.day_of(after.grace_until)
        ));
    END IF;
    IF after.live AND after.status <> 'past_due' AND before.live AND before.status = 'past_due'
        AND before.id = after.id THEN
        PERFORM app.mail_owner(workspace, 'payment_recovered', jsonb_build_object('plan', initcap(after.plan)));
    END IF;
END
$$;

-- Events.

-- Write down that an event came. False: it was handled before.
CREATE FUNCTION app.begin_event(id text, kind text, subject text, customer text, created timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO app.stripe_events (id, kind, subject, customer, workspace_id, created)
    VALUES (
        begin_event.id, begin_event.kind, begin_event.subject, begin_event.customer,
        (SELECT w.id FROM app.workspaces w WHERE w.stripe_customer = begin_event.customer), begin_event.created
    )
    ON CONFLICT ON CONSTRAINT stripe_events_pkey DO NOTHING;
    RETURN EXISTS (SELECT FROM app.stripe_events e WHERE e.id = begin_event.id AND e.handled_at IS NULL);
END
$$;

-- It was handled, or (with an error) not yet.
CREATE FUNCTION app.end_event(id text, error text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE app.stripe_events e
    SET handled_at = CASE WHEN end_event.error IS NULL THEN now() END, error = left(end_event.error, 500)
    WHERE e.id = end_event.id AND e.handled_at IS NULL
$$;

CREATE FUNCTION app.forget_events(age interval)
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH forgotten AS (DELETE FROM app.stripe_events e WHERE e.received_at < now() - age RETURNING 1)
    SELECT count(*) FROM forgotten
$$;

-- Whose a customer is; of one that was deleted since: whose it was. Null: no workspace's.
CREATE FUNCTION app.workspace_of(customer text)
RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT w.id FROM app.workspaces w WHERE w.stripe_customer = workspace_of.customer),
        (
            SELECT e.workspace_id FROM app.stripe_events e
            WHERE e.customer = workspace_of.customer AND e.workspace_id IS NOT NULL
            ORDER BY e.received_at DESC LIMIT 1
        )
    )
$$;

-- A dispute as it is now, which the operator is told of; whether that is news. One that ended stays so, and one that is
-- no workspace's is nothing to us. What does not say its customer any more is whose it was.
CREATE FUNCTION app.record_dispute(dispute text, customer text, status text, amount_cents bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspace uuid := coalesce(
        app.workspace_of(record_dispute.customer),
        (SELECT d.workspace_id FROM app.disputes d WHERE d.id = record_dispute.dispute)
    );
BEGIN
    IF workspace IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO app.disputes AS d (id, customer, workspace_id, status, amount_cents)
    VALUES (dispute, record_dispute.customer, workspace, record_dispute.status, record_dispute.amount_cents)
    ON CONFLICT ON CONSTRAINT disputes_pkey DO UPDATE
    SET status = excluded.status, amount_cents = excluded.amount_cents
    WHERE d.status <> excluded.status AND d.status NOT IN ('won', 'lost');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM app.mail_operator(format('dispute %s %s', dispute, record_dispute.status), 'A payment is disputed', ARRAY[
        format(
            'Dispute %s: %s, %s USD.', dispute, record_dispute.status, to_char(amount_cents / 100.0, 'FM999999990.00')
        ),
        format('Customer %s at Stripe, workspace %s.', coalesce(record_dispute.customer, 'unknown'), workspace),
        'Answer it in Stripe''s dashboard. The workspace keeps its plan until its subscription ends.'
    ]);
    RETURN true;
END
$$;

-- Whether a customer is a workspace's, or was until it was deleted.
CREATE FUNCTION app.knows_customer(customer text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT app.workspace_of(customer) IS NOT NULL $$;

-- Tell the operator of a payment that was given back, once for each event.
CREATE FUNCTION app.record_refund(event text, charge text, customer text)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT app.mail_operator('refund ' || event, 'A payment was given back', ARRAY[
        format('Charge %s of customer %s at Stripe.', charge, coalesce(customer, 'nobody')),
        'The plan of a workspace follows its subscription: a payment that is given back does not end it.'
    ])
$$;

-- Reading.

-- What a workspace has and pays for. `price_usd` is not known here: `lookup_key` names it.
CREATE FUNCTION app.read_billing(actor uuid, via uuid, workspace uuid)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held app.workspaces;
    paid app.subscriptions;
    move app.jobs;
BEGIN
    PERFORM app.look(workspace, actor, via, '{owner,admin}');
    SELECT w.* INTO held FROM app.workspaces w WHERE w.id = workspace;
    SELECT s.* INTO paid FROM app.subscriptions s WHERE s.workspace_id = workspace;
    SELECT j.* INTO move FROM app.jobs j
    WHERE j.kind = 'move_store' AND j.subject = workspace AND j.state IN ('waiting', 'running')
    ORDER BY j.number DESC LIMIT 1;
    RETURN jsonb_build_object(
        'plan', held.plan, 'status', paid.status, 'seats', CASE WHEN paid.live THEN paid.seats ELSE held.seats END,
        'members', held.seats, 'lookup_key', CASE WHEN paid.live THEN paid.lookup_key END,
        'period_end', app.iso(paid.period_end), 'cancel_at', app.iso(paid.cancel_at),
        'next_plan', paid.next_plan, 'next_at', app.iso(paid.next_at), 'grace_until', app.iso(paid.grace_until),
        'disputed', EXISTS (
            SELECT FROM app.disputes d
            WHERE d.workspace_id = workspace AND d.status NOT IN ('won', 'lost', 'prevented', 'warning_closed')
        ),
        'move', jsonb_build_object(
            'state', CASE
                WHEN move.state = 'running' OR move.attempts > 0 THEN 'moving'
                WHEN move.id IS NOT NULL THEN 'waiting'
                WHEN held.store_note = 'too large for its plan' THEN 'stays'
                ELSE 'none'
            END,
            'to', move.payload ->> 'to', 'note', held.store_note
        ),
        'customer', held.stripe_customer IS NOT NULL, 'subscription', coalesce(paid.live, false)
    );
END
$$;

-- A workspace and who pays for it, also when it was closed. No row: there is none.
CREATE FUNCTION app.payer_of(workspace uuid)
RETURNS TABLE (
    workspace_id text, plan text, seats integer, customer text, customers integer, email text, name text,
    owners integer
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id::text, w.plan, w.seats, w.stripe_customer, w.customers, a.email, w.name, w.owners
    FROM app.workspaces w
    LEFT JOIN app.members m ON m.workspace_id = w.id AND m.role = 'owner'
    LEFT JOIN app.accounts a ON a.id = m.account_id
    WHERE w.id = workspace
$$;

-- The same for a signed-in person, who must own it.
CREATE FUNCTION app.payer(actor uuid, workspace uuid)
RETURNS TABLE (
    workspace_id text, plan text, seats integer, customer text, customers integer, email text, name text,
    owners integer
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM app.look(workspace, actor, NULL, '{owner}');
    RETURN QUERY SELECT p.* FROM app.payer_of(workspace) p;
END
$$;

-- The workspace's customer at Stripe: this one, or the one that it has already. MGNOW: there is no such workspace.
CREATE FUNCTION app.attach_customer(workspace uuid, customer text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attached text;
BEGIN
    UPDATE app.workspaces w SET stripe_customer = coalesce(w.stripe_customer, attach_customer.customer)
    WHERE w.id = workspace AND w.closed_at IS NULL
    RETURNING w.stripe_customer INTO attached;
    IF attached IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MGNOW', MESSAGE = 'no such workspace';
    END IF;
    RETURN attached;
END
$$;

-- Into the audit log, what somebody did at Stripe by us.
CREATE FUNCTION app.note_billing(actor uuid, via uuid, workspace uuid, action text, detail jsonb)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT app.note(actor, via, workspace, 'billing.' || action, workspace::text, detail)
    FROM app.members m WHERE m.workspace_id = workspace AND m.account_id = actor
$$;

-- Customers and their workspaces, by customer, after one of them.
CREATE FUNCTION app.list_customers(after text, most integer)
RETURNS TABLE (customer text, workspace_id text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.stripe_customer, w.id::text FROM app.workspaces w
    WHERE w.stripe_customer IS NOT NULL AND (list_customers.after IS NULL OR w.stripe_customer > list_customers.after)
    ORDER BY w.stripe_customer LIMIT most
$$;

-- The customers of workspaces that are erased.
CREATE FUNCTION app.list_customers_of(workspaces uuid[])
RETURNS TABLE (customer text, workspace_id text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.stripe_customer, w.id::text FROM app.workspaces w
    WHERE w.id = ANY (workspaces) AND w.stripe_customer IS NOT NULL
    ORDER BY w.stripe_customer
$$;

-- Customers at Stripe that are nobody's here and that the operator was told of.
CREATE FUNCTION app.list_strangers()
RETURNS TABLE (customer text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT substr(q.what, length('stranger ') + 1) FROM app.quota_marks q
    WHERE q.workspace_id IS NULL AND starts_with(q.what, 'stranger ')
$$;

CREATE FUNCTION app.note_strangers(customers text[])
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO app.quota_marks (workspace_id, what, level)
    SELECT NULL, 'stranger ' || c, 0 FROM unnest(customers) c
    ON CONFLICT DO NOTHING
$$;

-- Customers whose grace is over, or (for an hour, in which Stripe tells of it) whose period, and who were not looked at
-- since.
CREATE FUNCTION app.list_due(at timestamptz, most integer)
RETURNS TABLE (customer text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.customer FROM app.subscriptions s
    JOIN app.workspaces w ON w.id = s.workspace_id AND w.stripe_customer = s.customer
    WHERE s.grace_until <= at AND s.settled_at < s.grace_until
        OR s.period_end + interval '1 hour' <= at AND s.settled_at < s.period_end + interval '1 hour'
    ORDER BY s.settled_at LIMIT most
$$;

-- Moves.

-- Have the store of a workspace moved to where its plan says, which is `store`, unless it has another plan by now or is
-- there. Whether a job was made.
CREATE FUNCTION app.move_misplaced(workspace uuid, plan text, store text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM app.workspaces w
    WHERE w.id = workspace AND w.plan = move_misplaced.plan AND w.store_kind <> store AND w.closed_at IS NULL
    FOR NO KEY UPDATE;
    RETURN FOUND AND app.ask_move(workspace, store);
END
$$;

-- What was there before.

-- An account and its own workspace, without a store yet. Running it again changes nothing. A plan that is not the free
-- one is given: it does not end with a subscription.
CREATE OR REPLACE FUNCTION app.open_account(account_id uuid, workspace_id uuid, name text, plan text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO app.accounts (id, name) VALUES (open_account.account_id, open_account.name) ON CONFLICT DO NOTHING;
    INSERT INTO app.workspaces (id, name, plan, given)
    VALUES (open_account.workspace_id, open_account.name, open_account.plan, nullif(open_account.plan, 'free'))
    ON CONFLICT DO NOTHING;
    INSERT INTO app.members (workspace_id, account_id, role)
    VALUES (open_account.workspace_id, open_account.account_id, 'owner') ON CONFLICT DO NOTHING;
$$;

-- Who is paid for changes with who is in: a subscription by seat follows.
CREATE OR REPLACE FUNCTION app.count_seats(workspace uuid)
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
        IF EXISTS (SELECT FROM app.subscriptions s WHERE s.workspace_id = workspace AND s.live AND s.by_seat) THEN
            PERFORM app.enqueue_next('sync_seats', workspace);
        END IF;
    END IF;
END
$$;

-- Whether a payment for it is due: nobody new comes in meanwhile, as seats that are not paid for would be free.
CREATE FUNCTION app.owes(workspace uuid)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM app.subscriptions s WHERE s.workspace_id = workspace AND s.live AND s.grace_until IS NOT NULL
    )
$$;

-- As in 0018; and MGDUE: a payment is due.
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
    IF app.owes(workspace) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGDUE', MESSAGE = 'a payment is due';
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

-- As in 0013; and MGDUE: a payment is due.
CREATE OR REPLACE FUNCTION app.accept_invitation(actor uuid, token_hash text, needs text)
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
    IF app.owes(sent.workspace_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'MGDUE', MESSAGE = 'a payment is due';
    END IF;
    INSERT INTO app.members (workspace_id, account_id, role) VALUES (sent.workspace_id, actor, sent.role)
    ON CONFLICT DO NOTHING;
    UPDATE app.invitations i SET accepted_at = now(), accepted_by = actor WHERE i.id = sent.id;
    PERFORM app.count_seats(sent.workspace_id);
    PERFORM app.note(actor, NULL, sent.workspace_id, 'invitation.accepted', sent.id::text);
    RETURN app.workspace_body(actor, sent.workspace_id);
END
$$;

-- As in 0013; and whoever owned it pays no more: a job takes their cards away.
CREATE OR REPLACE FUNCTION app.change_member(actor uuid, via uuid, workspace uuid, account uuid, role text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held text := app.enter(workspace, actor, via, '{owner,admin}');
    before text;
    paying text;
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
    IF change_member.role = 'owner' THEN
        UPDATE app.workspaces w SET owners = w.owners + 1 WHERE w.id = workspace RETURNING w.stripe_customer INTO paying;
        IF paying IS NOT NULL THEN
            PERFORM app.enqueue('hand_over_customer', workspace, jsonb_build_object('customer', paying));
        END IF;
    END IF;
    PERFORM app.note(
        actor, via, workspace, 'member.changed', account::text, jsonb_build_object('role', change_member.role)
    );
    RETURN coalesce(voids, '[]') || app.outdate(workspace, account, NULL, false);
END
$$;

-- With the workspace goes its customer, and so what is paid for it.
CREATE OR REPLACE FUNCTION app.close_workspace(workspace uuid)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    paying text;
BEGIN
    UPDATE app.workspaces w SET closed_at = coalesce(w.closed_at, now()), version = w.version + 1
    WHERE w.id = workspace
    RETURNING w.stripe_customer INTO paying;
    DELETE FROM app.invitations i WHERE i.workspace_id = workspace AND i.accepted_at IS NULL;
    PERFORM app.enqueue('close_store', workspace, '{}', workspace::text);
    IF paying IS NOT NULL THEN
        PERFORM app.enqueue('delete_customer', workspace, jsonb_build_object('customer', paying), paying);
    END IF;
    RETURN app.outdate(workspace, NULL, NULL, true);
END
$$;

-- All that the control plane holds of an account, as in 0014, and what is paid for its own workspaces.
CREATE OR REPLACE FUNCTION app.export_account(actor uuid, via uuid)
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
        'subscriptions', (
            SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                'workspace_id', s.workspace_id, 'customer', s.customer, 'id', s.id, 'status', s.status, 'plan', s.plan,
                'seats', s.seats, 'since', app.iso(s.began), 'period_end', app.iso(s.period_end),
                'cancel_at', app.iso(s.cancel_at), 'next_plan', s.next_plan, 'next_at', app.iso(s.next_at),
                'grace_until', app.iso(s.grace_until)
            )) ORDER BY s.workspace_id), '[]')
            FROM own JOIN app.subscriptions s ON s.workspace_id = own.id
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

-- People and keys, as in 0009. 'alone': the plan has room for the owner only.

CREATE OR REPLACE FUNCTION app.admit(key_hash text)
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
            WHEN w.alone AND m.role <> 'owner' THEN 'alone'
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

CREATE OR REPLACE FUNCTION app.admit_member(
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
            WHEN w.alone AND m.role <> 'owner' THEN 'alone'
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

GRANT EXECUTE ON FUNCTION app.admit(text), app.admit_member(uuid, uuid, text, text, double precision, text) TO billing;
GRANT EXECUTE ON FUNCTION
    app.hold_customer(text, text, interval),
    app.release_customer(text, text),
    app.settle_billing(text, text, jsonb, timestamptz),
    app.attach_customer(uuid, text)
TO billing, provisioning;
GRANT EXECUTE ON FUNCTION
    app.begin_event(text, text, text, text, timestamptz),
    app.knows_customer(text),
    app.end_event(text, text),
    app.record_dispute(text, text, text, bigint),
    app.record_refund(text, text, text),
    app.read_billing(uuid, uuid, uuid),
    app.payer(uuid, uuid),
    app.note_billing(uuid, uuid, uuid, text, jsonb)
TO billing;
GRANT EXECUTE ON FUNCTION
    app.payer_of(uuid),
    app.list_customers(text, integer),
    app.list_customers_of(uuid[]),
    app.list_due(timestamptz, integer),
    app.list_strangers(),
    app.note_strangers(text[]),
    app.move_misplaced(uuid, text, text),
    app.forget_events(interval)
TO provisioning;

RESET ROLE;
