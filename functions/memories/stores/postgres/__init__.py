"""Memories in PostgreSQL, under row-level security: one function of schema `memory` for each operation.

One call is one statement, one round trip and one transaction (functions/migrations/postgres, from 0002 on). The other
way, BEGIN, set_config, query and COMMIT in psycopg's pipeline, needs rights on the tables for the login role and took
longer: 0.79 ms against 0.54 for reading one memory, 0.56 ms of this process's time against 0.37.

The order of results, and what an operation answers, is that of the SQLite store: tests/functions/memories compare them.
"""

from __future__ import annotations

from core.adapters.postgres import Postgres
from core.ports import StoreAddress
from core.urls import workspace_of_url
from memories.quotas import StoreLimits
from memories.stores.postgres.graph import Relationships
from memories.stores.postgres.memories import Memories
from memories.stores.postgres.search import Searches
from memories.stores.postgres.transfer import Transfers
from memories.stores.postgres.walks import Walks


class PostgresStore(Memories, Searches, Relationships, Walks, Transfers):
    """`ports.Store` of one workspace."""


class PostgresStores:
    """`ports.Stores` in one database."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def open(
        self, address: StoreAddress, limits: StoreLimits | None = None, project: str | None = None
    ) -> PostgresStore:
        """Raises: ValueError: the address names no workspace."""
        workspace = workspace_of_url(address.url)
        return PostgresStore(self._postgres, workspace, epoch=address.epoch, limits=limits, project=project)
