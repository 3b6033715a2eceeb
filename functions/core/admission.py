"""Who asks: an API key becomes a principal, at the least cost.

    tag of the key -> lease of this process (5 s) -> sealed record in Redis (60 s) -> control plane

A forged key is refused by its tag, without a look-up. Concurrent misses for one key share one look-up. Redis failing
is no failure for the caller; the control plane failing is, unless the key is cached.

Staleness: a lease counts from the start of its look-up and a shared record lives so much less than 60 s that both
together never exceed it. So a revocation holds within 5 s once Redis holds its tombstone, and within 60 s otherwise.

Left out for now: limits. They belong in `Admission.admit`, after the principal is known, next to its lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core import keys, records
from core.leases import Leases
from core.ports import Clock, Directory, KeyRecord, Principal, PrincipalCache, StoreAddress
from core.problems import Forbidden, Unauthorized, Unavailable
from core.seal import Sealer
from core.settings import Secret
from declarations import Access

LEASE_SECONDS = 5.0
SHARED_SECONDS = 60.0
LEASES = 10_000
"""Keys that one process remembers: about 10 MB when full."""

_NO_KEY = "No API key was sent. Send yours as `X-API-Key: mg_...` or `Authorization: Bearer mg_...`."
_NOT_A_KEY = "This API key is not valid: it is mistyped or incomplete. Copy it again from your dashboard."
_UNKNOWN = "This API key is unknown. It may have been deleted: make a new one in your dashboard."
_REASONS = {
    "revoked": "This API key was revoked. Make a new one in your dashboard.",
    "expired": "This API key has expired. Make a new one in your dashboard.",
    "closed": "The account of this API key was closed.",
}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Remembered instead of a principal. A new exception is raised for each caller."""

    detail: str


_Outcome = Principal | _Refusal


