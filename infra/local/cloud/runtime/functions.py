"""Cloud Run for the functions: one process each, from the unpacked archive, behind a listening socket that stays open.

A new revision starts beside the old one and takes over when it listens; one that does not start leaves the old one
running. A process that dies is started again, and callers wait in the socket's queue meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.local.cloud import probes
from infra.local.cloud.cloud import PROJECT, Cloud
from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.ports import HOST
from infra.local.cloud.processes import Launch
from infra.local.cloud.runtime import builds
from infra.local.cloud.runtime.function_server import HEALTH_PATH
from infra.local.cloud.store import write_whole
from infra.local.cloud.supervisor import Plan
from infra.local.cloud.vendors.google.identities import Identities

SERVER = Path(__file__).with_name("function_server.py")
START_SECONDS = 60.0
STOP_SECONDS = 10.0  # what Cloud Run gives an instance after SIGTERM
INVOKERS = "invokers.json"
_invokers_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A secret as an environment variable, resolved at every start of the process."""

    variable: str
    secret: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One revision of one function. `digest` names the unpacked archive, `account` is the email of its identity."""

    name: str
    revision: int
    digest: str
    entry_point: str
    variables: dict[str, str]
    secrets: tuple[Reference, ...]
    timeout_seconds: int
    concurrency: int
    account: str


class Functions:
    """The functions of the local cloud; holds no state of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def url(self, name: str) -> str:
        """Where the function is called; the same for all its revisions."""
        return f"http://{HOST}:{self._cloud.listeners.port(name)}"

    def build(self, name: str, archive: Path) -> str:
        """Unpack and install; gives the digest for a `Deployment`. Blocks; for the provider's threads.

        Raises:
            CloudError: the build failed.
        """
        return builds.source(self._cloud, name, archive)

    def deploy(self, deployment: Deployment) -> None:
        """Start a revision and let it take over.

        Raises:
            CloudError: it did not start, with the last lines of its log; the revision before goes on.
        """
        before = self._cloud.ports.of(deployment.name)
        try:
            self._cloud.wait(self._cloud.supervisor.swap(self._plan(deployment)))
        except CloudError as error:
            if before is None:
                self._forget(deployment.name)
            raise CloudError(
                f"Could not create or update Cloud Run service {deployment.name}, Container Healthcheck failed. The "
                "user-provided container failed to start and listen on the port defined by the PORT environment "
                f"variable within the allocated timeout. {error}"
            ) from None
        self._drop_others(deployment)

    def bring_back(self, deployment: Deployment) -> None:
        """Start what an earlier daemon ran, in the background."""
        self._cloud.supervisor.bring_back(self._plan(deployment))

    def delete(self, name: str) -> None:
        """Stop it, free its address and remove its files; already gone is done."""
        self._cloud.wait(self._cloud.supervisor.remove(name))
        paths = self._cloud.paths
        paths.log(builds.log_name(name)).unlink(missing_ok=True)
        self._forget(name)

    def set_invokers(self, name: str, members: Iterable[str], region: str) -> None:
        """Say who may call the function (`allUsers`, `serviceAccount:EMAIL`). Takes effect with the next request.

        A token may be for either of its addresses: the service's and, as the second generation takes too, the one that
        a function of the first generation would have.

        Raises:
            CloudError: it could not be written.
        """
        audiences = [self.url(name), f"https://{region}-{PROJECT}.cloudfunctions.net/{name}"]
        with _invokers_lock:
            self._write_invokers(name, set(members), audiences)

    def add_invoker(self, name: str, member: str) -> None:
        with _invokers_lock:
            members, audiences = self._invokers(name)
            self._write_invokers(name, members | {member}, audiences)

    def remove_invoker(self, name: str, member: str) -> None:
        with _invokers_lock:
            members, audiences = self._invokers(name)
            self._write_invokers(name, members - {member}, audiences)

    def _invokers(self, name: str) -> tuple[set[str], list[str]]:
        try:
            known = json.loads((self._home(name) / INVOKERS).read_text())
        except FileNotFoundError:
            return set(), [self.url(name)]
        return set(known["members"]), list(known["audiences"])

    def _write_invokers(self, name: str, members: set[str], audiences: list[str]) -> None:
        doing = f"changing who may call function {name}"
        try:
            self._home(name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CloudError(disk_sentence(error, doing)) from None
        keys = Identities(self._cloud).certificates()
        known = {"members": sorted(members), "audiences": audiences, "keys": keys}
        write_whole(self._home(name) / INVOKERS, json.dumps(known), doing)

    def _forget(self, name: str) -> None:
        self._cloud.listeners.close(name)
        shutil.rmtree(self._home(name), ignore_errors=True)

    def _home(self, name: str) -> Path:
        return self._cloud.paths.functions / name

    def _drop_others(self, deployment: Deployment) -> None:
        for folder in self._home(deployment.name).iterdir():
            if folder.is_dir() and folder.name != deployment.digest:
                shutil.rmtree(folder, ignore_errors=True)

    def _plan(self, deployment: Deployment) -> Plan:
        name = deployment.name

        async def prepare(ready: int) -> Launch:
            return await asyncio.to_thread(self._launch, deployment, ready)

        return Plan(
            name=name,
            kind="function",
            prepare=prepare,
            probe=lambda: probes.http(self._cloud.listeners.port(name), HEALTH_PATH),
            port=lambda: self._cloud.ports.of(name),
            signals_ready=True,
            stand_in=lambda: self._cloud.listeners.answer_unavailable(name),
            start_seconds=START_SECONDS,
            stop_seconds=STOP_SECONDS,
        )

    def _launch(self, deployment: Deployment, ready: int) -> Launch:
        from infra.local.cloud.provider.gcp import secrets  # the two know each other

        folder = builds.folder(self._cloud, deployment.name, deployment.digest)
        sock = self._cloud.listeners.open(deployment.name)
        values = {item.variable: secrets.value(self._cloud, item.secret, item.version) for item in deployment.secrets}
        return Launch(
            argv=(
                str(builds.python(self._cloud, deployment.name, folder)),
                "-P",  # the server's own folder is not the function's to import from
                str(SERVER),
                *("--listen-fd", str(sock.fileno()), "--ready-fd", str(ready)),
                *("--timeout", str(deployment.timeout_seconds), "--concurrency", str(deployment.concurrency)),
                *("--invokers", str(self._home(deployment.name) / INVOKERS)),
            ),
            env={
                "PATH": os.defpath,
                "PYTHONUNBUFFERED": "1",
                **Identities(self._cloud).environment(deployment.account),
                **deployment.variables,
                **values,
                "PORT": str(sock.getsockname()[1]),
                "K_SERVICE": deployment.name,
                "K_REVISION": f"{deployment.name}-{deployment.revision:05d}",
                "K_CONFIGURATION": deployment.name,
                "FUNCTION_TARGET": deployment.entry_point,
                "FUNCTION_SIGNATURE_TYPE": "http",
            },
            cwd=folder,
            fds=(sock.fileno(),),
        )
