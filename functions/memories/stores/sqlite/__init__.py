"""Memories in SQLite: Turso or sqld over Hrana, or a local file. SQL over `ports.Database`, in both alike.

Texts of SQL stand where they are used. Floats travel as arguments and columns of their own, never inside JSON: SQLite
reads and writes its decimals up to one unit in the last place off (one of 20,000 in SQLite 3.45, which sqld has).
"""

from __future__ import annotations

from core.ports import Databases, StoreAddress
from memories.quotas import StoreLimits
from memories.stores.sqlite.gate import OldSchemas
from memories.stores.sqlite.graph import GraphOperations
from memories.stores.sqlite.memories import MemoryOperations
from memories.stores.sqlite.search import SearchOperations
from memories.stores.sqlite.transfer import TransferOperations
from memories.stores.sqlite.walks import WalkOperations

__all__ = ["SqliteStore", "SqliteStores"]


class SqliteStore(MemoryOperations, SearchOperations, GraphOperations, WalkOperations, TransferOperations):
    """`ports.Store` on one database."""


class SqliteStores:
    """`ports.Stores` over databases."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._old = OldSchemas()

    def open(self, address: StoreAddress, limits: StoreLimits | None = None, project: str | None = None) -> SqliteStore:
        database = self._databases.open(address)
        return SqliteStore(
            database, epoch=address.epoch, limits=limits, url=address.url, old=self._old, project=project
        )
