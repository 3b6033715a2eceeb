"""What the handlers of this function have to work with."""

from __future__ import annotations

from dataclasses import dataclass

from memories.graph.service import GraphService
from memories.service import MemoryService
from memories.transfer.service import TransferService


@dataclass(frozen=True, slots=True)
class Services:
    """One for the process; each call of a service says whose memories it is about."""

    memories: MemoryService
    graph: GraphService
    transfer: TransferService
