"""What DESIGN.md, section 10, asks of the memories, and whether a run gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.bench.extras import NETWORK_MS
from tests.bench.runner import EDGE_FREE, EDGE_TEAM

Results = dict[str, Any]
Record = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """One row of DESIGN.md, section 10: `value` None was not measured."""

    what: str
    wanted: str
    value: str | None
    met: bool | None


def targets(results: Results) -> list[Target]:
    """What DESIGN.md asks, and whether this run gives it."""
    small, *larger = sorted({c["size"] for c in results["cells"] if c["system"] == EDGE_TEAM}) or [0]
    large = larger[-1] if larger else None
    ours = rate(results, EDGE_TEAM, small, 32)
    name = f"mixed load, Team, {small:,} memories, 32 clients"
    found = [
        _ratio(
            f"{name}, against the best peer that loses nothing",
            "10x",
            ours,
            best_peer(results, small, 32, lossless=True),
            least=10,
        ),
        _ratio(
            "the same, against the best peer, whatever it loses", "10x", ours, best_peer(results, small, 32), least=10
        ),
        _ratio("the same, against bare PostgreSQL", "reported", ours, ceiling(results, "bare PostgreSQL", small)),
        _ratio(
            "mixed load, Free, 32 clients, against bare sqld",
            "60%",
            rate(results, EDGE_FREE, None, 32),
            ceiling(results, "bare sqld", None),
            least=0.6,
        ),
        _ratio(
            f"Team, {small:,} memories against {large or 10_000:,}",
            "at most 1.5x",
            ours,
            rate(results, EDGE_TEAM, large, 32) if large else None,
            most=1.5,
        ),
        _limit("search p95, 10,000 memories, Team, one client", 10, _search_p95(results, large)),
    ]
    free = results.get("store free", {})
    found.append(
        _ratio(
            "a request that touches no store, against a bare handler",
            "50%",
            free.get("function", {}).get("rate"),
            free.get("bare", {}).get("rate"),
            least=0.5,
        )
    )
    found.append(_limit("100 users, a call a second each, p95", 50, _p95(results.get("users"))))
    found.append(_limit(f"the same, {NETWORK_MS} ms to the store, p95", 200, _p95(results.get("far store"))))
    cold = results.get("cold start", {})
    found.append(
        _ratio(
            "cold start against bare functions-framework",
            "at most 1.5x",
            cold.get("memories", {}).get("median"),
            cold.get("bare", {}).get("median"),
            most=1.5,
        )
    )
    redis = results.get("redis", {})
    found.append(_per_call("commands to Redis a request, 50 calls a second", 0.1, redis.get("steady")))
    found.append(_per_call("the same after 6 s without a call", 1.0, redis.get("after a pause")))
    lost = [cell["lost"] for cell in results["cells"] if cell["system"].startswith("ours")]
    found.append(
        Target("acknowledged writes lost", "0", str(sum(lost)) if lost else None, not sum(lost) if lost else None)
    )
    return found


def best_peer(results: Results, size: int, clients: int, *, lossless: bool = False) -> float | None:
    """Operations a second; `lossless`: of those that lost no acknowledged store in any load of this run."""
    peers = [cell for cell in results["cells"] if not cell["system"].startswith("ours")]
    losing = {cell["system"] for cell in peers if cell["lost"]} if lossless else set()
    rates = [
        cell["rate"]
        for cell in peers
        if cell["size"] == size and cell["clients"] == clients and cell["system"] not in losing
    ]
    return max(rates, default=None)


def limits(results: Results) -> list[str]:
    """What stops the targets that are missed, as far as this run shows it; a sentence each."""
    small, *larger = sorted({c["size"] for c in results["cells"] if c["system"] == EDGE_TEAM}) or [0]
    found = []
    ours, bare = rate(results, EDGE_TEAM, small, 32), ceiling(results, "bare PostgreSQL", small)
    for lossless in (True, False):
        best = best_peer(results, small, 32, lossless=lossless)
        if ours and bare and best and ours < 10 * best:
            [cell] = _cells(results, EDGE_TEAM, small, 32)
            whose = f"the best peer{' that loses nothing' if lossless else ''}"
            found.append(
                f"10x {whose} would be {10 * best:,.0f} operations a second. PostgreSQL alone, asked the same SQL by a "
                f"client that does nothing else, gives {bare:,.0f} on these processors, which is {bare / best:.1f}x "
                f"that peer; through edge, key, limits and HTTP it is {ours:,.0f}, with the processors "
                f"{cell['machine_cpu']:.0%} busy. {_shares(cell)}"
            )
    large = larger[-1] if larger else None
    at_large = rate(results, EDGE_TEAM, large, 32) if large else None
    bare_large = ceiling(results, "bare PostgreSQL", large) if large else None
    if ours and at_large and bare and bare_large and ours > 1.5 * at_large:
        found.append(
            f"With {large:,} memories a search finds more: PostgreSQL alone goes from {bare:,.0f} to {bare_large:,.0f} "
            f"({bare / bare_large:.2f}x), ours from {ours:,.0f} to {at_large:,.0f} ({ours / at_large:.2f}x). Counting "
            "hits up to 101 and comparing their texts is most of what it does more."
        )
    return found


def _shares(cell: Record) -> str:
    """Where the processor time of an operation goes, the largest part first."""
    shares = sorted(cell.get("part_ms", {}).items(), key=lambda share: -share[1])
    named = ", ".join(f"{name} {ms:.2f}" for name, ms in shares if ms >= 0.01)
    return f"Processor time of an operation, in ms: {named}." if named else ""


def _ratio(
    what: str,
    wanted: str,
    value: float | None,
    against: float | None,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Target:
    if not value or not against:
        return Target(what, wanted, None, None)
    ratio = value / against
    met = (
        None
        if least is None and most is None
        else (least is None or ratio >= least) and (most is None or ratio <= most)
    )
    return Target(what, wanted, f"{ratio:.2f}x ({value:,.0f} against {against:,.0f})", met)


def _limit(what: str, most_ms: float, value: float | None) -> Target:
    met = None if value is None else value < most_ms
    return Target(what, f"under {most_ms:g} ms", None if value is None else f"{value:.1f} ms", met)


def _per_call(what: str, most: float, found: Record | None) -> Target:
    if not found or not found["calls"]:
        return Target(what, f"at most {most:g}", None, None)
    value = sum(found["commands"].values()) / found["calls"]
    return Target(what, f"at most {most:g}", f"{value:.3f}", value <= most)


def _cells(results: Results, system: str, size: int | None, clients: int) -> list[Record]:
    return [
        cell
        for cell in results["cells"]
        if cell["system"] == system and cell["clients"] == clients and size in (None, cell["size"])
    ]


def rate(results: Results, system: str, size: int | None, clients: int) -> float | None:
    return next((cell["rate"] for cell in _cells(results, system, size, clients)), None)


def _search_p95(results: Results, size: int | None) -> float | None:
    found = _cells(results, EDGE_TEAM, size, 1) if size and size >= 10_000 else []
    return next((cell["ms"]["search"]["p95"] for cell in found if "search" in cell["ms"]), None)


def ceiling(results: Results, name: str, size: int | None) -> float | None:
    by_size = results.get(name, {})
    found = by_size.get(str(size)) if size is not None else next(iter(by_size.values()), None)
    if not found:
        return None
    rate: float = found["rate"] if "rate" in found else max(one["rate"] for one in found.values())
    return rate


def _p95(found: Record | None) -> float | None:
    return found["pausing"]["ms"]["all"]["p95"] if found else None