@dataclass(kw_only=True)
class Admission:
    """Turns credentials into principals. Belongs to one event loop; connects to nothing until it is asked.

    Args:
        tag_secrets: see `keys.is_genuine`.
        principal_sealer: seals the records in the shared cache.
        store_sealer: opens store tokens; None in a function that reaches no store (its principals hold an empty token).
    """

    tag_secrets: Sequence[str]
    directory: Directory
    cache: PrincipalCache
    principal_sealer: Sealer
    store_sealer: Sealer | None
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    _leases: Leases[_Outcome] = field(init=False)
    _renewed: Leases[bool] = field(init=False)
    _lookups: dict[tuple[str, bool], asyncio.Task[_Outcome]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._leases = Leases(LEASES, self.monotonic)
        self._renewed = Leases(LEASES, self.monotonic)

    async def admit(self, api_key: str | None, authorization: str | None, access: Access) -> Principal | None:
        """The principal of a request to a route with `access`; None when the route is OPEN and no key was sent.

        Args:
            api_key: the header `X-API-Key`; it wins over `Authorization`.
            authorization: the header `Authorization`.

        Raises:
            Unauthorized: no key, or one that is malformed, unknown, revoked or expired (on OPEN routes too).
            Forbidden: the key lacks the scope.
            Unavailable: the key is not cached and the control plane does not answer.
        """
        key = _credential(api_key, authorization)
        if key is None:
            if access is Access.OPEN:
                return None
            raise Unauthorized(_NO_KEY)
        key_hash = keys.hash_key(key)
        outcome = self._leases.get(key_hash)
        if outcome is None:
            if not keys.is_genuine(key, self.tag_secrets):
                raise Unauthorized(_NOT_A_KEY)
            outcome = await self._look_up_once(key_hash, shared=True)
        return _judge(outcome, access)

    async def renew(self, api_key: str | None, authorization: str | None, access: Access) -> Principal | None:
        """`admit` an admitted caller again, past both caches, because its store refused its address.

        None when this was done for the key a moment ago: then the caches are not to blame. Raises as `admit` does.
        """
        key = _credential(api_key, authorization)
        if key is None:
            return None
        key_hash = keys.hash_key(key)
        if self._renewed.get(key_hash):
            return None
        self._renewed.put(key_hash, True, self.monotonic() + LEASE_SECONDS)  # noqa: FBT003  the value of a set
        return _judge(await self._look_up_once(key_hash, shared=False), access)

    async def _look_up_once(self, key_hash: str, *, shared: bool) -> _Outcome:
        name = (key_hash, shared)
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = asyncio.get_running_loop().create_task(self._look_up(key_hash, shared=shared))
            self._lookups[name] = lookup
            lookup.add_done_callback(lambda done: self._forget(name, done))
        # Shielded: a caller who goes away must not take the look-up from the others.
        return await asyncio.shield(lookup)

    def _forget(self, name: tuple[str, bool], lookup: asyncio.Task[_Outcome]) -> None:
        del self._lookups[name]
        if not lookup.cancelled():
            lookup.exception()  # seen, even when every caller has gone

    async def _look_up(self, key_hash: str, *, shared: bool) -> _Outcome:
        started, wall = self.monotonic(), self.clock.now().timestamp()
        record = await self._from_cache(key_hash, wall) if shared else None
        outcome: _Outcome
        if record is None:
            found = await self.directory.find_key(key_hash)
            if not isinstance(found, KeyRecord):
                outcome = _Refusal(_REASONS.get(found.reason, _UNKNOWN) if found else _UNKNOWN)
                self._leases.put(key_hash, outcome, self.monotonic() + LEASE_SECONDS)
                return outcome
            record = found
            outcome = self._principal(record)
            await self._to_cache(key_hash, record, self.monotonic() - started, wall)
        else:
            outcome = self._principal(record)
        seconds = LEASE_SECONDS if record.expires_at is None else min(LEASE_SECONDS, record.expires_at - wall)
        self._leases.put(key_hash, outcome, started + seconds)
        return outcome

    async def _from_cache(self, key_hash: str, wall: float) -> KeyRecord | None:
        sealed = await self.cache.get(key_hash)
        return None if sealed is None else records.open_record(self.principal_sealer, sealed, key_hash, wall)

    async def _to_cache(self, key_hash: str, record: KeyRecord, elapsed: float, wall: float) -> None:
        seconds = SHARED_SECONDS - LEASE_SECONDS
        if record.expires_at is not None:
            seconds = min(seconds, record.expires_at - wall)
        sealed = records.seal_record(self.principal_sealer, record, key_hash, until=wall + seconds)
        if seconds - elapsed > 0:
            await self.cache.put(key_hash, record.version, sealed, seconds - elapsed)

    def _principal(self, record: KeyRecord) -> Principal:
        if record.store_url is None:
            raise Unavailable("Your workspace is still being set up. Try again in a few seconds.", part="provisioning")
        token = self.store_sealer.open_text(record.store_token, record.workspace_id) if self.store_sealer else ""
        return Principal(
            key_id=record.key_id,
            account_id=record.account_id,
            workspace_id=record.workspace_id,
            plan=record.plan,
            scopes=frozenset(record.scopes),
            store=StoreAddress(record.store_kind, record.store_url, Secret(token)),
        )


def _judge(outcome: _Outcome, access: Access) -> Principal:
    if isinstance(outcome, _Refusal):
        raise Unauthorized(outcome.detail)
    if access is not Access.OPEN and access.value not in outcome.scopes:
        raise Forbidden(f"This API key lacks the scope {access.value}. Use a key that has it.")
    return outcome


def _credential(api_key: str | None, authorization: str | None) -> str | None:
    """The key that was sent, or None. Raises Unauthorized for another scheme than Bearer."""
    key = (api_key or "").strip()
    if key:
        return key
    scheme, _, value = (authorization or "").strip().partition(" ")
    if not scheme:
        return None
    if scheme.lower() != "bearer":
        raise Unauthorized("Send your API key as `Authorization: Bearer mg_...` or `X-API-Key: mg_...`.")
    return value.strip() or None
