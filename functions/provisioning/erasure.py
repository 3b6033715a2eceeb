"""Job `erase_account`: everything that is held of a person who confirmed it.

By then the account is closed, its keys are revoked and the ledger `app.erased` says so (0009), so nobody comes in.
Order: the stores of its own workspaces, once no other job is at them and none can begin any more; who pays for them at
Stripe, with all that they pay for; the user who could sign in; and the rows last, because they say what there is to
erase; with them the mail that says so. Each step ends by looking that nothing is left.

A workspace that somebody else owns goes on, and so does what they pay for it. Backups end within 30 days by themselves,
and a restore consults the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.problems import Unavailable
from provisioning.backups.taking import note_erasure
from provisioning.billing import erase_customers
from provisioning.closings import erase_stores
from provisioning.jobs import GaveUp, subject
from provisioning.outbox import Job
from provisioning.parts import Parts


async def erase_account(parts: Parts, job: Job) -> None:
    account = subject(job)
    erasure = await parts.ledger.read_erasure(account)
    if erasure is None:
        raise GaveUp("Nobody confirmed the erasure of this account: the ledger app.erased does not hold it.")
    await note_erasure(parts, account, list(erasure.workspaces))
    for workspace in erasure.workspaces:
        await parts.ledger.clear_store(workspace)  # what begins from here on finds it closed
    await _wait_for_others(parts, erasure.workspaces)
    for workspace in erasure.workspaces:
        await erase_stores(parts, workspace)
    await erase_customers(parts, erasure.workspaces)
    await parts.users.delete(account)
    if await parts.users.exists(account):
        raise Unavailable("Supabase Auth still has a user that it deleted.", part="auth")
    if not erasure.finished:
        await parts.ledger.finish_erasure(account)


async def _wait_for_others(parts: Parts, workspaces: Sequence[str]) -> None:
    """What has begun at a store ends first: a move might open and fill a database that was just deleted.

    Raises:
        Unavailable: it has not ended.
    """
    at_work = {job.subject for job in await parts.outbox.listed("running")}
    if not at_work.isdisjoint(workspaces):
        raise Unavailable("Another job is at work at a store of this account. It ends first.", part="outbox")
