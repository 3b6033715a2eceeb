"""Rules of what is done outside of requests, and of ceilings that are near."""

from __future__ import annotations

from infra.watching.metrics import counted, mean
from infra.watching.rule import Facts, Rule, Severity, requests, some

EDGE_SHARE = 0.7
DATABASES_SHARE = 0.8
SILENT_MINUTES = 20
"""The sweep comes every five minutes. Half of them is the window and half is held, so that a new stack, which has no
number before its first sweep, wakes nobody."""


def work() -> tuple[Rule, ...]:
    """Of the sweep, of jobs and of backups."""
    sweeps, window = counted("sweeps"), f"{SILENT_MINUTES // 2}m"
    return (
        Rule(
            name="sweep",
            title="The sweep is silent",
            severity=Severity.ERROR,
            query=f"(sum(increase({sweeps}[{window}])) < 0.5) or absent_over_time({sweeps}[{window}])",
            minutes=SILENT_MINUTES // 2,
            happened=f"The sweep, due every five minutes, has not come to its end for {SILENT_MINUTES} minutes.",
            matters="Nobody counts use, renews tokens, ends grace or finds lost jobs; and several of these rules live "
            "on the numbers that it logs.",
            first="Look at Cloud Scheduler, job `sweep`: is it paused, what was the last answer? Then at the logs of "
            "`provisioning`. 401 or 403 is the caller's grant: run `pulumi up`.",
        ),
        Rule(
            name="sweep-steps",
            title="A step of the sweep fails",
            severity=Severity.WARNING,
            query=some("sweep_steps_failed", "15m"),
            minutes=30,
            happened="A step of the sweep has failed each time for half an hour; the others went on.",
            matters="What that step does is not done: counting, measuring, mails or cleaning, as its name says.",
            first="Look at the line “The sweep's step ... failed”: it names the step and the reason.",
        ),
        Rule(
            name="jobs",
            title="A job was given up",
            severity=Severity.ERROR,
            query=some("jobs_dead", "10m"),
            happened="A job failed in its last attempt, and is not tried again by itself.",
            matters="Somebody waits for it: a store that is not opened, an erasure that is not finished, a mail.",
            first="The mail that the sweep sends says which and why. Mend the cause, then have the job tried again.",
        ),
        Rule(
            name="backup",
            title="A backup failed",
            severity=Severity.ERROR,
            query=f"({some('backups_failed', '1h')}) or ({some('restores_failed', '1h')})",
            happened="A backup was not made whole, or the newest one could not be restored when that was tried.",
            matters="What was written since the last good one could not be brought back.",
            first="Look at the line “Backups: ...” or “The check of backups failed: ...”, mend the cause, and let the "
            "job of Cloud Scheduler run again: a backup carries on where it stopped.",
        ),
    )


def ceilings(facts: Facts) -> tuple[Rule, ...]:
    """Of vendors' plans that have an end."""
    found: list[Rule] = []
    if facts.databases_most:
        found.append(
            Rule(
                name="databases",
                title="Turso's plan is nearly full",
                severity=Severity.WARNING,
                query=f"{mean('databases')} >= {DATABASES_SHARE * facts.databases_most:g}",
                happened=f"{DATABASES_SHARE:.0%} of the {facts.databases_most} databases of Turso's plan are in use.",
                matters="When none is left, new free workspaces start in Postgres, whose space is dearer.",
                first="Take Turso's next plan and say so: the stack's profile `production` has no such limit.",
            )
        )
    if facts.edge_requests_most:
        found.append(
            Rule(
                name="edge",
                title="The edge's day is nearly used up",
                severity=Severity.WARNING,
                # Cloudflare tells its own count only to a token of its own, so what reaches the functions is counted;
                # what the Worker answers itself, such as an unknown path, is not in it. The window rolls, while
                # Cloudflare's day begins at midnight UTC: that is early rather than late.
                query=f"sum(increase({requests(facts)}[23h])) >= {EDGE_SHARE * facts.edge_requests_most:g}",
                happened=f"{EDGE_SHARE:.0%} of the {facts.edge_requests_most:,} requests that Workers Free serves in a "
                "day have reached the functions.",
                matters="Beyond them Cloudflare answers every request with error 1027 until midnight UTC.",
                first="Take Workers Paid ($5 a month) and set the stack's profile to `production`; or find the one who "
                "calls so much: in the logs, group lines by `workspace`.",
            )
        )
    return tuple(found)
