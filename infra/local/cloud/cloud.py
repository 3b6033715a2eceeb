"""What the code of a resource may use: store, ports, folders, parts; and the way from a thread to the loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from typing import Any, TypeVar

from infra.cloud import LOCAL_PROJECT
from infra.local.cloud.errors import CloudError
from infra.local.cloud.listeners import Listeners
from infra.local.cloud.parts import Binaries
from infra.local.cloud.paths import Paths
from infra.local.cloud.ports import Ports
from infra.local.cloud.store import Store
from infra.local.cloud.supervisor import Supervisor

PROJECT = LOCAL_PROJECT
"""The only Google project of the local cloud; the program refuses it on `cloud: real`."""
PROJECT_NUMBER = 100000000001
T = TypeVar("T")


class Cloud:
    """One local cloud. Made by the daemon; shared by the provider's threads and the vendors' APIs."""

    def __init__(self, paths: Paths, loop: asyncio.AbstractEventLoop) -> None:
        self.paths = paths
        self.store = Store(paths.resources)
        self.ports = Ports(self.store)
        self.listeners = Listeners(self.ports)
        self.supervisor = Supervisor(paths.log)
        self.binaries = Binaries(paths)
        self._loop = loop

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the daemon's loop and wait for it; for threads other than the loop's.

        Raises:
            CloudError: the daemon is stopping.
        """
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (concurrent.futures.CancelledError, RuntimeError) as error:
            if self._loop.is_running() and isinstance(error, RuntimeError):
                raise
            work.close()
            raise CloudError("The local cloud is stopping: run the command again when it is back.") from None
