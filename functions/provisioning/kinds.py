"""Every kind of job, and who does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from provisioning import billing, closings, erasure, leftovers, moves, openings, posting, renewals, tombstones
from provisioning.backups import restoring
from provisioning.jobs import Work
from provisioning.outbox import Job
from provisioning.parts import Parts

KINDS: dict[str, Callable[[Parts, Job], Awaitable[None]]] = {
    "open_store": openings.open_store,
    "drop_database": leftovers.drop_database,
    "drop_memories": leftovers.drop_memories,
    "close_store": closings.close_store,
    "suspend_store": closings.suspend_store,
    "move_store": moves.move_store,
    "restore_store": restoring.restore_store,
    "renew_token": renewals.renew_token,
    "upgrade_schema": renewals.upgrade_schema,
    "void_keys": tombstones.void_keys,
    "send_mail": posting.send_mail,
    "erase_account": erasure.erase_account,
    "sync_seats": billing.sync_seats,
    "end_duplicate": billing.end_duplicate,
    "end_grace": billing.end_grace,
    "settle_customer": billing.settle_customer,
    "hand_over_customer": billing.hand_over_customer,
    "delete_customer": billing.delete_customer,
}


def works(parts: Parts) -> dict[str, Work]:
    return {kind: partial(work, parts) for kind, work in KINDS.items()}
