"""What people and their agents meet while what serves sign-ins, jobs, mails and limits is down, slow or full."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from declarations import FREE, MIGRATION_CREDIT_CALLS, ProvisioningFunctionSettings
from provisioning import kinds, parts
from provisioning.jobs import Runner, Tally
from tests.cloud import inside
from tests.cloud.people import PASSWORD, Person, Team, token
from tests.cloud.stack import Answer, Stack, wait_until
from tests.cloud.test_faults import assert_unavailable
from tests.processes import family

MEMORY = {"type": "solution", "title": "Kept", "content": "Whatever fails."}
KEY_BOUND_SECONDS = 25
"""Making the first key waits 20 s for its store; with the Worker's hop, and wake-ups that nobody answers."""


def test_vendors_that_hang_stop_nobody_who_is_in(stack: Stack) -> None:
    """Supabase Auth, Turso's Platform API, Cloud Tasks and the mail server take connections and never answer."""
    known, fresh, guest, team = Person(stack), Person(stack), Person(stack), Team(stack)
    key = known.key()
    for path in ("/auth/verify", "/memories/recent"):
        assert known.call("GET", path).status == 200, "each function has the issuer's keys"
    auth = stack.output("auth_url")
    with inside.frozen_vendors(stack), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(timed, fresh, "POST", "/api-keys", {"name": "first"})
        assert stack.call("POST", "/memories", {**MEMORY, "id": "m1"}, key=key).status == 201
        assert known.call("GET", "/memories/m1").status == 200
        assert known.call("GET", "/dashboard/stats").body["memory_count"] == 1
        other = known.call("POST", "/api-keys", {"name": "second"})
        assert other.status == 201, "its store is there, so nobody is waited for"
        assert known.call("DELETE", f"/api-keys/{other.body['id']}").body["holds_within_seconds"] == 5
        invited = team.call("POST", f"{team.path}/invitations", {"email": guest.email})
        assert invited.status == 201, "the mail waits, the answer does not"
        with pytest.raises(TimeoutError):
            sign_in(auth, known.email, seconds=2)
        refused, seconds = waiting.result()
    assert refused.status == 503, refused
    assert re.fullmatch("[1-9][0-9]*", refused.headers["retry-after"])
    assert "being set up" in refused.body["detail"]
    assert seconds < KEY_BOUND_SECONDS
    assert fresh.call("GET", "/api-keys").body["keys"] == [], "refused is not half done"
    # All is back, and nothing was lost.
    assert fresh.key()
    inside.sweep(stack)
    invitation = token(stack.mail(guest.email, "invited"))
    assert guest.call("POST", "/invitations/accept", {"token": invitation}).status == 200


def test_a_frozen_control_plane_is_told_to_people(stack: Stack) -> None:
    person = Person(stack)
    person.key()
    assert person.call("GET", "/account").status == 200
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/auth/verify", None),
        ("GET", "/api-keys", None),
        ("PATCH", "/account", {"name": "Frozen"}),
        ("POST", "/invitations/accept", {"token": "x"}),
    ]
    with stack.frozen("postgres"), ThreadPoolExecutor(len(asked)) as pool:
        for one in [pool.submit(timed, person, *request) for request in asked]:
            assert_unavailable(*one.result())
    wait_until(lambda: person.call("GET", "/account").status == 200, 20, "the control plane answers again")
    assert len(person.call("GET", "/api-keys").body["keys"]) == 1


def timed(person: Person, method: str, path: str, body: Any) -> tuple[Answer, float]:
    start = time.monotonic()
    answer = person.call(method, path, body)
    return answer, time.monotonic() - start


