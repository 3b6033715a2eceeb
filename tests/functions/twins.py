"""In-memory twins of the ports, and settings with keys of no worth."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from core import keys
from core.admission import Admission, Admitted
from core.limits import Limits
from core.ports import (
    Ask,
    CallCounter,
    Claims,
    KeyRecord,
    KeyRefused,
    PrincipalCache,
    Taken,
    TokenVerifier,
)
from core.principals import Principals
from core.problems import Unauthorized, Unavailable
from core.seal import Sealer
from core.settings import Secret
from declarations import Access, MemoriesSettings

EDGE_SECRET = "edge-secret"
TAG_SECRET = "tag-secret"


def seal_key(letter: str) -> str:
    return base64.urlsafe_b64encode(letter.encode() * 32).decode()


SETTINGS = MemoriesSettings(
    edge_secret=Secret(EDGE_SECRET),
    database_url=Secret("postgresql://memories@127.0.0.1:1/none"),
    redis_url="http://127.0.0.1:1",
    redis_token=Secret("token"),
    key_tag_secret=Secret(TAG_SECRET),
    principal_seal_key=Secret(seal_key("p")),
    store_seal_key=Secret(seal_key("s")),
)


class FakeClock:
    """Time that moves when it is told to: wall clock and monotonic clock together."""

    def __init__(self) -> None:
        self.seconds = 1_795_000_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


class MemoryDirectory:
    """Implements `ports.Directory`. `down` makes it fail; `asked` counts look-ups."""

    def __init__(self) -> None:
        self.keys: dict[str, KeyRecord | KeyRefused] = {}
        self.members: dict[tuple[str, str | None], KeyRecord | KeyRefused] = {}
        self.down = False
        self.asked = 0

    async def find_member(self, claims: Claims, workspace_id: str | None) -> KeyRecord | KeyRefused | None:
        self.asked += 1
        if self.down:
            raise Unavailable("down", part="control plane")
        return self.members.get((claims.account_id, workspace_id))

    async def find_key(self, key_hash: str) -> KeyRecord | KeyRefused | None:
        self.asked += 1
        if self.down:
            raise Unavailable("down", part="control plane")
        return self.keys.get(key_hash)


class MemoryCache:
    """Implements `ports.PrincipalCache`, and `ports.CallCounter` without any limit: one grant lasts for long.

    `down` makes it silent, as the real one is. `asked` counts questions for an entry.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.entries: dict[str, tuple[int, bytes, float]] = {}
        self.down = False
        self.asked = 0

    async def get(self, key_hash: str) -> bytes | None:
        self.asked += 1
        _, entry, ends = self.entries.get(key_hash, (0, b"", 0.0))
        return entry or None if ends > self._clock.seconds and not self.down else None

    async def put(self, key_hash: str, version: int, entry: bytes, ttl_seconds: float) -> None:
        self._write(key_hash, version, entry, ttl_seconds)

    async def take(self, ask: Ask) -> Taken | None:
        if ask.fill:
            await self.put(ask.name, ask.fill.version, ask.fill.entry, ask.fill.ttl_seconds)
        entry = await self.get(ask.name) if ask.name and not ask.fill else None
        if self.down:
            return None
        granted = 1_000_000 if ask.want else 0
        return Taken(
            granted=granted,
            limit="day",
            calls=0,
            minute_calls=0,
            key_calls=0,
            credit=0,
            filled=ask.fill is not None,
            entry=entry,
        )

    async def void(self, key_hash: str, version: int) -> bool:
        self._write(key_hash, version, b"", 120.0)
        return not self.down

    def _write(self, key_hash: str, version: int, entry: bytes, ttl_seconds: float) -> None:
        held, _, ends = self.entries.get(key_hash, (0, b"", 0.0))
        if self.down or (ends > self._clock.seconds and held > version):
            return
        self.entries[key_hash] = (version, entry, self._clock.seconds + ttl_seconds)


class Tokens:
    """Implements `ports.TokenVerifier`: tokens of three parts that were made by `add`. `asked` counts proofs."""

    def __init__(self) -> None:
        self.known: dict[str, Claims] = {}
        self.asked = 0

    def add(self, account_id: str, expires_at: float) -> str:
        token = f"e{len(self.known)}.{account_id}.signature"
        self.known[token] = Claims(
            account_id=account_id, email=f"{account_id}@example.com", name="A Person", expires_at=expires_at
        )
        return token

    async def verify(self, token: str) -> Claims:
        self.asked += 1
        if token not in self.known:
            raise Unauthorized("This token is not valid.")
        return self.known[token]


async def admit_to(
    admission: Admission,
    api_key: str | None,
    authorization: str | None,
    access: Access,
    *,
    workspace: str | None = None,
    client: str = "",
) -> Admitted | None:
    """One request, as the pipeline admits it."""
    admitted = await admission.identify(api_key, authorization, workspace=workspace, client=client)
    await admission.allow(admitted, access)
    return admitted


class Gate:
    """Admission over twins, and keys for it.

    Args:
        redis: what shares principals and counts calls; makes one for each process. By default a `MemoryCache`.
    """

    def __init__(self, redis: Callable[[FakeClock], tuple[PrincipalCache, CallCounter]] | None = None) -> None:
        self.clock = FakeClock()
        self.directory = MemoryDirectory()
        self.cache = MemoryCache(self.clock)
        self.tokens = Tokens()
        self.store_sealer = Sealer(SETTINGS.store_seal_key, "STORE_SEAL_KEY")
        self._redis = redis
        self.admission = self.process()

    def process(
        self, *, store_sealer: bool = True, verifier: TokenVerifier | None = None, clock: FakeClock | None = None
    ) -> Admission:
        """Admission of another process: same control plane and shared cache, no leases."""
        clock = clock or self.clock
        cache, counter = self._redis(clock) if self._redis else (self.cache, self.cache)

        async def sleep(seconds: float) -> None:
            clock.advance(seconds)

        limits = Limits(counter=counter, clock=clock, instances=10, monotonic=clock.monotonic, sleep=sleep)
        return Admission(
            tag_secrets=[TAG_SECRET],
            directory=self.directory,
            principals=Principals(
                cache=cache,
                limits=limits,
                sealer=Sealer(SETTINGS.principal_seal_key, "PRINCIPAL_SEAL_KEY"),
                store_sealer=self.store_sealer if store_sealer else None,
                clock=clock,
                monotonic=clock.monotonic,
            ),
            limits=limits,
            clock=clock,
            verifier=verifier or self.tokens,
            monotonic=clock.monotonic,
        )

    def add_key(
        self,
        scopes: tuple[str, ...] = ("memories:read", "memories:write"),
        version: int = 3,
        expires_at: float | None = None,
        key_calls_per_day: int | None = None,
    ) -> str:
        """A new key that the control plane knows."""
        key = keys.issue([TAG_SECRET])
        record = self.record(key.hash, scopes, version, expires_at)
        self.directory.keys[key.hash] = replace(record, key_calls_per_day=key_calls_per_day)
        return key.text

    def record(
        self, key_hash: str, scopes: tuple[str, ...], version: int, expires_at: float | None = None
    ) -> KeyRecord:
        workspace = f"workspace-{key_hash[:6]}"
        return KeyRecord(
            key_id=f"key-{key_hash[:6]}",
            account_id=f"account-{key_hash[:6]}",
            workspace_id=workspace,
            plan="free",
            scopes=scopes,
            version=version,
            store_kind="sqlite",
            store_url="http://db.localhost:1",
            store_token=self.store_sealer.seal_text("store-token", workspace),
            expires_at=expires_at,
        )
