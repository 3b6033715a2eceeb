"""Rules of how the API is served: whether it is there, whether it fails, how long it takes.

Shares and times mean nothing of a few requests: both have a floor of traffic, and below it the uptime check is what
notices. A cold start takes longer than the 500 ms of the p95, and in a quiet hour cold starts are the p95; so it has to
hold, too.
"""

from __future__ import annotations

from infra.watching.rule import Facts, Rule, Severity, latencies, requests, some

ERROR_SHARE = 0.05
ERROR_FLOOR = 20
"""Requests in five minutes."""
P95_MS = 500
P95_FLOOR = 100
"""Requests in ten minutes."""
P95_MINUTES = 10


def serving(facts: Facts) -> tuple[Rule, ...]:
    """Of the functions behind the edge."""
    failed = requests(facts, 'response_code_class="5xx"')
    every = requests(facts)
    passed = (
        f'monitoring_googleapis_com:uptime_check_check_passed{{monitored_resource="uptime_url",host="{facts.host}"}}'
    )
    quantile = f"histogram_quantile(0.95, sum by (le) (rate({latencies(facts)}[10m])))"
    return (
        Rule(
            name="uptime",
            title="The API is not reachable",
            severity=Severity.CRITICAL,
            query=f"avg(avg_over_time({passed}[10m])) < 0.5",
            happened=f"https://{facts.host} answered fewer than half of the health checks of the last ten minutes.",
            matters="Clients are not served: the edge, the function `memories`, or the way to them is down.",
            first="Ask for /api/v1/health yourself. Error 1027 is the edge's limit of requests; a 503 with our JSON is "
            "the function: look at its logs; no answer is DNS or the certificate: look at Cloudflare.",
        ),
        Rule(
            name="errors",
            title="Many requests fail",
            severity=Severity.CRITICAL,
            query=(
                f"(sum(rate({failed}[5m])) / sum(rate({every}[5m])) > {ERROR_SHARE})"
                f" and (sum(increase({every}[5m])) >= {ERROR_FLOOR})"
            ),
            minutes=5,
            happened=f"More than {ERROR_SHARE:.0%} of requests were answered with a 5xx for five minutes.",
            matters="People lose calls, and clients that do not try again lose memories.",
            first="Look at which part fails: in the logs, group lines of status 500 and more by `part`, then by "
            "`cause`. Did it begin with a deployment? Roll back first and look afterwards.",
        ),
        Rule(
            name="slow",
            title="Answers are slow",
            severity=Severity.WARNING,
            query=f"({quantile} > {P95_MS}) and (sum(increase({every}[10m])) >= {P95_FLOOR})",
            minutes=P95_MINUTES,
            happened=f"One request in twenty took longer than {P95_MS} ms, for {P95_MINUTES} minutes, in busy times.",
            matters="Agents wait for every call, and waiting calls fill instances until new ones have to start.",
            first="Compare `admit` and `store` in the answers' Server-Timing: the one is Redis and the control plane, "
            "the other the memory store. If neither is slow, look at instances on the dashboard: cold starts, or an "
            "import.",
        ),
        Rule(
            name="unhandled",
            title="A failure nobody foresaw",
            severity=Severity.ERROR,
            query=some("unhandled", "5m"),
            happened="A request ended with status 500: an exception that the code does not foresee.",
            matters="It is a bug. Whoever sends the same again gets it again.",
            first="Find the line with status 500 in the logs: it has the stack and the request's id, no user's data.",
        ),
    )
