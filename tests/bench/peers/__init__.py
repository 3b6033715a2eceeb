"""Other memory servers, each from its own lock file, run as their documentation says, with a fresh store each time.

`PEERS` names them. A peer that cannot be installed or started here is left out of the run, and the report says why.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tests.bench.load import System
from tests.bench.peers import memory_service, memorygraph, server_memory
from tests.bench.peers.install import Site

Peer = Callable[[Site], AbstractAsyncContextManager[System]]

PEERS: dict[str, Peer] = {
    memorygraph.NAME: memorygraph.running,
    server_memory.NAME: server_memory.running,
    memory_service.NAME: memory_service.running,
}

__all__ = ["PEERS", "Peer", "Site"]