def sign_in(auth: str, email: str, *, seconds: float) -> int:
    url = urlsplit(auth)
    assert url.hostname is not None
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=seconds)
    try:
        body = json.dumps({"email": email, "password": PASSWORD})
        connection.request("POST", f"{url.path}/token?grant_type=password", body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


class FullTurso(BaseHTTPRequestHandler):
    """Turso's Platform API when the plan has no room for another database."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"error": "maximum number of databases reached"}).encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_DELETE = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        pass


class BusyMailServer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"421 4.3.2 Try again later\r\n")


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """Its port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def without_provisioning(stack: Stack) -> Iterator[None]:
    """The deployed one stands still, so that another runner has the jobs."""
    with inside.frozen(*family(inside.part(stack, "provisioning")["pid"])):
        yield


async def run_jobs(environment: dict[str, str]) -> Tally:
    built = parts.build(ProvisioningFunctionSettings.load(environment))
    try:
        return await Runner(built.outbox, kinds.works(built), linger_seconds=0).run(30)
    finally:
        await built.close()


def test_a_full_turso_and_a_busy_mail_server(stack: Stack) -> None:
    """The vendors' stand-ins refuse nothing, so a runner with the deployed one's settings gets others."""
    person, guest, team = Person(stack), Person(stack), Team(stack)
    environment = inside.environment(stack, "provisioning")
    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), FullTurso)) as turso,
        serving(socketserver.TCPServer(("127.0.0.1", 0), BusyMailServer)) as smtp,
        without_provisioning(stack),
    ):
        wanted = {"TURSO_API_URL": f"http://127.0.0.1:{turso}", "SMTP_PORT": str(smtp), "SECRETS_PREFIX": ""}
        assert team.call("POST", f"{team.path}/invitations", {"email": guest.email}).status == 201
        workspace = person.workspace()
        tally = asyncio.run(run_jobs(environment | wanted))
        key = person.key()
    assert tally.done >= 1
    assert tally.again >= 1
    assert not tally.dead
    # The workspace starts in PostgreSQL and is what its plan says all the same.
    assert stack.call("POST", "/memories", {**MEMORY, "id": "m1"}, key=key).status == 201
    assert stack.call("GET", "/memories/m1", key=key).body["title"] == MEMORY["title"]
    assert person.call("GET", "/auth/verify").body["workspace"]["plan"] == "free"
    held = inside.sql(stack, "SELECT store_kind, store_note FROM app.workspaces WHERE id = %s", workspace)
    assert held == [("postgres", "turso refused")]
    # The mails are tried again, until they are sent.
    assert not stack.mails(guest.email, "invited")
    inside.sweep(stack)
    assert token(stack.mail(guest.email, "invited"))
    assert "ws-" not in str(stack.mails(person.email))
    told = stack.mail(environment["OPERATOR_EMAIL"], "Turso opens no database")
    assert "maximum number of databases reached" in told["text"]


def test_provisioning_is_killed_at_work_and_the_sweep_ends_it(stack: Stack) -> None:
    person = Person(stack)
    killed = inside.part(stack, "provisioning")["pid"]
    with stack.frozen("sqld"):  # its work takes a while
        workspace = person.workspace()
        wait_until(lambda: states(stack, workspace) == ["running"], 10, "the store is being made")
        inside.kill(killed)
    wait_until(lambda: inside.part(stack, "provisioning")["pid"] not in {killed, None}, 30, "it is started again")
    wait_until(lambda: stack.well("function") and stack.well("sqld"), 30, "it answers")
    assert states(stack, workspace) == ["running"], "whoever was killed tells nobody"
    inside.sql(stack, "UPDATE app.jobs SET locked_until = now() WHERE subject = %s AND state = 'running'", workspace)
    inside.sweep(stack)
    wait_until(lambda: states(stack, workspace) == ["done"], 20, "the sweep takes it up")
    key = person.key()
    assert stack.call("POST", "/memories", MEMORY, key=key).status == 201
    assert inside.sql(stack, "SELECT attempts FROM app.jobs WHERE subject = %s", workspace) == [(2,)]


def states(stack: Stack, workspace: str) -> list[str]:
    rows = inside.sql(stack, "SELECT state FROM app.jobs WHERE kind = 'open_store' AND subject = %s", workspace)
    return [state for (state,) in rows]


def test_limits_without_redis(stack: Stack) -> None:
    """Calls go on while nobody counts, and what was used up is used up again when Redis is back."""
    key = stack.make("key").stdout.strip()
    workspace = stack.call("GET", "/auth/verify", key=key).body["workspace"]["id"]

    def status() -> int:
        return stack.call("GET", "/memories/recent", key=key).status

    inside.redis(stack, "SET", f"credit:{workspace}", str(MIGRATION_CREDIT_CALLS))
    inside.redis(stack, "SET", counter(workspace), f"{FREE.calls_per_day} 0 0")
    said = inside.Said(stack, "memories")
    assert status() == 429
    with stack.frozen("redis"):
        wait_until(lambda: status() == 200, 15, "calls go on without Redis")
        assert stack.call("POST", "/memories", MEMORY, key=key).status == 201
    wait_until(lambda: status() == 429, 20, "the limit holds again")
    assert {line.get("limits") for line in said.lines()} >= {"open", "counted"}
    assert {line["status"] for line in said.lines() if "status" in line} == {200, 201, 429}

    # The stand-in keeps nothing: its death is a loss of all counters, and the day begins anew.
    [pid] = stack.pids("redis")
    inside.kill(pid)
    wait_until(lambda: stack.well("redis") and pid not in stack.pids("redis"), 30, "Redis is back")
    wait_until(lambda: status() == 200 and bool(inside.redis(stack, "GET", counter(workspace))), 20, "it counts")
    assert {line["status"] for line in said.lines() if "status" in line} == {200, 201, 429}


def counter(workspace: str) -> str:
    return f"calls:{workspace}:{datetime.now(UTC):%Y%m%d}"
