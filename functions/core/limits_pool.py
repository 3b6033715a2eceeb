"""What one process knows of the calls that a workspace may make, and how it tells the caller."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import datetime

from core.ports import Ask, Taken
from core.problems import TooManyRequests
from declarations import PLANS, Plan

GRANT_MOST = 200
GRANT_SHARE = 16
"""A grant is at most this part of what is left: so much may lie unused in each process, for the seconds of its life.

With a 25th, the free plan's day costs 0.13 scripts a call at 50 calls a second; with a 10th, the first of 20 processes
is refused while 2.5 % of the day lie in others. With this: 0.095, and less than 1 %.
"""

_DAY = 86_400

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True, eq=False)
class Pool:
    """The calls of one workspace, or of one key that has a cap of its own (`key_id`, else empty).

    `left` calls of the grant may be made until `ends`; `remaining` are those beyond it. While it is `shut`, `shut_by`
    is the limit and `used` how much of it was. `local`: Redis does not answer, and this process counts for itself, in
    `open_minute`. Times are monotonic.
    """

    workspace_id: str
    key_id: str
    plan: Plan
    cap: int | None
    credit: int
    left: int = 0
    ends: float = 0.0
    size: int = 0
    day: str = ""
    minute: int = 0
    remaining: int = 0
    minute_ends: float = 0.0
    day_ends: float = 0.0
    shut_by: str = ""
    shut_until: float = 0.0
    used: int = 0
    local: bool = False
    open_minute: int = 0
    open_calls: int = 0
    waiting: int = 0
    taking: asyncio.Task[Taken | None] | None = None
    returning: asyncio.TimerHandle | None = None

    @property
    def per_day(self) -> int:
        """The limit of the day that is met first."""
        return self.plan.calls_per_day if self.cap is None else min(self.cap, self.plan.calls_per_day)

    def spend(self, now: float) -> bool:
        """Make one call of the grant; False when there is none."""
        if self.left > 0 and now < self.ends:
            self.left -= 1
            return True
        return False

    def ask(self, moment: datetime) -> Ask:
        """A question about these calls that asks for none yet."""
        return Ask(
            workspace_id=self.workspace_id,
            day=moment.strftime("%Y%m%d"),
            minute=moment.hour * 60 + moment.minute,
            calls_per_day=self.plan.calls_per_day,
            calls_per_minute=self.plan.calls_per_minute,
            credit=self.credit,
            key_id=self.key_id,
            key_calls=self.cap,
        )

    def set_windows(self, now: float, moment: datetime) -> None:
        """When the minute and the day end; `now` is the monotonic time of `moment`."""
        seconds = moment.timestamp()
        self.minute_ends = now + 60 - seconds % 60
        self.day_ends = now + _DAY - seconds % _DAY

    def remaining_after(self, taken: Taken) -> int:
        """The day's calls that are left; when they are used up, those of the credit."""
        remaining = self.plan.calls_per_day - taken.calls
        if self.cap is not None:
            return min(remaining, self.cap - taken.key_calls)
        return remaining if remaining > 0 else self.credit - taken.credit

    def headers(self, now: float) -> Headers:
        """What the caller may still do: whatever any process has taken counts as used."""
        most = self.per_day
        left = self.left if now < self.ends else 0
        remaining = min(most, max(0, self.remaining) + left)
        return (
            (b"x-ratelimit-limit", b"%d" % most),
            (b"x-ratelimit-remaining", b"%d" % remaining),
            (b"x-ratelimit-reset", b"%d" % max(0, math.ceil(self.day_ends - now))),
        )

    def refusal(self, now: float) -> TooManyRequests:
        """The limit that shut it, as a problem."""
        ends = self.minute_ends if self.shut_by == "minute" else self.day_ends
        wait = max(1, math.ceil(ends - now))
        return TooManyRequests(self._told(wait), retry_after_seconds=wait)

    def _told(self, wait: int) -> str:
        plan = self.plan
        if self.local:
            return f"Our counter of calls does not answer, so few are allowed for a while. Wait {wait} seconds."
        if self.shut_by == "key":
            return (
                f"The {self.cap:,} calls a day of this API key's own limit are used up ({self.used:,} made). "
                "Use another key, raise its limit in your dashboard, or wait until 00:00 UTC."
            )
        if self.shut_by == "minute":
            said = f"The {plan.calls_per_minute:,} calls a minute of the {plan.name} plan are used up"
            more = [f"{one.name} for {one.calls_per_minute:,} a minute" for one in _above(plan)]
            until = f"wait {wait} seconds"
        else:
            said = f"The {plan.calls_per_day:,} calls a day of the {plan.name} plan are used up"
            more = [f"{one.name} for {one.calls_per_day:,} a day" for one in _above(plan)]
            until = f"wait until 00:00 UTC ({wait:,} seconds)"
        way = f"Upgrade to {more[0]}, or {until}." if more else f"{until[0].upper()}{until[1:]}."
        return f"{said} ({self.used:,} made). {way}"


def _above(plan: Plan) -> list[Plan]:
    return [one for one in PLANS.values() if one.calls_per_day > plan.calls_per_day]
