"""Google's APIs as the daemon serves them: one address for all of them, and one for the metadata server.

/v2|v2beta3/projects/*/locations/*/queues/*/tasks    cloudtasks.googleapis.com
/v1/projects/*/secrets/*/versions/*:access           secretmanager.googleapis.com
/storage/v1/b/*/o/*, /upload/storage/v1/b/*/o         storage.googleapis.com
/oauth2/v3/certs                                     www.googleapis.com
"""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.vendors.google import answers
from infra.local.cloud.vendors.google.delivery import Delivery
from infra.local.cloud.vendors.google.identities import Identities
from infra.local.cloud.vendors.google.metadata import Metadata
from infra.local.cloud.vendors.google.queues import Queues
from infra.local.cloud.vendors.google.scheduler import Scheduler
from infra.local.cloud.vendors.google.secret_manager import SecretApi
from infra.local.cloud.vendors.google.storage import StorageApi
from infra.local.cloud.vendors.google.tasks import TaskApi

CERTIFICATES_SECONDS = 3600


class Google:
    """What the daemon mounts, starts and stops. Made in its event loop."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._identities = Identities(cloud)
        self._delivery = Delivery(self._identities)
        self.queues = Queues(cloud, self._delivery)
        self.scheduler = Scheduler(cloud, self._delivery)

    def application(self) -> Starlette:
        tasks = TaskApi(self._cloud, self._identities, self.queues)
        secrets = SecretApi(self._cloud, self._identities)
        storage = StorageApi(self._cloud, self._identities)
        return answers.application(
            [*tasks.routes(), *secrets.routes(), *storage.routes(), ("GET", "/oauth2/v3/certs", self._certificates)]
        )

    def metadata(self) -> Starlette:
        return Metadata(self._identities).application()

    def start(self) -> None:
        """Dispatch tasks and fire jobs; once the functions are back."""
        self.queues.bring_back()
        self.scheduler.start()

    async def stop(self) -> None:
        await self.scheduler.stop()
        await self.queues.stop()
        await self._delivery.close()

    async def _certificates(self, _request: Request) -> Response:
        keys = await asyncio.to_thread(self._identities.certificates)
        cached = {"Cache-Control": f"public, max-age={CERTIFICATES_SECONDS}, must-revalidate, no-transform"}
        return JSONResponse({"keys": keys}, headers=cached)
