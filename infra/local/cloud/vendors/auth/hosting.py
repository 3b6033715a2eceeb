"""Each project's own address: where https://REF.supabase.co is at Supabase, a port of this machine is here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import PortTaken
from infra.local.cloud.ports import HOST
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth.app import application
from infra.local.cloud.vendors.auth.project import Project
from infra.local.cloud.web import Service, Services

LOOK_SECONDS = 1.0  # how often a taken port is looked at
log = logging.getLogger(__name__)
Read = Callable[[], Json]


class Hosting:
    """The running addresses by ref. The port stays for the project's life: others have written it down."""

    def __init__(self, cloud: Cloud, services: Services) -> None:
        self._cloud = cloud
        self._services = services
        self._running: dict[str, tuple[Project, Service]] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def url(self, ref: str) -> str | None:
        port = self._cloud.ports.of(_port_name(ref))
        return None if port is None else f"http://{HOST}:{port}"

    def start(self, ref: str, read: Read) -> None:
        """Serve a project's address. `read` gives its configuration.

        Raises:
            CloudError: its port is taken, or its users cannot be opened.
        """
        sock, port = self._cloud.ports.listen(_port_name(ref))
        try:
            project = Project(self._folder(ref), f"http://{HOST}:{port}", read)
        except BaseException:
            sock.close()
            raise
        self._running[ref] = project, self._services.serve(application(project), sock)

    def bring_back(self, ref: str, read: Read) -> None:
        """Start what an earlier daemon left; a taken port is waited for."""
        try:
            self.start(ref, read)
        except PortTaken as error:
            log.warning("%s", error)
            self._waiting[ref] = asyncio.create_task(self._wait(ref, read))

    async def _wait(self, ref: str, read: Read) -> None:
        while ref not in self._running:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(PortTaken):
                self.start(ref, read)
        del self._waiting[ref]

    async def delete(self, ref: str) -> None:
        """Stop serving, and remove the users; already gone is done."""
        waiting = self._waiting.pop(ref, None)
        if waiting is not None:
            waiting.cancel()
        running = self._running.pop(ref, None)
        if running is not None:
            project, service = running
            await self._services.end(service)
            project.close()
        await asyncio.to_thread(shutil.rmtree, self._folder(ref), ignore_errors=True)
        self._cloud.ports.release(_port_name(ref))

    def close(self) -> None:
        """Let go of the files; the services are stopped by then."""
        for task in self._waiting.values():
            task.cancel()
        for project, _ in self._running.values():
            project.close()

    def _folder(self, ref: str) -> Path:
        return self._cloud.paths.supabase / ref


def _port_name(ref: str) -> str:
    return f"supabase-{ref}"
