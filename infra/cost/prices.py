"""What vendors charge. Each price says what it is for, what is free of it a month, and where and when it was read.

No price was read on a live page by us: they come from copies of the vendors' pages, of the dates below. Check them anew
before a launch: that is one change in this file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Something that is counted. The first `free` units of a month cost nothing, the others `usd` for each `per`.

    `stops`: beyond `free` the vendor serves no more, instead of charging.
    """

    vendor: str
    name: str
    unit: str
    free: float
    usd: float = 0.0
    per: float = 1.0
    stops: bool = False
    source: str
    read_on: str

    def cost(self, amount: float) -> float:
        return max(amount - self.free, 0.0) / self.per * self.usd


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One plan of one vendor. `fee` is a month's."""

    vendor: str
    name: str
    fee: float
    meters: tuple[Meter, ...]


def _meters(
    vendor: str, source: str, read_on: str, *rows: tuple[str, str, float, float, float, bool]
) -> tuple[Meter, ...]:
    return tuple(
        Meter(
            vendor=vendor,
            name=name,
            unit=unit,
            free=free,
            usd=usd,
            per=per,
            stops=stops,
            source=source,
            read_on=read_on,
        )
        for name, unit, free, usd, per, stops in rows
    )


M, K, GO = 1e6, 1e3, False
STOPS = True

GOOGLE = Tier(
    vendor="Google Cloud",
    name="pay as you go",
    fee=0.0,
    meters=(
        *_meters(
            "Google Cloud",
            "cloud.google.com/run/pricing (tier 1, billed by request)",
            "2026-10-06",
            ("function CPU", "vCPU-seconds", 180 * K, 0.000024, 1, GO),
            ("function memory", "GiB-seconds", 360 * K, 0.0000025, 1, GO),
            ("function requests", "requests", 2 * M, 0.40, M, GO),
        ),
        *_meters(
            "Google Cloud",
            "cloud.google.com/secret-manager/pricing",
            "2026-10-06",
            ("secret versions", "versions", 6, 0.06, 1, GO),
            ("secret reads", "reads", 10 * K, 0.03, 10 * K, GO),
        ),
        *_meters(
            "Google Cloud",
            "cloud.google.com/scheduler/pricing, /tasks/pricing",
            "2026-10-06",
            ("schedules", "jobs", 3, 0.10, 1, GO),
            ("task operations", "operations", 1 * M, 0.40, M, GO),
        ),
        *_meters(
            "Google Cloud",
            "cloud.google.com/build/pricing, /artifact-registry/pricing, /storage/pricing",
            "2026-10-06",
            ("build time", "minutes", 2_500, 0.003, 1, GO),
            ("images", "GiB", 0.5, 0.10, 1, GO),
            ("archives and backups", "GiB", 0, 0.023, 1, GO),
        ),
        *_meters(
            "Google Cloud",
            "cloud.google.com/stackdriver/pricing, /vpc/network-pricing",
            "2026-10-06",
            ("logs", "GiB", 50, 0.50, 1, GO),
            ("checks from outside", "executions", 1 * M, 0.30, K, GO),
            ("numbers from logs", "MiB", 150, 0.258, 1, GO),
            ("answers sent out", "GiB", 1, 0.12, 1, GO),
        ),
    ),
)

_WORKERS = "developers.cloudflare.com/workers/platform/pricing"
WORKERS_FREE = Tier(
    vendor="Cloudflare",
    name="Workers Free",
    fee=0.0,
    meters=_meters(
        "Cloudflare", _WORKERS, "2026-10-06", ("edge requests of the busiest day", "requests", 100 * K, 0, 1, STOPS)
    ),
)
WORKERS_PAID = Tier(
    vendor="Cloudflare",
    name="Workers Paid",
    fee=5.0,
    meters=_meters("Cloudflare", _WORKERS, "2026-10-06", ("edge requests", "requests", 10 * M, 0.30, M, GO)),
)

_SUPABASE = "supabase.com/docs/guides/platform/billing-on-supabase"
SUPABASE_FREE = Tier(
    vendor="Supabase",
    name="Free",
    fee=0.0,
    meters=_meters(
        "Supabase",
        _SUPABASE,
        "2026-09-20",
        ("database", "GB", 0.5, 0, 1, STOPS),
        ("people who sign in", "people", 50 * K, 0, 1, STOPS),
        ("database answers", "GB", 5, 0, 1, STOPS),
    ),
)
SUPABASE_PRO = Tier(
    vendor="Supabase",
    name="Pro",
    fee=25.0,
    meters=_meters(
        "Supabase",
        _SUPABASE,
        "2026-09-20",
        ("database", "GB", 8, 0.125, 1, GO),
        ("people who sign in", "people", 100 * K, 0.00325, 1, GO),
        ("database answers", "GB", 250, 0.09, 1, GO),
    ),
)

_TURSO = "turso.tech/pricing (a transcript)"
TURSO_FREE = Tier(
    vendor="Turso",
    name="Free",
    fee=0.0,
    meters=_meters(
        "Turso",
        _TURSO,
        "2026-06-12",
        ("databases", "databases", 100, 0, 1, STOPS),
        ("Turso storage", "GB", 5, 0, 1, STOPS),
        ("rows read", "rows", 500 * M, 0, 1, STOPS),
        ("rows written", "rows", 10 * M, 0, 1, STOPS),
    ),
)
TURSO_DEVELOPER = Tier(
    vendor="Turso",
    name="Developer",
    fee=4.99,
    meters=_meters(
        "Turso",
        _TURSO,
        "2026-06-12",
        ("databases", "databases", float("inf"), 0, 1, GO),
        ("Turso storage", "GB", 9, 0.75, 1, GO),
        ("rows read", "rows", 2_500 * M, 0, 1, STOPS),
        ("rows written", "rows", 25 * M, 0, 1, STOPS),
    ),
)

_UPSTASH = "upstash.com/pricing/redis"
UPSTASH_FREE = Tier(
    vendor="Upstash",
    name="Free",
    fee=0.0,
    meters=_meters("Upstash", _UPSTASH, "2026-09-20", ("Redis commands", "commands", 500 * K, 0, 1, STOPS)),
)
UPSTASH_PAYG = Tier(
    vendor="Upstash",
    name="pay as you go",
    fee=0.0,
    meters=_meters("Upstash", _UPSTASH, "2026-09-20", ("Redis commands", "commands", 0, 0.20, 100 * K, GO)),
)

DOMAIN = Tier(vendor="the registrar", name="a .dev domain", fee=1.0, meters=())
"""About twelve dollars a year (2026-11-23)."""

TIERS = (
    (DOMAIN,),
    (GOOGLE,),
    (WORKERS_FREE, WORKERS_PAID),
    (SUPABASE_FREE, SUPABASE_PRO),
    (TURSO_FREE, TURSO_DEVELOPER),
    (UPSTASH_FREE, UPSTASH_PAYG),
)
"""Each vendor's plans, the smallest first."""
