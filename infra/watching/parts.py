"""Rules of the parts that a request needs: those that it can do without for a while, and those that it cannot."""

from __future__ import annotations

from infra.watching.metrics import counted
from infra.watching.rule import Rule, Severity, some

PART_FLOOR = 5
"""Refusals in ten minutes."""
PASSING = r"import|store \\(fenced\\)"
"""Parts whose refusals are meant: they ask the caller to come again in seconds."""


def parts() -> tuple[Rule, ...]:
    """Of vendors, and of what they tell us."""
    refused = counted("unavailable", f'part!~"{PASSING}"')
    return (
        Rule(
            name="control-plane",
            title="The control plane does not answer",
            severity=Severity.ERROR,
            query=some("control_plane_down", "10m"),
            happened="A process could not reach Postgres (accounts, keys, plans).",
            matters="Keys that were used in the last minute go on; everybody else gets 503, and so do paid memories.",
            first="Look at the status of the Supabase project: is it paused, out of connections or of disk? The line "
            "“The control plane answers again.” says whether it is over.",
        ),
        Rule(
            name="redis",
            title="Calls are not counted",
            severity=Severity.WARNING,
            query=f"({some('limits_open', '10m')}) or ({some('redis_down', '10m')})",
            happened="A process could not reach Redis: it admits calls by its own share of the minute, uncounted.",
            matters="Calls of that time are on nobody's account, each miss costs the control plane a question, and a "
            "revoked key may live for a minute.",
            first="Look at Upstash: is the month's budget of commands used up? “Redis counts calls again” says that "
            "it is over, and how many calls were not counted.",
        ),
        Rule(
            name="parts",
            title="A part of the service does not answer",
            severity=Severity.ERROR,
            query=f"sum by (part) (increase({refused}[10m])) >= {PART_FLOOR}",
            happened="Several requests in ten minutes were refused (503) because one part, named here, did not answer.",
            matters="Whoever needs that part is not served; the others are.",
            first="Read in docs/failures.md what a caller gets from that part. `store` is Turso or Postgres: look at "
            "their status pages; `auth` is Supabase Auth; `stripe`, `turso`, `smtp` are themselves.",
        ),
        Rule(
            name="webhooks",
            title="Stripe's webhooks fail",
            severity=Severity.ERROR,
            # Stripe tries again after 5 and 30 minutes, then after hours: between the second and the third nothing is
            # heard for longer than a shorter window would see.
            query=some("webhooks_failed", "45m"),
            minutes=60,
            happened="What Stripe tells could not be handled, again and again, for an hour.",
            matters="Who pays does not get what they pay for until it is handled, or by the nightly reconcile.",
            first="Look at the line “A webhook could not be handled.” and its `reason`; then at Stripe's dashboard, "
            "Developers, Webhooks. After the cause is gone, send the failed events again there.",
        ),
    )
