"""Principals by name, at the least cost: the name of a key is its hash, that of a person `credentials.person_name`.

    lease of this process (5 s) -> sealed record in Redis (60 s) -> control plane

Concurrent misses for one name share one look-up. Redis failing is no failure for the caller; the control plane failing
is, unless the principal is cached.

Staleness: a lease counts from the start of its look-up and a shared record lives so much less than 60 s that both
together never exceed it. So a revocation holds within 5 s once Redis holds its tombstone, and within 60 s otherwise.

A look-up and a grant of calls (`limits`) are one script. For that, a process remembers for an hour whose calls a name
takes: it asks for the shared record while it knows of one, and else fills it. Only for a name that it never saw it asks
Redis by itself first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from core import records
from core.leases import Leases
from core.limits import Limits
from core.limits_pool import Pool
from core.ports import Clock, Fill, KeyRecord, KeyRefused, Principal, PrincipalCache, StoreAddress
from core.problems import Forbidden, Unauthorized, Unavailable
from core.seal import Sealer
from core.settings import Secret
from declarations import SCOPES

LEASE_SECONDS = 5.0
SHARED_SECONDS = 60.0
LEASES = 10_000
"""Names that one process remembers: about 10 MB when full."""
TRACE_SECONDS = 3600.0

_UNKNOWN = "This API key is unknown. It may have been deleted: make a new one in your dashboard."
_REASONS = {
    "revoked": "This API key was revoked. Make a new one in your dashboard.",
    "expired": "This API key has expired. Make a new one in your dashboard.",
    "closed": "The account of this credential was closed.",
    "erased": "The account of this credential was erased, with all that it held. Sign up anew to begin again.",
    "no member": (
        "The account of this credential is no member of the workspace, or there is no such workspace. "
        "Name another by the header X-Workspace, or leave it out for your own."
    ),
    "alone": (
        "This workspace's plan has room for its owner only, so other members are not let in. Nothing is lost: you are "
        "in again as soon as its owner chooses the Team plan. Your own workspace works as before."
    ),
}
_FORBIDDEN = ("no member", "alone")
"""The credential is good, and not for this workspace."""

Find = Callable[[], Awaitable[KeyRecord | KeyRefused | None]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who asks, and where their calls come from."""

    principal: Principal
    pool: Pool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Remembered instead of a principal. A new exception is raised for each caller."""

    detail: str
    kind: type[Unauthorized] | type[Forbidden] = Unauthorized


@dataclass(frozen=True, slots=True)
class _Trace:
    """`shared_until`: unix seconds, until when a record of the name is in the shared cache, as far as we know."""

    pool: Pool
    shared_until: float


Outcome = Admitted | Refusal


@dataclass(kw_only=True)
class Principals:
    """The principals of one process. Belongs to one event loop; connects to nothing until it is asked.

    Args:
        sealer: seals the records in the shared cache.
        store_sealer: opens store tokens; None in a function that reaches no store (its principals hold an empty token).
    """

    cache: PrincipalCache
    limits: Limits
    sealer: Sealer
    store_sealer: Sealer | None
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    _leases: Leases[Outcome] = field(init=False)
    _traces: Leases[_Trace] = field(init=False)
    _lookups: dict[tuple[str, bool], asyncio.Task[Outcome]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._leases = Leases(LEASES, self.monotonic)
        self._traces = Leases(LEASES, self.monotonic)

    def leased(self, name: str) -> Outcome | None:
        """What is known without asking anybody."""
        return self._leases.get(name)

    async def look_up(self, name: str, find: Find, *, shared: bool = True) -> Outcome:
        """Whose name it is.

        Args:
            find: asks the control plane.
            shared: False goes past the shared cache.

        Raises:
            Unavailable: it is not cached and the control plane does not answer.
        """
        asked = (name, shared)
        lookup = self._lookups.get(asked)
        if lookup is None:
            lookup = asyncio.get_running_loop().create_task(self._look_up(name, find, shared=shared))
            self._lookups[asked] = lookup
            lookup.add_done_callback(lambda done: self._forget(asked, done))
        # Shielded: a caller who goes away must not take the look-up from the others.
        return await asyncio.shield(lookup)

    def _forget(self, asked: tuple[str, bool], lookup: asyncio.Task[Outcome]) -> None:
        del self._lookups[asked]
        if not lookup.cancelled():
            lookup.exception()  # seen, even when every caller has gone

    async def _look_up(self, name: str, find: Find, *, shared: bool) -> Outcome:
        started, wall = self.monotonic(), self.clock.now().timestamp()
        trace = self._traces.get(name) if shared else None
        gone = trace is not None and trace.shared_until <= wall
        found = await self._shared(name, trace, wall) if shared and not gone else None
        if found is None:
            try:
                asked = await find()
            except Unavailable:
                # Another process may have filled it meanwhile.
                found = await self._shared(name, None, wall) if gone else None
                if found is None:
                    raise
            else:
                if not isinstance(asked, KeyRecord):
                    return self._refuse(name, asked)
                if asked.store_url is None:  # not kept: soon it is there
                    return self._admitted(asked)
                admitted = self._admitted(asked)
                until = await self._share(name, asked, admitted.pool, started, wall, with_calls=shared)
                return self._keep(name, asked, admitted, started, wall, until)
        record, until = found
        return self._keep(name, record, self._admitted(record), started, wall, until)

    async def _shared(self, name: str, trace: _Trace | None, wall: float) -> tuple[KeyRecord, float] | None:
        """The record in the shared cache and its end, or None."""
        if trace is None:
            sealed = await self.cache.get(name)
        else:
            taken = await self.limits.take(trace.pool, name, None)
            sealed = taken.entry if taken else None
        return None if sealed is None else records.open_record(self.sealer, sealed, name, wall)

    async def _share(
        self, name: str, record: KeyRecord, pool: Pool, started: float, wall: float, *, with_calls: bool
    ) -> float:
        """Fill the shared cache; until when (unix)."""
        until = wall + SHARED_SECONDS - LEASE_SECONDS
        if record.expires_at is not None:
            until = min(until, record.expires_at)
        sealed = records.seal_record(self.sealer, record, name, until=until)
        fill = Fill(record.version, sealed, until - wall - (self.monotonic() - started))
        if fill.ttl_seconds <= 0:
            return 0.0
        if with_calls:
            taken = await self.limits.take(pool, name, fill)
            if taken is None:
                return 0.0
            if taken.filled:
                return until
        await self.cache.put(name, fill.version, fill.entry, fill.ttl_seconds)
        return until

    def _keep(
        self, name: str, record: KeyRecord, admitted: Admitted, started: float, wall: float, shared_until: float
    ) -> Admitted:
        seconds = LEASE_SECONDS if record.expires_at is None else min(LEASE_SECONDS, record.expires_at - wall)
        self._leases.put(name, admitted, started + seconds)
        self._traces.put(name, _Trace(admitted.pool, shared_until), started + TRACE_SECONDS)
        return admitted

    def _refuse(self, name: str, refused: KeyRefused | None) -> Refusal:
        if refused is None:
            refusal = Refusal(_UNKNOWN)
        else:
            kind = Forbidden if refused.reason in _FORBIDDEN else Unauthorized
            refusal = Refusal(_REASONS.get(refused.reason, _UNKNOWN), kind)
        self._leases.put(name, refusal, self.monotonic() + LEASE_SECONDS)
        return refusal

    def _admitted(self, record: KeyRecord) -> Admitted:
        token = ""
        if self.store_sealer and record.store_url is not None:
            token = self.store_sealer.open_text(record.store_token, record.workspace_id)
        principal = Principal(
            key_id=record.key_id,
            account_id=record.account_id,
            workspace_id=record.workspace_id,
            plan=record.plan,
            scopes=frozenset(record.scopes if record.key_id else (*record.scopes, *SCOPES)),
            store=StoreAddress(record.store_kind, record.store_url or "", Secret(token), record.epoch),
            role=record.role,
            project=record.project,
            key_calls_per_day=record.key_calls_per_day,
            workspace_created=record.workspace_created,
            suspended=record.suspended,
        )
        return Admitted(principal, self.limits.pool(principal))
