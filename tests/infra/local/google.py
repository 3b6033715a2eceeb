"""What tests of Google's stand-ins share: tokens of identities, and a target that records what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.ports import Ports
from infra.local.cloud.store import Store
from infra.local.cloud.vendors.google.identities import Identities
from tests.infra.local.program import ACCOUNT, API, PROJECT, REGION
from tests.infra.local.running import Daemon, Engine, Json, call, wait_for

QUEUE = "gcp:cloudtasks/queue:Queue"
QUEUE_GRANT = "gcp:cloudtasks/queueIamMember:QueueIamMember"
ACCOUNT_GRANT = "gcp:serviceaccount/iAMMember:IAMMember"
JOB = "gcp:cloudscheduler/job:Job"
ENQUEUER = "roles/cloudtasks.enqueuer"
ACT_AS = "roles/iam.serviceAccountUser"


def email(account: str) -> str:
    return f"{account}@{PROJECT}.iam.gserviceaccount.com"


def identities_of(daemon: Daemon) -> Identities:
    """The daemon's own way to make tokens, on a copy of what it keeps."""
    assert call(google_port(daemon), "GET", "/oauth2/v3/certs")[0] == 200  # the keys are made now, if not before
    store = Store(daemon.root / "cloud" / "resources.json")
    return Identities(cast(Cloud, SimpleNamespace(store=store, ports=Ports(store))))


def google_port(daemon: Daemon) -> int:
    return daemon.api("google").port


def declare_api(engine: Engine, name: str) -> None:
    if not engine.read(API, f"{PROJECT}/{name}.googleapis.com"):
        engine.create(API, {"service": f"{name}.googleapis.com"}, name=name)


@dataclass
class Made:
    """Resources that a test made, removed at its end in reverse order."""

    engine: Engine
    made: list[tuple[str, str]] = field(default_factory=list)

    def make(self, type_: str, inputs: Json, name: str = "") -> tuple[str, Json]:
        id_, outputs = self.engine.create(type_, inputs, name=name or f"google-{len(self.made)}")
        self.made.append((type_, id_))
        return id_, outputs

    def account(self, name: str) -> str:
        self.make(ACCOUNT, {"accountId": name}, name)
        return email(name)

    def queue(self, name: str, target: Target, account: str, **more: Any) -> str:
        """A queue that calls the target as `account`; its id."""
        override = {"scheme": "HTTP", "host": "127.0.0.1", "port": str(target.port)}
        http = {"uriOverride": override, "httpMethod": "POST"}
        http["oidcToken"] = {"serviceAccountEmail": account, "audience": "the-worker"}
        id_, _ = self.make(QUEUE, {"name": name, "location": REGION, "httpTarget": http, **more})
        return id_

    def may_enqueue(self, caller: str, queue: str, account: str) -> None:
        member = f"serviceAccount:{caller}"
        name = queue.rpartition("/")[2]
        self.make(QUEUE_GRANT, {"name": name, "location": REGION, "role": ENQUEUER, "member": member})
        self.make(ACCOUNT_GRANT, {"serviceAccountId": account_id(account), "role": ACT_AS, "member": member})

    def remove(self) -> None:
        for type_, id_ in reversed(self.made):
            self.engine.delete(type_, id_)
        self.made.clear()


def account_id(address: str) -> str:
    return f"projects/{PROJECT}/serviceAccounts/{address}"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Target:
    """An HTTP server in a thread. `status` decides on each answer, and may block."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.status: Callable[[Request], int] = lambda _request: 200
        self._lock = threading.Lock()
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                with target._lock:
                    target.seen.append(request)
                self.send_response(target.status(request))
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def wait(self, count: int) -> list[Request]:
        """The requests, once there are so many."""
        wait_for(lambda: len(self.seen) >= count)
        return self.seen

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def target() -> Iterator[Target]:
    served = Target()
    try:
        yield served
    finally:
        served.close()
