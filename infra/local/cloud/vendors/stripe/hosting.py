"""The stand-in as a whole: its store, what it does by itself as time goes, and its app."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from starlette.applications import Starlette

from infra.local.cloud.vendors.stripe import due
from infra.local.cloud.vendors.stripe.api import Api
from infra.local.cloud.vendors.stripe.app import application
from infra.local.cloud.vendors.stripe.controls import Controls
from infra.local.cloud.vendors.stripe.delivery import Deliveries, Resolve
from infra.local.cloud.vendors.stripe.disturbances import Disturbances
from infra.local.cloud.vendors.stripe.faults import Faults
from infra.local.cloud.vendors.stripe.store import Store
from infra.local.cloud.vendors.stripe.world import World

TICK_SECONDS = 1.0
log = logging.getLogger(__name__)


class Stripe:
    """One account. `url` is where it is served, `folder` what it keeps (None: nothing); made on the loop it runs on."""

    def __init__(self, folder: Path | None, url: str, resolve: Resolve = lambda url: url) -> None:
        """Raises CloudError: what it keeps cannot be opened."""
        self._store = Store(folder)
        self.world = World(self._store, url, self._wake)
        self.deliveries = Deliveries(self.world, resolve)
        faults = Faults()
        disturbances = Disturbances(self.world, self.deliveries, faults)
        controls = [*Controls(self.world, faults).routes(), *disturbances.routes()]
        self._app = application(self.world, Api(self.world, faults), controls)
        self._tasks: list[asyncio.Task[None]] = []

    def application(self) -> Starlette:
        return self._app

    def start(self) -> None:
        """Deliver events, and do what falls due."""
        self._tasks = [asyncio.create_task(self.deliveries.run()), asyncio.create_task(self._tick())]

    async def stop(self) -> None:
        """Let go of everything; deliveries that wait are made at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._store.close()

    def _wake(self) -> None:
        self.deliveries.wake()

    async def _tick(self) -> None:
        while True:
            try:
                due.catch_up(self.world)
            except Exception:  # a fault of ours must not stop the clock
                log.exception("what fell due at the stand-in of Stripe failed")
            await asyncio.sleep(TICK_SECONDS)
