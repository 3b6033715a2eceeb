-- What the dashboard shows of the business (functions/provisioning/numbers.py), counted by the sweep. Granted to
-- provisioning only.
--
-- Run like 0001.

SET LOCAL ROLE app_owner;

-- Accounts and workspaces that are open, workspaces that pay, memories as each store was measured last, and jobs that
-- were given up.
CREATE FUNCTION app.count_numbers()
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'accounts', (SELECT count(*) FROM app.accounts a WHERE a.closed_at IS NULL),
        'workspaces', (SELECT count(*) FROM app.workspaces w WHERE w.closed_at IS NULL),
        'paying', (
            SELECT count(*) FROM app.subscriptions s JOIN app.workspaces w ON w.id = s.workspace_id
            WHERE s.live AND w.closed_at IS NULL
        ),
        'memories', (
            SELECT coalesce(sum(used.memories), 0)
            FROM app.workspaces w
            CROSS JOIN LATERAL (
                SELECT u.memories FROM app.usage_daily u
                WHERE u.workspace_id = w.id AND u.measured_at IS NOT NULL ORDER BY u.day DESC LIMIT 1
            ) used
            WHERE w.closed_at IS NULL
        ),
        'dead', (SELECT count(*) FROM app.jobs j WHERE j.state = 'dead')
    )
$$;

GRANT EXECUTE ON FUNCTION app.count_numbers() TO provisioning;

RESET ROLE;
