"""All that is held of a person, as one archive (GDPR, articles 15 and 20).

    account.json        the account, the workspaces it is in, invitations by it and to it, what it pays for
    keys.json           its keys, without what opens anything
    audit.json          what it did
    usage.json          calls by day, of the workspaces that it owns
    memories/ID.jsonl   each workspace that it owns, lossless: `POST /import` takes it (memories/transfer/formats.py)
    manifest.json       what is in the archive; for a workspace that is not whole, where `GET /export` goes on

Memories of a workspace that somebody else owns are that one's to give. By an API key: the key's workspace only.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from accounts.archive.zipped import Zipped
from accounts.asker import Asker
from accounts.ports import Accounts, Body
from accounts.refusals import gone
from core.ports import Clock, Principal, StoreAddress
from core.problems import Forbidden, TooManyRequests
from core.seal import Sealer
from core.settings import Secret
from core.turns import Turn, Turns
from declarations import VERSION, Access
from memories.ports import Store, Stores
from memories.transfer.formats import Format, encode_cursor
from memories.transfer.model import ExportPage, Kind, Place
from memories.transfer.service import EXPORT_PAGE
from memories.transfer.writers import writer

SECONDS = 45.0
"""The archive begins no page later than this, before the function's timeout cuts it off."""
USAGE_DAYS = 400
ARCHIVES_MOST = 2
"""Of one account in one process at a time: each reads every store and packs what it holds."""
TIMEOUT_SECONDS = 60.0
"""The function's: nothing goes on for longer."""
RETRY_SECONDS = 15
FORMAT = "memorygraph-cloud-account/1"
_ACCOUNT = ("account", "workspaces", "invitations", "subscriptions")


@dataclass(frozen=True, slots=True)
class _Workspace:
    """One whose memories are in the archive. `first` was read before the answer began, so that a store that is down is
    a 503 and no half archive."""

    id: str
    store: Store
    head: bytes
    first: ExportPage | None = None


class ArchiveService:
    """One for the process; each call says who asks.

    Args:
        store_sealer: opens store tokens.
    """

    def __init__(
        self,
        directory: Accounts,
        stores: Stores,
        store_sealer: Sealer,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._stores = stores
        self._sealer = store_sealer
        self._clock = clock
        self._monotonic = monotonic
        self._running = Turns(ARCHIVES_MOST, TIMEOUT_SECONDS, monotonic=monotonic)

    async def begin(self, caller: Principal) -> AsyncGenerator[bytes]:
        """The archive's bytes, piece by piece.

        Raises:
            Forbidden: the key may not see all of it.
            TooManyRequests: as many of this account are being made as may.
            Unavailable: a part does not answer; later the pieces break off.
        """
        if caller.project is not None or Access.READ.value not in caller.scopes:
            raise Forbidden(
                f"An archive holds all memories of the workspace: use a key with the scope {Access.READ} that is not "
                "bound to a project, or sign in."
            )
        asker = Asker.of(caller)
        turn = self._running.begin(asker.account)
        if turn is None:
            raise TooManyRequests(
                "As many archives of this account are being made as may be at a time. Wait until one of them is there.",
                retry_after_seconds=RETRY_SECONDS,
            )
        try:
            return self._to_the_end(await self._prepare(asker), asker.account, turn)
        except BaseException:
            self._running.end(asker.account, turn)
            raise

    async def _to_the_end(self, pieces: AsyncGenerator[bytes], account: str, turn: Turn) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        finally:
            self._running.end(account, turn)

    async def _prepare(self, asker: Asker) -> AsyncGenerator[bytes]:
        stop_at = self._monotonic() + SECONDS
        held = await self._directory.export(asker)
        if held.get("account") is None:
            raise gone()
        usage = {
            store["id"]: [
                {"date": day.isoformat(), "calls": calls}
                for day, calls in await self._directory.calls(store["id"], USAGE_DAYS)
            ]
            for store in held["stores"]
        }
        workspaces = [await self._open(store, first=not index) for index, store in enumerate(held["stores"])]
        return self._pieces(held, usage, workspaces, stop_at)

    async def _open(self, sealed: Body, *, first: bool) -> _Workspace:
        token = self._sealer.open_text(sealed["token"], sealed["id"]) if sealed.get("token") else ""
        store = self._stores.open(StoreAddress(sealed["kind"], sealed["url"], Secret(token), sealed["epoch"]))
        totals = await store.totals()
        head = writer(Format.JSONL).head(totals, self._clock.now())
        page = await store.export_page(Place(Kind.MEMORY), limit=EXPORT_PAGE, current=False) if first else None
        return _Workspace(sealed["id"], store, head, page)

    async def _pieces(
        self, held: Body, usage: dict[str, Any], workspaces: list[_Workspace], stop_at: float
    ) -> AsyncGenerator[bytes]:
        now = self._clock.now()
        zipped = Zipped(now)
        files = {
            "account.json": {name: held[name] for name in _ACCOUNT},
            "keys.json": held["keys"],
            "audit.json": held["audit"],
            "usage.json": usage,
        }
        for name, content in files.items():
            yield _written(zipped, name, content)
        parts: list[Body] = []
        for workspace in workspaces:
            name, written = f"memories/{workspace.id}.jsonl", writer(Format.JSONL)
            following: Place | None = Place(Kind.MEMORY)
            page = workspace.first
            with zipped.file(name) as member:
                member.write(workspace.head)
                while following is not None and (page is not None or self._monotonic() < stop_at):
                    page = page or await workspace.store.export_page(following, limit=EXPORT_PAGE, current=False)
                    for piece in _rows(written.page(page)):
                        member.write(piece)
                        yield zipped.take()
                    following, page = page.next, None
                member.write(written.end(following))
            part: Body = {"workspace_id": workspace.id, "file": name, "complete": following is None}
            if following is not None:
                part["next_cursor"] = encode_cursor(following)
            parts.append(part)
        yield _written(zipped, "manifest.json", _manifest(now, [*files, *(part["file"] for part in parts)], parts))
        yield zipped.end()


def _rows(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return (piece for piece in pieces if piece)


def _written(zipped: Zipped, name: str, content: object) -> bytes:
    with zipped.file(name) as member:
        member.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return zipped.take()


def _manifest(at: datetime, files: list[str], parts: list[Body]) -> Body:
    return {
        "format": FORMAT,
        "made_by": f"MemoryGraph Cloud {VERSION}",
        "exported_at": at.isoformat("T", "microseconds"),
        "complete": all(part["complete"] for part in parts),
        "files": files,
        "memories": parts,
    }
