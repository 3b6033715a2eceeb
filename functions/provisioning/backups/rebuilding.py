"""The control plane of a backup, put into a new place: a database that `pulumi up` has just made.

    1  the whole backup is read and checked, and every erasure that the bucket notes
    2  the database is at the backup's migration or a later one, and holds no account
    3  all rows, in tables beside, then by their references into the real ones; Supabase's users, too
    4  erasures: the ledger of the backup and the bucket's; who was erased is closed, and a job erases them again
    5  a job for each store that is to be restored

2 to 5 are one transaction: it is there whole, or nothing was changed. By `postgres`, who owns the schema: no function
may do this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from core.adapters.bulk import Bulk, change
from core.problems import Conflict
from core.settings import Secret
from provisioning.backups import archive, control
from provisioning.backups.archive import Index
from provisioning.backups.bucket import Bucket
from provisioning.backups.checking import put_all

# ruff: noqa: S608 - what is put into SQL here are names of our own tables and columns, never values


class Which(StrEnum):
    """Stores that are restored with the control plane."""

    ALL = "all"
    POSTGRES = "postgres"  # databases at Turso are there still, and newer than their backups
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`rows` by table; erasures that were replayed; stores that a job restores."""

    rows: Mapping[str, int]
    erased: int
    stores: int


async def rebuild(bucket: Bucket, manifest: str, owner: Secret, which: Which) -> Rebuilt:
    """Put the control plane of a manifest into the database of `owner`.

    Raises:
        Corrupted, NotFound: the backup is not whole, or has ended; nothing was changed.
        Conflict: the database is not empty, or older than the backup; nothing was changed.
        Unavailable, Internal: see `core.adapters.bulk`; nothing was changed.
    """
    body = archive.opened(manifest, await bucket.read(manifest))
    index = await archive.read_index(bucket, body["control"])
    await archive.verify(bucket, index)
    erasures = await noted_erasures(bucket)
    async with change(owner, keep=True) as database:
        await _see_that_it_fits(database, index)
        await _fill(database, bucket, index)
        await _put_users(database, bucket, index)
        erased = await replay(database, erasures)
        stores = await _order_stores(database, body["workspaces"], which)
    return Rebuilt(index.counts, erased, stores)


async def noted_erasures(bucket: Bucket) -> dict[str, list[str]]:
    """Accounts that were erased in the last 30 days, and their workspaces, as the bucket has it.

    Raises:
        Corrupted: a note cannot be read: who it is about must not come back.
    """
    found: dict[str, list[str]] = {}
    for name in await bucket.names("erased/"):
        body = archive.opened(name, await bucket.read(name))
        found[str(body["account"])] = [str(one) for one in body["workspaces"]]
    return found


async def replay(database: Bulk, erasures: Mapping[str, list[str]]) -> int:
    """Erase again whom a restore brought back; how many they are. What is in app.erased counts, too."""
    for account, workspaces in erasures.items():
        await database.fetch(
            "INSERT INTO app.erased (account_id, workspaces) VALUES (%s::uuid, %s::uuid[]) ON CONFLICT DO NOTHING",
            [account, workspaces],
        )
    back = await database.fetch(
        "UPDATE app.erased e SET finished_at = NULL"
        " WHERE EXISTS (SELECT FROM app.accounts a WHERE a.id = e.account_id)"
        " OR EXISTS (SELECT FROM app.workspaces w WHERE w.id = ANY (e.workspaces))"
        " RETURNING e.account_id, e.workspaces"
    )
    for account, workspaces in back:
        await database.fetch(
            "UPDATE app.accounts SET closed_at = coalesce(closed_at, now()), version = version + 1 WHERE id = %s",
            [account],
        )
        await database.fetch(
            "UPDATE app.workspaces SET closed_at = coalesce(closed_at, now()), version = version + 1"
            " WHERE id = ANY (%s)",
            [workspaces],
        )
        payload = orjson.dumps({"workspaces": [str(one) for one in workspaces]}).decode()
        await database.fetch("SELECT app.enqueue('erase_account', %s, %s::jsonb, %s)", [account, payload, str(account)])
    ended = [account for account, _ in back]
    await database.fetch(
        "UPDATE app.erased SET finished_at = now() WHERE finished_at IS NULL AND account_id <> ALL (%s)", [ended]
    )
    return len(back)


async def _see_that_it_fits(database: Bulk, index: Index) -> None:
    [(version,)] = await database.fetch("SELECT coalesce(max(version), 0) FROM app.schema_migrations")
    if version < index.about["migration"]:
        raise Conflict(
            f"The backup was made with migration {index.about['migration']:04}, the database has {version:04}: run "
            "`pulumi up` from a checkout that has it. Nothing was changed."
        )
    [(used,)] = await database.fetch("SELECT EXISTS (SELECT FROM app.accounts) OR EXISTS (SELECT FROM app.workspaces)")
    if used:
        raise Conflict(
            "The database has accounts already. A control plane is restored into an empty one: make a new project with "
            "`pulumi up`. Nothing was changed."
        )


async def _fill(database: Bulk, bucket: Bucket, index: Index) -> None:
    names = list(index.about["digests"])
    for table in names:
        await database.fetch(f"CREATE TABLE scratch.{table} (LIKE app.{table} INCLUDING GENERATED)")
    await put_all(database, bucket, index, "scratch")
    for table in control.in_order(names, await control.references(database)):
        columns = ", ".join(await control.columns(database, f"app.{table}"))
        await database.fetch(
            f"INSERT INTO app.{table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM scratch.{table}"
            " ON CONFLICT DO NOTHING"
        )
        await database.fetch(f"DROP TABLE scratch.{table}")
        for column, sequence in await control.sequences(database, f"app.{table}"):
            await database.fetch(
                f"SELECT setval(%s::regclass, greatest((SELECT max({column}) FROM app.{table}), 1))", [sequence]
            )


async def _put_users(database: Bulk, bucket: Bucket, index: Index) -> None:
    """Nothing where Supabase Auth is not in this database."""
    users: dict[str, list[dict[str, Any]]] = {name: [] for name in control.AUTH}
    async for kind, row in archive.read_rows(bucket, index):
        if kind in users:
            users[kind].append(row)
    for table in control.AUTH:
        [(there,)] = await database.fetch("SELECT to_regclass(%s) IS NOT NULL", [table])
        if there and users[table]:
            await control.put(database, table, users[table], again=True)


async def _order_stores(database: Bulk, workspaces: Mapping[str, str], which: Which) -> int:
    """A job for each; those of workspaces that were erased or closed are left out."""
    count = 0
    for workspace, name in workspaces.items():
        rows = await database.fetch(
            "SELECT w.store_kind, w.epoch FROM app.workspaces w WHERE w.id = %s::uuid AND w.closed_at IS NULL",
            [workspace],
        )
        if rows and (which is Which.ALL or rows[0][0] == which.value):
            payload = orjson.dumps({"object": name}).decode()
            statement = "SELECT app.enqueue('restore_store', %s::uuid, %s::jsonb, %s)"
            await database.fetch(statement, [workspace, payload, workspace])
            if rows[0][0] == Which.POSTGRES.value:  # nobody is served from what is empty, and nothing written is lost
                await database.fetch("SELECT memory.fence(%s, %s, 'closed')", [workspace, rows[0][1]])
            count += 1
    return count
