"""Which store a workspace's address leads to."""

from __future__ import annotations

from core.ports import StoreAddress
from memories.ports import Store, Stores
from memories.quotas import StoreLimits


class StoresByKind:
    """`ports.Stores`: one for each kind of address, named as the addresses name it."""

    def __init__(self, **stores: Stores) -> None:
        self._stores = stores

    def open(self, address: StoreAddress, limits: StoreLimits | None = None, project: str | None = None) -> Store:
        """Raises: KeyError: there is no such kind."""
        return self._stores[address.kind].open(address, limits, project)
