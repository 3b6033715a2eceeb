"""The control plane and who may sign in: every table of schema `app`, and Supabase's users, as at one moment.

Left out: the outbox (a restored mail or move would be done a second time; what it stood for is found again by the sweep
and the nightly look), leases, and what is kept of backups themselves.

Each table has a digest: its count, and a sum over its rows as PostgreSQL writes them in JSON, which does not depend on
their order. A restore has the database make it anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from core.adapters.bulk import Bulk, snapshot
from core.settings import Secret
from provisioning.backups.archive import Writer

# ruff: noqa: S608 - what is put into SQL here are names of our own tables and columns, never values

SCHEMA = "app"
LEFT_OUT = frozenset({"schema_migrations", "jobs", "billing_leases", "backup_runs", "backup_stores"})
AUTH = ("auth.users", "auth.identities")
ROWS = 500
"""Put in at once."""

_TABLES = """
  SELECT c.relname FROM pg_class c
  WHERE c.relnamespace = 'app'::regnamespace AND c.relkind = 'r' ORDER BY c.relname"""
_COLUMNS = """
  SELECT a.attname FROM pg_attribute a
  WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  ORDER BY a.attnum"""
_IDENTITIES = """
  SELECT a.attname, pg_get_serial_sequence(%s, a.attname) FROM pg_attribute a
  WHERE a.attrelid = %s::regclass AND a.attidentity <> '' AND NOT a.attisdropped"""
_REFERENCES = """
  SELECT f.conrelid::regclass::text, f.confrelid::regclass::text, pg_get_constraintdef(f.oid)
  FROM pg_constraint f
  WHERE f.contype = 'f' AND f.connamespace = 'app'::regnamespace"""
_DIGEST = """
  SELECT count(*), coalesce(sum(('x' || left(md5(to_jsonb(t)::text), 16))::bit(64)::bigint), 0)::text FROM {} t"""


async def write_control(url: Secret, writer: Writer, about: Mapping[str, Any]) -> str:
    """Back it up by the role `backup`; the name of the index."""
    async with snapshot(url) as database:
        digests: dict[str, list[Any]] = {}
        for table in await tables(database):
            async with aclosing(database.copy(f"SELECT to_jsonb(t)::text FROM app.{table} t")) as rows:
                async for text in rows:
                    await writer.add(table, orjson.loads(text))
            digests[table] = await digest(database, f"app.{table}")
        for name in AUTH:
            source = f"backup.export_auth('{name.removeprefix('auth.')}')"
            async with aclosing(database.copy(f"SELECT t::text FROM {source} t")) as rows:
                async for text in rows:
                    await writer.add(name, orjson.loads(text))
        migrated = await database.fetch("SELECT coalesce(max(version), 0) FROM app.schema_migrations")
        whole = {**about, "what": "control", "migration": migrated[0][0], "digests": digests}
    return await writer.finish(whole)


async def tables(database: Bulk) -> list[str]:
    return [name for (name,) in await database.fetch(_TABLES) if name not in LEFT_OUT]


async def digest(database: Bulk, table: str) -> list[Any]:
    """[count, sum as text]: see the module."""
    return list((await database.fetch(_DIGEST.format(table)))[0])


async def columns(database: Bulk, table: str) -> list[str]:
    """What can be put into a table (SCHEMA.NAME): all but what is generated from others."""
    return [f'"{name}"' for (name,) in await database.fetch(_COLUMNS, [table])]


async def sequences(database: Bulk, table: str) -> list[tuple[str, str]]:
    """Its identity columns, and the sequence of each."""
    found = await database.fetch(_IDENTITIES, [table, table])
    return [(f'"{column}"', sequence) for column, sequence in found]


async def put(database: Bulk, table: str, rows: Sequence[Mapping[str, Any]], *, again: bool = False) -> None:
    """Add rows to a table (SCHEMA.NAME) that is like the one they came from, or has more columns.

    Args:
        again: some may be there already, and stay as they are.
    """
    known = [name for name in await columns(database, table) if any(name.strip('"') in row for row in rows)]
    names = ", ".join(known)
    statement = (
        f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"
        f" SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"
        + (" ON CONFLICT DO NOTHING" if again else "")
    )
    for start in range(0, len(rows), ROWS):
        await database.fetch(statement, [orjson.dumps(rows[start : start + ROWS]).decode()])


async def references(database: Bulk) -> list[tuple[str, str, str]]:
    """Table, table that it refers to, and the constraint's text."""
    await database.fetch("SELECT set_config('search_path', 'pg_catalog, pg_temp', true)")  # so that names are whole
    return [(str(one), str(other), str(text)) for one, other, text in await database.fetch(_REFERENCES)]


def in_order(names: Sequence[str], refers: Sequence[tuple[str, str, str]]) -> list[str]:
    """Tables so that each comes behind those that it refers to."""
    ordered: list[str] = []
    left = list(names)
    while left:
        ready = [
            name
            for name in left
            if not any(one == f"app.{name}" and other != one and other[4:] in left for one, other, _ in refers)
        ]
        ordered += ready or left[:1]
        left = [name for name in left if name not in ordered]
    return ordered
