"""The daemon: one event loop in the main thread, which is the only one that starts children.

The provider's gRPC calls come in on threads and hand to the loop what concerns processes. At the end children stop in
order: the Worker, functions, Redis, sqld, PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
import signal
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.control import Control
from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.paths import Paths
from infra.local.cloud.ports import HOST
from infra.local.cloud.provider.registry import kinds
from infra.local.cloud.provider.servicer import Provider
from infra.local.cloud.store import write_whole
from infra.local.cloud.vendors.google.apis import Google
from infra.local.cloud.vendors.google.identities import METADATA
from infra.local.cloud.vendors.mail import Mail
from infra.local.cloud.vendors.stripe.addresses import resolver
from infra.local.cloud.vendors.stripe.hosting import Stripe
from infra.local.cloud.vendors.supabase import Supabase
from infra.local.cloud.vendors.turso import Turso
from infra.local.cloud.web import Services

PROVIDER_THREADS = 32
BRING_BACK_SECONDS = 30.0
log = logging.getLogger(__name__)


async def serve(paths: Paths) -> None:
    """Serve until a signal or POST /stop; everything that was there before is brought back first.

    Raises:
        CloudError: it cannot serve, in one sentence.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    cloud = Cloud(paths, loop)
    services = Services()
    google = Google(cloud)
    supabase, turso, mail = Supabase(cloud, services), Turso(cloud), Mail(cloud)
    provider: grpc.Server | None = None
    stripe: Stripe | None = None
    try:
        await mail.start()
        addresses = {}
        apis = (
            ("supabase_api", supabase.application()),
            ("turso_api", turso.application()),
            ("google_api", google.application()),
        )
        for name, application in apis:
            # Functions have Google's address in their settings, and those are written down.
            sock, port = cloud.ports.listen(name, moves=name != "google_api")
            services.serve(application, sock)
            addresses[name] = f"http://{HOST}:{port}"
        sock, port = cloud.ports.listen("stripe_api", moves=True)
        addresses["stripe_api"] = f"http://{HOST}:{port}"
        stripe = Stripe(paths.stripe, addresses["stripe_api"], resolver(cloud))
        services.serve(stripe.application(), sock)
        sock, _ = cloud.ports.listen(METADATA, moves=True)
        services.serve(google.metadata(), sock)
        token = secrets.token_urlsafe(32)
        sock, control_port = cloud.ports.listen("control", moves=True)
        services.serve(Control(cloud, addresses, google.scheduler, mail, stopping.set).application(token), sock)

        registered = kinds(cloud)
        supabase.bring_back()
        turso.bring_back()
        for kind in registered.values():
            for record in cloud.store.of(kind.token):
                await kind.bring_back(record)
        await _first(cloud.supervisor.settled(BRING_BACK_SECONDS), stopping.wait())
        google.start()
        stripe.start()

        provider, provider_port = _serve_provider(cloud, Provider(cloud, registered))
        if not stopping.is_set():
            address = {
                "pid": os.getpid(),
                "provider_port": provider_port,
                "control_port": control_port,
                "control_token": token,
                "started_at": datetime.now(UTC).isoformat(),
            }
            write_whole(paths.address, json.dumps(address, indent=1), "telling where the local cloud serves")
            log.info("the local cloud serves %s", paths.root)
        await stopping.wait()
        log.info("stopping")
    finally:
        paths.address.unlink(missing_ok=True)
        if provider is not None:
            await asyncio.to_thread(provider.stop(grace=1).wait)
        await services.stop()
        await google.stop()
        if stripe is not None:
            await stripe.stop()
        await cloud.supervisor.stop_all()
        cloud.listeners.close_all()


@contextlib.contextmanager
def alone(paths: Paths) -> Iterator[None]:
    """Hold the lock of this ROOT, and clear what a killed daemon left.

    Raises:
        CloudError: another daemon serves it.
    """
    with _lock(paths.lock):
        paths.address.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CloudError(disk_sentence(error, "locking the local cloud")) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CloudError(
                f"A local cloud already serves {path.parents[1]}: use that one, or stop it with `make down`."
            ) from None
        yield
    finally:
        os.close(descriptor)


def _serve_provider(cloud: Cloud, provider: Provider) -> tuple[grpc.Server, int]:
    server = grpc.server(
        ThreadPoolExecutor(PROVIDER_THREADS, thread_name_prefix="provider"),
        options=[("grpc.max_receive_message_length", 400 << 20), ("grpc.so_reuseport", 0)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    while True:
        port = cloud.ports.claim("provider", moves=True)
        with contextlib.suppress(RuntimeError):  # taken since; another one is claimed
            server.add_insecure_port(f"{HOST}:{port}")
            break
    provider.port = port
    server.start()
    return server, port


async def _first(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Wait until one has ended, and cancel the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
