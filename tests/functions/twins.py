"""In-memory twins of the ports, and settings with keys of no worth."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from core import keys
from core.admission import Admission
from core.ports import KeyRecord, KeyRefused
from core.problems import Unavailable
from core.seal import Sealer
from core.settings import Secret
from declarations import MemoriesSettings

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
        self.down = False
        self.asked = 0

    async def find_key(self, key_hash: str) -> KeyRecord | KeyRefused | None:
        self.asked += 1
        if self.down:
            raise Unavailable("down", part="control plane")
        return self.keys.get(key_hash)


class MemoryCache:
    """Implements `ports.PrincipalCache`. `down` makes it silent, as the real one is."""

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

    async def void(self, key_hash: str, version: int) -> bool:
        self._write(key_hash, version, b"", 120.0)
        return not self.down

    def _write(self, key_hash: str, version: int, entry: bytes, ttl_seconds: float) -> None:
        held, _, ends = self.entries.get(key_hash, (0, b"", 0.0))
        if self.down or (ends > self._clock.seconds and held > version):
            return
        self.entries[key_hash] = (version, entry, self._clock.seconds + ttl_seconds)


class Gate:
    """Admission over twins, and keys for it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.directory = MemoryDirectory()
        self.cache = MemoryCache(self.clock)
        self.store_sealer = Sealer(SETTINGS.store_seal_key, "STORE_SEAL_KEY")
        self.admission = self.process()

    def process(self) -> Admission:
        """Admission of another process: same control plane and shared cache, no leases."""
        return Admission(
            tag_secrets=[TAG_SECRET],
            directory=self.directory,
            cache=self.cache,
            principal_sealer=Sealer(SETTINGS.principal_seal_key, "PRINCIPAL_SEAL_KEY"),
            store_sealer=self.store_sealer,
            clock=self.clock,
            monotonic=self.clock.monotonic,
        )

    def add_key(
        self,
        scopes: tuple[str, ...] = ("memories:read", "memories:write"),
        version: int = 3,
        expires_at: float | None = None,
    ) -> str:
        """A new key that the control plane knows."""
        key = keys.issue([TAG_SECRET])
        self.directory.keys[key.hash] = self.record(key.hash, scopes, version, expires_at)
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
