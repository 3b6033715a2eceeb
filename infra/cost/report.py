"""The table, the ends of free allowances, the targets, and a plot by number of users."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from infra.cost.model import TARGETS, Bill, End, Line, Profile, bill, ends
from infra.cost.usage import Assumptions, Load

WIDTH, HEIGHT, EDGE = 720, 360, 56
PLOT_USERS = (1, 10, 50, 95, 100, 101, 150, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000)
COLOURS = {Profile.FRUGAL: "#2b8a3e", Profile.PRODUCTION: "#1864ab"}


def table(of: Bill) -> Iterator[str]:
    """One month, line by line; what costs nothing and uses less than a tenth of what is free is left out."""
    yield f"{of.load.users:,} users, {of.load.calls:,} calls a month: ${of.usd:.2f}"
    for tier in of.tiers:
        yield f"  {tier.vendor}, {tier.name}: ${tier.fee:.2f}"
        for line in of.lines:
            if line.meter in tier.meters and (line.usd >= 0.005 or line.used >= 0.1):
                yield f"    {line.meter.name:34} {_number(line.amount):>14} {line.meter.unit:13} {_said(line)}"


def _said(line: Line) -> str:
    if line.stopped:
        return f"more than the {line.meter.free:,.0f} that the largest plan we know serves"
    if line.usd >= 0.005:
        return f"${line.usd:.2f}"
    return "free" if math.isinf(line.meter.free) else f"free ({line.used:.0%} of {_number(line.meter.free)})"


def _number(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 10 or amount == int(amount) else f"{amount:.2f}"


def endings(load: Load, profile: Profile, given: Assumptions) -> Iterator[str]:
    each = load.calls / max(load.users, 1)
    yield f"Where what is free ends ({profile}; by users of {each:,.0f} calls each, by calls of {load.users:,} users):"
    for end in ends(load, profile, given):
        if end.users is not None or end.calls is not None:
            yield f"  {end.tier.vendor + ', ' + end.meter.name:46} {_at(end):44} then {end.then}"


def _at(end: End) -> str:
    parts = [f"user {end.users:,}" if end.users else "", f"{end.calls:,} calls" if end.calls else ""]
    return " or ".join(part for part in parts if part)


def targets(given: Assumptions) -> Iterator[str]:
    yield "Against the targets:"
    for target in TARGETS:
        usd = bill(target.load, target.profile, given).usd
        kept = "met" if usd <= target.most_usd else "MISSED"
        what = f"{target.profile}, {target.load.users:,} users, {target.load.calls:,} calls"
        yield f"  {what:46} ${usd:6.2f}  at most ${target.most_usd:g} ({target.of_it}): {kept}"


def plot(calls_each: float, given: Assumptions) -> str:
    """SVG: dollars a month by number of users, one line for each profile."""
    series = {
        profile: [
            (users, bill(Load(users=users, calls=round(users * calls_each)), profile, given).usd)
            for users in PLOT_USERS
        ]
        for profile in Profile
    }
    most = max(usd for points in series.values() for _, usd in points)
    top = 10 * math.ceil(most / 10)

    def x(users: float) -> float:
        return EDGE + math.log10(users) / math.log10(PLOT_USERS[-1]) * (WIDTH - 2 * EDGE)

    def y(usd: float) -> float:
        return HEIGHT - EDGE - usd / top * (HEIGHT - 2 * EDGE)

    title = escape(f"Dollars a month by users, at {calls_each:,.0f} calls each")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{EDGE}" y="24" font-size="14">{title}</text>',
    ]
    for usd in range(0, top + 1, max(10, top // 50 * 10)):
        parts.append(f'<line x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{y(usd):.1f}" y2="{y(usd):.1f}" stroke="#dee2e6"/>')
        parts.append(f'<text x="{EDGE - 8}" y="{y(usd) + 4:.1f}" text-anchor="end">${usd}</text>')
    for users in (1, 10, 100, 1_000, 5_000):
        parts.append(f'<text x="{x(users):.1f}" y="{HEIGHT - EDGE + 18}" text-anchor="middle">{users:,}</text>')
    for number, (profile, points) in enumerate(series.items()):
        line = " ".join(f"{x(users):.1f},{y(usd):.1f}" for users, usd in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[profile]}" stroke-width="2"/>')
        parts.append(f'<text x="{EDGE + 8}" y="{EDGE + 16 * number}" fill="{COLOURS[profile]}">{profile}</text>')
    return "\n".join([*parts, "</svg>", ""])
