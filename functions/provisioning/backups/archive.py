"""What one backup of one thing looks like in the bucket: parts with its rows, and an index that is written last.

    FOLDER/2026-11-28T014100Z-1f2e3d4c/part-0001.jsonl.gz    lines [KIND, {COLUMN: VALUE, ...}]
    FOLDER/2026-11-28T014100Z-1f2e3d4c/index.json            what it is, its parts with SHA-256 and count, a seal

Whoever was killed in between leaves parts that no index names: nobody reads them, and they end after 30 days. Reading
checks everything that the index says, so a part that was changed, lost or swapped is found before a row is used.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import secrets
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from core.problems import Internal, NotFound
from provisioning.backups.bucket import Bucket

FORMAT = 1
PART_BYTES = 8 << 20
"""Compressed bytes after which a part ends: a restore holds one in memory, and the client reads 32 MiB at most."""
PART_MOST = 64 << 20
"""Bytes of the rows of one part: a part that claims to hold more is not what we wrote."""
ROWS_BYTES = 32 << 20
"""The same, of what is not compressed."""


class Corrupted(Internal):
    """What is in the bucket is not what was backed up. Nothing was changed by finding that."""


Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Index:
    """`about` is what whoever made it said of it; `counts` are rows by kind."""

    name: str
    about: dict[str, Any]
    counts: dict[str, int]
    parts: tuple[dict[str, Any], ...]


@dataclass(slots=True)
class Writer:
    """Writes one backup. `finish` it, or it was never made."""

    bucket: Bucket
    folder: str
    now: datetime
    counts: dict[str, int] = field(default_factory=dict)
    _parts: list[dict[str, Any]] = field(default_factory=list)
    _buffer: io.BytesIO = field(default_factory=io.BytesIO)
    _gzip: gzip.GzipFile | None = None
    _rows: int = 0
    _plain: int = 0
    _place: str = ""

    def __post_init__(self) -> None:
        self._place = f"{self.folder}/{stamp(self.now)}"

    async def add(self, kind: str, row: Mapping[str, Any]) -> None:
        if self._gzip is None:
            self._gzip = gzip.GzipFile(fileobj=self._buffer, mode="wb", compresslevel=6, mtime=0)
        line = orjson.dumps([kind, row]) + b"\n"
        self._gzip.write(line)
        self._rows, self._plain = self._rows + 1, self._plain + len(line)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self._buffer.tell() >= PART_BYTES or self._plain >= ROWS_BYTES:
            await self._end_part()

    async def finish(self, about: Mapping[str, Any]) -> str:
        """Write what is left, and the index; its name."""
        await self._end_part()
        body = {"format": FORMAT, "about": dict(about), "counts": self.counts, "parts": self._parts}
        name = f"{self._place}/index.json"
        await self.bucket.write(name, orjson.dumps({**body, "seal": _seal(body)}))
        return name

    async def _end_part(self) -> None:
        if self._gzip is None:
            return
        self._gzip.close()
        content = self._buffer.getvalue()
        name = f"{self._place}/part-{len(self._parts) + 1:04}.jsonl.gz"
        await self.bucket.write(name, content)
        self._parts.append({"name": name, "sha256": hashlib.sha256(content).hexdigest(), "rows": self._rows})
        self._buffer, self._gzip, self._rows, self._plain = io.BytesIO(), None, 0, 0


def stamp(now: datetime) -> str:
    """A part of a name that sorts by time and that nobody else makes."""
    return f"{now:%Y-%m-%dT%H%M%SZ}-{secrets.token_hex(4)}"


def sealed(body: dict[str, Any]) -> bytes:
    """A document whose changes are found by `opened`."""
    return orjson.dumps({**body, "seal": _seal(body)})


def opened(name: str, content: bytes) -> dict[str, Any]:
    """Raises: Corrupted."""
    try:
        body = orjson.loads(content)
        seal = body.pop("seal")
    except (orjson.JSONDecodeError, AttributeError, LookupError):
        raise Corrupted(_told(name, "it cannot be read")) from None
    if seal != _seal(body) or body.get("format") != FORMAT:
        raise Corrupted(_told(name, "it was changed, or is of a version that this one does not know"))
    found: dict[str, Any] = body
    return found


async def read_index(bucket: Bucket, name: str) -> Index:
    """Raises: Corrupted; NotFound: there is none of this name."""
    body = opened(name, await bucket.read(name))
    try:
        parts = tuple(
            {"name": str(p["name"]), "sha256": str(p["sha256"]), "rows": int(p["rows"])} for p in body["parts"]
        )
        return Index(name=name, about=dict(body["about"]), counts=dict(body["counts"]), parts=parts)
    except (LookupError, TypeError, ValueError):
        raise Corrupted(_told(name, "its index is not complete")) from None


async def read_rows(bucket: Bucket, index: Index) -> AsyncIterator[Row]:
    """Every row, in the order in which it was written; each part is checked before its first one is given.

    Raises:
        Corrupted: a part is not the one that was written, or is gone.
    """
    for part in index.parts:
        try:
            content = await bucket.read(part["name"])
        except NotFound:
            raise Corrupted(_told(part["name"], "it is gone")) from None
        if hashlib.sha256(content).hexdigest() != part["sha256"]:
            raise Corrupted(_told(part["name"], "its checksum is another"))
        lines = _unzipped(part["name"], content).splitlines()
        if len(lines) != part["rows"]:
            raise Corrupted(_told(part["name"], "rows are missing"))
        for line in lines:
            kind, row = orjson.loads(line)
            yield kind, row


async def verify(bucket: Bucket, index: Index) -> None:
    """Read all of it once. Raises: Corrupted."""
    counts: dict[str, int] = {}
    async for kind, _ in read_rows(bucket, index):
        counts[kind] = counts.get(kind, 0) + 1
    if counts != index.counts:
        raise Corrupted(_told(index.name, "its parts hold other rows than it says"))


def _unzipped(name: str, content: bytes) -> bytes:
    try:
        unzip = zlib.decompressobj(wbits=31)
        text = unzip.decompress(content, PART_MOST)
    except zlib.error:
        raise Corrupted(_told(name, "it cannot be decompressed")) from None
    if not unzip.eof:
        raise Corrupted(_told(name, "it ends too early, or holds too much"))
    return text


def _seal(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _told(name: str, why: str) -> str:
    return f"The backup {name} cannot be used: {why}. Nothing was changed. Restore an earlier one."
