"""The steps of a move, over the port alone. Each may be repeated from its beginning; none looks at a fence.

begin the journal of the source -> copy_all -> copy_changes until few are left -> pause the source -> copy_changes
-> compare digests -> flip the epoch
"""

from __future__ import annotations

from collections.abc import Iterable

from memories.stores.ports_move import Change, Kind, MovableStore, key_of

CHANGES = 1000
"""How many changes are carried over at once. The more, the fewer calls for what changes often; were they fewer than
writers make meanwhile, a move would never come to its end."""


async def copy_all(source: MovableStore, target: MovableStore) -> None:
    """Copy every row that is there while this runs. What is removed meanwhile may stay there: see the journal."""
    for kind in Kind:
        after: tuple[str, int] | None = None
        while rows := await source.raw_page(kind, after):
            await target.put_raw(kind, rows)
            after = key_of(kind, rows[-1])


async def copy_changes(source: MovableStore, target: MovableStore, after: int) -> tuple[int, int]:
    """Carry over what the journal says behind `after`, once: where it goes on, and how many changes there were.

    A thing is carried over as it is by now, so later changes of it may be carried over again.
    """
    changes = await source.read_journal(after, CHANGES)
    if not changes:
        return after, 0
    for kind in Kind:
        await _carry(source, target, kind, changed(changes, kind))
    return changes[-1].seq, len(changes)


def changed(changes: Iterable[Change], kind: Kind) -> list[str]:
    """The things of which rows of a kind changed: those of a memory's earlier states change with the memory."""
    of = Kind.MEMORY if kind is Kind.VERSION else kind
    return list(dict.fromkeys(change.id for change in changes if change.kind is of))


async def _carry(source: MovableStore, target: MovableStore, kind: Kind, ids: list[str]) -> None:
    """The old rows of a thing go in the same call in which its new ones come: half of it would be lost with a call that
    is repeated late."""
    after: tuple[str, int] | None = None
    while ids:
        rows = await source.raw_page(kind, after, ids=ids)
        if rows or after is None:
            await target.put_raw(kind, rows, instead_of=ids if after is None else ())
        if not rows:
            return
        after = key_of(kind, rows[-1])
