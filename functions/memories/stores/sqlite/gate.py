"""The way to one database: every batch is fenced, and one that writes goes through the gate (0002_limits.sql).

What reads asks for the fence beside it, in the same transaction. What writes first inserts into the view `gate`: that
fails when the fence forbids it, and says the limits of the caller's plan to the triggers, which refuse what has no
room. Each is one batch still.

A database without 0002 is fenced all the same, since its `_fence` is of 0001, but knows no limits. Once a process has
met one, it sends the gate of old at once, which fails as soon as 0002 is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.ports import Database, Result, Statement, StatementFailed
from memories.quotas import Resource, StoreLimits
from memories.stores.fence import Fenced

OLD_REMEMBERED = 4096

_FENCED = "MG421"
_FULL = {"MG41M": Resource.MEMORIES, "MG41B": Resource.BYTES}
_FENCE = Statement("SELECT epoch, mode FROM _fence")
_GATE = "INSERT INTO gate (epoch, memories_most, bytes_most, each) VALUES (?, ?, ?, ?)"
_OLD_GATE = """
  SELECT CASE
    WHEN EXISTS (SELECT 1 FROM _schema_version WHERE version >= 2)
      OR NOT EXISTS (SELECT 1 FROM _fence WHERE epoch = ? AND mode = 'open')
    THEN json('no JSON, so the batch fails')
  END"""
_LEFT_OUT = Statement("SELECT id, what FROM _refused")
_ALL_AGAIN = Statement("UPDATE _usage SET each = 0")
"""For those who come without the gate, from the version before: they would not see what is left out."""


class NoRoomLeft(Exception):
    """The triggers have refused the batch; nothing was done."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.resource = resource


@dataclass(slots=True)
class OldSchemas:
    """The addresses of databases that were without 0002 when they were last asked; the newest of them."""

    _urls: dict[str, None] = field(default_factory=dict)

    def __contains__(self, url: str) -> bool:
        return url in self._urls

    def add(self, url: str) -> None:
        self._urls[url] = None
        if len(self._urls) > OLD_REMEMBERED:
            del self._urls[next(iter(self._urls))]

    def discard(self, url: str) -> None:
        self._urls.pop(url, None)


class Gate:
    """One database at one epoch, for a caller with these limits (None: none)."""

    def __init__(
        self,
        database: Database,
        *,
        epoch: int = 1,
        limits: StoreLimits | None = None,
        url: str = "",
        old: OldSchemas | None = None,
    ) -> None:
        self._database = database
        self._epoch = epoch
        self.limits = limits
        self._url = url
        self._old = OldSchemas() if old is None else old

    async def read(self, statements: Sequence[Statement]) -> list[Result]:
        """Raises: Fenced, and what `Database.batch` raises."""
        *results, fence = await self._database.batch([*statements, _FENCE], write=False)
        if not fence.rows or fence.rows[0][0] != self._epoch or fence.rows[0][1] == "closed":
            raise Fenced
        return results

    async def write(self, statements: Sequence[Statement]) -> list[Result]:
        """All of it or nothing.

        Raises:
            Fenced: the workspace takes no writes, or is at another epoch.
            NoRoomLeft: the plan has no room for it.
            StatementFailed: with the place among `statements`.
        """
        return (await self._write(statements, each=False))[0]

    async def write_each(
        self, statements: Sequence[Statement], *, old: Sequence[Statement] | None = None
    ) -> tuple[list[Result], dict[str, Resource]]:
        """Leave out the memories that have no room: their ids, and what they have no room for.

        `old` is sent in their place to a database that knows no limits.
        """
        return await self._write(statements, each=True, old=old)

    async def _write(
        self, statements: Sequence[Statement], *, each: bool, old: Sequence[Statement] | None = None
    ) -> tuple[list[Result], dict[str, Resource]]:
        for _ in range(2):  # the schema may change between two tries
            if self._url not in self._old:
                ends = [_LEFT_OUT, _ALL_AGAIN] if each else []
                try:
                    results = (await self._database.batch([self._gate(each), *statements, *ends], write=True))[1:]
                except StatementFailed as failure:
                    if not _is_old(failure):
                        raise _refusal(failure) from failure
                    self._old.add(self._url)
                else:
                    if not each:
                        return results, {}
                    *results, left_out, _ = results
                    return results, {str(row[0]): Resource(str(row[1])) for row in left_out.rows}
            passage = Statement(_OLD_GATE, (self._epoch,))
            try:
                results = await self._database.batch([passage, *(old or statements)], write=True)
            except StatementFailed as failure:
                if failure.index > 0:
                    raise StatementFailed(failure.index - 1, failure.message) from failure
                self._old.discard(self._url)
            else:
                return results[1:], {}
        raise Fenced

    def _gate(self, each: bool) -> Statement:  # noqa: FBT001 - see write_each
        limits = self.limits
        most = (None, None) if limits is None else (limits.memories, limits.bytes)
        return Statement(_GATE, (self._epoch, *most, int(each)))


def _is_old(failure: StatementFailed) -> bool:
    return failure.index == 0 and "no such table: gate" in failure.message


def _refusal(failure: StatementFailed) -> Exception:
    if failure.index == 0 and _FENCED in failure.message:
        return Fenced()
    for text, resource in _FULL.items():
        if failure.message.endswith(text):
            return NoRoomLeft(resource)
    return StatementFailed(failure.index - 1, failure.message)
