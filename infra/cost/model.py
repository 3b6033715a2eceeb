"""Usage and prices -> what a month costs, which plan of each vendor that takes, and where free allowances end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from infra.cost import prices
from infra.cost.prices import Meter, Tier
from infra.cost.usage import Assumptions, Load, amounts


class Profile(StrEnum):
    """As `infra.config.Profile`: frugal takes the smallest plan that holds, production begins with paid ones."""

    FRUGAL = "frugal"
    PRODUCTION = "production"


PRODUCTION_FLOOR = (prices.WORKERS_PAID, prices.SUPABASE_PRO, prices.TURSO_DEVELOPER, prices.UPSTASH_PAYG)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that is used. `usd` is what it costs beside its plan's fee."""

    meter: Meter
    amount: float
    usd: float

    @property
    def used(self) -> float:
        """Of what is free, as a fraction."""
        return self.amount / self.meter.free if self.meter.free else math.inf if self.amount else 0.0

    @property
    def stopped(self) -> bool:
        """The vendor would serve no more, in the largest plan that we know."""
        return self.meter.stops and self.amount > self.meter.free


@dataclass(frozen=True, kw_only=True)
class Bill:
    """A month. `tiers` are the plans that are taken, `lines` what is used of each."""

    load: Load
    tiers: tuple[Tier, ...]
    lines: tuple[Line, ...]

    @property
    def usd(self) -> float:
        return sum(tier.fee for tier in self.tiers) + sum(line.usd for line in self.lines)


def bill(load: Load, profile: Profile, given: Assumptions) -> Bill:
    """What a month of `load` costs."""
    used = amounts(load, given)
    tiers = tuple(_tier(options, used, profile) for options in prices.TIERS)
    lines = tuple(
        Line(meter=meter, amount=used[meter.name], usd=meter.cost(used[meter.name]))
        for tier in tiers
        for meter in tier.meters
    )
    return Bill(load=load, tiers=tiers, lines=lines)


def _tier(options: Sequence[Tier], used: Mapping[str, float], profile: Profile) -> Tier:
    """The smallest plan that serves all of it; the largest when none does."""
    if profile is Profile.PRODUCTION:
        options = [tier for tier in options if tier in PRODUCTION_FLOOR] or options
    for tier in options:
        if not any(meter.stops and used[meter.name] > meter.free for meter in tier.meters):
            return tier
    return options[-1]


@dataclass(frozen=True, kw_only=True)
class End:
    """Where something that is free ends: the number of users (at so many calls each), and what comes then."""

    meter: Meter
    tier: Tier
    users: int | None  # None: not below the most that was looked at
    calls: int | None  # of one month, by as many users as the load has

    @property
    def then(self) -> str:
        return "nothing more is served" if self.meter.stops else f"${self.meter.usd:g} for each {self.meter.per:,.0f}"


MOST_USERS, MOST_CALLS = 1_000_000, 10_000_000_000


def ends(load: Load, profile: Profile, given: Assumptions) -> list[End]:
    """For each allowance of the smallest plans of the profile."""
    calls_each = load.calls / max(load.users, 1)
    found = []
    for options in prices.TIERS:
        tier = _tier(options, dict.fromkeys(amounts(load, given), 0.0), profile)
        for meter in tier.meters:
            if not meter.free or math.isinf(meter.free):
                continue

            def by_users(users: int, name: str = meter.name) -> float:
                return amounts(Load(users=users, calls=round(users * calls_each)), given)[name]

            def by_calls(calls: int, name: str = meter.name) -> float:
                return amounts(replace(load, calls=calls), given)[name]

            found.append(
                End(
                    meter=meter,
                    tier=tier,
                    users=_first(by_users, meter.free, MOST_USERS),
                    calls=_first(by_calls, meter.free, MOST_CALLS),
                )
            )
    return sorted(found, key=lambda end: (end.users is None, end.users or 0))


def _first(amount: Callable[[int], float], free: float, most: int) -> int | None:
    """The smallest count whose amount is more than is free; None: not up to `most`, or it does not depend on it."""
    if amount(most) <= free or amount(0) > free:
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if amount(middle) <= free else (low, middle)
    return high


@dataclass(frozen=True, kw_only=True)
class Target:
    """A figure of DESIGN, section 10."""

    profile: Profile
    load: Load
    most_usd: float
    of_it: str = "a month"


TARGETS = (
    Target(profile=Profile.FRUGAL, load=Load(users=95, calls=95_000), most_usd=1.5, of_it="about $1: the domain"),
    Target(profile=Profile.FRUGAL, load=Load(users=1_000, calls=1_000_000), most_usd=15),
    Target(profile=Profile.PRODUCTION, load=Load(users=1_000, calls=1_000_000), most_usd=45),
    Target(profile=Profile.PRODUCTION, load=Load(users=1_000, calls=2_000_000), most_usd=50),
)
