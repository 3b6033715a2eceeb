"""Which store a workspace's address leads to."""

from __future__ import annotations

from core.ports import StoreAddress
from memories.ports import MemoryStore, MemoryStores


class MemoryStoresByKind:
    """`ports.MemoryStores`: one for each kind of address, named as the addresses name it."""

    def __init__(self, **stores: MemoryStores) -> None:
        self._stores = stores

    def open(self, address: StoreAddress) -> MemoryStore:
        """Raises: KeyError: there is no such kind."""
        return self._stores[address.kind].open(address)
