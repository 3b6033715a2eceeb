"""What the operator asks of backups: which there are, one workspace as it was, and all of it in a new place.

Each reads and checks a whole backup before it changes anything, so that what cannot be restored is said at once.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.problems import Invalid, NotFound
from core.settings import Secret, Settings
from provisioning.backups.bucket import Bucket, GoogleBucket
from provisioning.backups.rebuilding import Rebuilt, Which, noted_erasures, rebuild
from provisioning.backups.restoring import read_workspace
from provisioning.outbox import Outbox
from provisioning.watch import Watch

SHOWN = 30
INDEX = "index.json"
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{6}Z)?")


@dataclass(frozen=True, kw_only=True)
class RestoreSettings(Settings):
    """From the stack's output `restore`, and `access_token`: the operator's own at Google, who may read the bucket.

    `database_url` is that of the role `provisioning`, `owner_url` that of `postgres`.
    """

    backup_bucket: str
    storage_url: str = ""
    access_token: Secret
    database_url: Secret
    owner_url: Secret


class GivenToken:
    """In the place of `core.adapters.google.Metadata`."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def access_token(self) -> str:
        return self._token.reveal()

    def forget(self) -> None:
        """There is no other."""


def open_bucket(settings: RestoreSettings, http: HttpClient) -> Bucket:
    return GoogleBucket(http, GivenToken(settings.access_token), settings.backup_bucket, settings.storage_url)


async def list_backups(bucket: Bucket, workspace: str = "") -> str:
    """The newest backups of everything, or of one workspace, one a line, newest first.

    Raises:
        Invalid, Unavailable, Internal: see `Bucket`.
    """
    names = await (_of(bucket, workspace) if workspace else bucket.names("runs/"))
    return "\n".join(reversed(names[-SHOWN:])) or "There is no backup."


async def restore_workspace(bucket: Bucket, outbox: Outbox, watch: Watch, workspace: str, until: str = "") -> str:
    """Have a workspace be as the newest backup until then holds it; what will be.

    Args:
        until: a day (2026-11-28, its end), or a moment as names of backups have it (2026-11-28T014100Z). Empty: now.

    Raises:
        NotFound: there is no such backup, or the workspace was erased; Corrupted; Invalid; Unavailable.
    """
    if until and not _MOMENT.fullmatch(until):
        raise Invalid("Say the time as 2026-11-28 or 2026-11-28T014100Z.")
    workspace = _id(workspace)
    names = [name for name in await _of(bucket, workspace) if not until or name.split("/")[2][: len(until)] <= until]
    if not names:
        raise NotFound(f"There is no backup of {workspace} until {until or 'now'}. Nothing was changed.")
    erased = {one for some in (await noted_erasures(bucket)).values() for one in some}
    if workspace in erased or await watch.standing(workspace) != "open":
        raise NotFound(f"The workspace {workspace} was closed or erased, and is not restored. Nothing was changed.")
    index = await read_workspace(bucket, names[-1], workspace)
    await outbox.enqueue("restore_store", workspace, {"object": index.name}, dedupe=workspace)
    held = ", ".join(f"{count} of {kind}" for kind, count in index.counts.items()) or "nothing"
    return (
        f"{index.name} is whole ({held}) and is restored within five minutes. What the workspace holds now is backed "
        "up first, so that it can be taken back the same way."
    )


async def rebuild_control(bucket: Bucket, owner: Secret, manifest: str = "", which: Which = Which.POSTGRES) -> str:
    """Put the control plane of a manifest (by default the newest) into an empty database. Raises as `rebuild` does."""
    names = await bucket.names("runs/")
    if not (manifest or names):
        raise NotFound("There is no backup. Nothing was changed.")
    done: Rebuilt = await rebuild(bucket, manifest or names[-1], owner, which)
    return (
        f"{manifest or names[-1]} is restored: {sum(done.rows.values())} rows. {done.erased} erasures are replayed and "
        f"{done.stores} stores are restored by jobs, from the next sweep on."
    )


async def run(settings: RestoreSettings, action: str, *, workspace: str, until: str, manifest: str, stores: str) -> str:
    """One of the above. Raises as they do; Invalid: there is no such action."""
    http, postgres = HttpClient(), Postgres(settings.database_url)
    bucket = open_bucket(settings, http)
    try:
        if action == "list":
            return await list_backups(bucket, workspace)
        if action == "workspace":
            return await restore_workspace(bucket, Outbox(postgres), Watch(postgres), workspace, until)
        if action == "control":
            return await rebuild_control(bucket, settings.owner_url, manifest, _which(stores))
    finally:
        await http.close()
        await postgres.close()
    raise Invalid("There are the actions list, workspace and control.")


def _which(stores: str) -> Which:
    try:
        return Which(stores or Which.POSTGRES)
    except ValueError:
        raise Invalid(f"Say which stores: {', '.join(Which)}.") from None


async def _of(bucket: Bucket, workspace: str) -> list[str]:
    return [name for name in await bucket.names(f"workspaces/{_id(workspace)}/") if name.endswith(f"/{INDEX}")]


def _id(workspace: str) -> str:
    try:
        return str(uuid.UUID(workspace.strip()))
    except ValueError:
        raise Invalid("This is no id of a workspace. `GET /api/v1/workspaces` tells it.") from None
