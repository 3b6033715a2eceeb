"""Cloud Tasks: who may add tasks, how they reach their target, and that none is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from core.adapters.google import Metadata, Wake
from core.adapters.http1 import HttpClient
from core.oidc import OidcVerifier
from infra.local.cloud.ports import HOST
from tests.infra.local.google import (
    ACCOUNT_GRANT,
    ENQUEUER,
    QUEUE,
    QUEUE_GRANT,
    Made,
    Target,
    declare_api,
    email,
    google_port,
    identities_of,
    target,
)
from tests.infra.local.program import PROJECT, REGION
from tests.infra.local.running import Daemon, Engine, Json, Refused, call, wait_for

CALLER, INVOKER = "tasks-caller", "tasks-invoker"
QUICK = {"minBackoff": "0.01s", "maxBackoff": "0.02s"}


@pytest.fixture(scope="module")
def accounts(engine: Engine) -> Iterator[Made]:
    declare_api(engine, "cloudtasks")
    made = Made(engine)
    for name in (CALLER, INVOKER, "tasks-stranger"):
        made.account(name)
    yield made
    made.remove()


@pytest.fixture
def made(engine: Engine, accounts: Made) -> Iterator[Made]:  # noqa: ARG001  they must be there
    made = Made(engine)
    yield made
    made.remove()


@pytest.fixture
def worker() -> Iterator[Target]:
    with target() as worker:
        yield worker


@pytest.fixture
def caller(daemon: Daemon, accounts: Made) -> str:  # noqa: ARG001  the account must be there
    return identities_of(daemon).access_token(email(CALLER))


def open_queue(made: Made, name: str, worker: Target, **more: object) -> str:
    """A queue to which the caller may add; its id."""
    queue = made.queue(name, worker, email(INVOKER), **more)
    made.may_enqueue(email(CALLER), queue, email(INVOKER))
    return queue


def buffer(daemon: Daemon, queue: str, token: str, body: object = None, path: str = "tasks:buffer") -> tuple[int, Json]:
    return call(google_port(daemon), "POST", f"/v2/{queue}/{path}", body, token=token)


def waiting(daemon: Daemon, queue: str, token: str) -> list[Json]:
    status, listed = call(google_port(daemon), "GET", f"/v2/{queue}/tasks", token=token)
    assert status == 200
    return list(listed["tasks"])


async def test_a_wake_arrives_as_the_queues_identity(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    override = {"scheme": "HTTP", "host": HOST, "port": str(worker.port), "pathOverride": {"path": "/run"}}
    token = {"serviceAccountEmail": email(INVOKER), "audience": "the-worker"}
    http_target = {"uriOverride": override, "httpMethod": "POST", "oidcToken": token}
    queue, outputs = made.make(QUEUE, {"location": REGION, "httpTarget": http_target}, "wake")
    assert outputs["name"].startswith("test-")  # the end is Pulumi's: a deleted name stays taken
    made.may_enqueue(email(CALLER), queue, email(INVOKER))

    port = google_port(daemon)
    client = HttpClient()
    try:
        metadata = Metadata(client, identities_of(daemon).environment(email(CALLER))["GCE_METADATA_HOST"])
        assert await Wake(client, f"http://{HOST}:{port}/v2beta3/{queue}", metadata).wake()
        request = worker.wait(1)[0]
        assert (request.method, request.path, request.body) == ("POST", "/run", b"")
        assert request.headers["x-cloudtasks-queuename"] == outputs["name"]
        assert request.headers["x-cloudtasks-taskretrycount"] == "0"
        verifier = OidcVerifier(client, f"http://{HOST}:{port}/oauth2/v3/certs", "the-worker", email(INVOKER))
        await verifier.verify(request.headers["authorization"])
    finally:
        await client.close()
    wait_for(lambda: not waiting(daemon, queue, caller))


def test_a_body_goes_along_and_an_id_is_used_once(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    held = threading.Event()
    worker.status = lambda _request: 200 if held.wait(30) else 500
    queue = open_queue(made, "bodies", worker)
    status, answer = buffer(daemon, queue, caller, {"job": 1}, "tasks/first:buffer")
    assert status == 200
    assert answer["task"]["name"] == f"{queue}/tasks/first"
    assert buffer(daemon, queue, caller, {"job": 2}, "tasks/first:buffer")[0] == 409
    assert worker.wait(1)[0].body == b'{"job": 1}'
    held.set()
    assert worker.seen[0].headers["content-type"] == "application/json"


def test_a_failing_target_is_asked_again(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    worker.status = lambda _request: 500 if len(worker.seen) < 4 else 204
    queue = open_queue(made, "retried", worker, retryConfig=QUICK)
    assert buffer(daemon, queue, caller)[0] == 200
    seen = worker.wait(4)
    wait_for(lambda: not waiting(daemon, queue, caller))
    assert [request.headers["x-cloudtasks-taskretrycount"] for request in seen] == ["0", "1", "2", "3"]
    assert len({request.headers["x-cloudtasks-taskname"] for request in seen}) == 1


def test_attempts_end(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    worker.status = lambda _request: 503
    queue = open_queue(made, "ending", worker, retryConfig={**QUICK, "maxAttempts": 3})
    buffer(daemon, queue, caller)
    worker.wait(3)
    wait_for(lambda: not waiting(daemon, queue, caller))
    assert len(worker.seen) == 3


def test_a_target_that_is_not_there_is_waited_for(
    daemon: Daemon, made: Made, worker: Target, caller: str, engine: Engine
) -> None:
    gone = Target()
    gone.close()
    queue = open_queue(made, "absent", gone, retryConfig=QUICK)
    buffer(daemon, queue, caller)
    wait_for(lambda: waiting(daemon, queue, caller)[0].get("lastAttempt"))
    assert "refuses connections" in str(waiting(daemon, queue, caller))
    # The queue's target is changed, and what is in it goes to the new one.
    override = {"scheme": "HTTP", "host": HOST, "port": str(worker.port)}
    inputs = {"name": "absent", "location": REGION, "retryConfig": QUICK, "httpTarget": {"uriOverride": override}}
    engine.update(QUEUE, queue, {}, inputs)
    assert "authorization" not in worker.wait(1)[0].headers


def test_no_more_at_once_than_allowed(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    at_once, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def status(_request: object) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        go.wait(30)
        with lock:
            at_once -= 1
        return 200

    worker.status = status
    queue = open_queue(made, "narrow", worker, rateLimits={"maxConcurrentDispatches": 2})
    for _ in range(5):
        buffer(daemon, queue, caller)
    worker.wait(2)
    assert len(waiting(daemon, queue, caller)) == 5
    go.set()
    worker.wait(5)
    wait_for(lambda: not waiting(daemon, queue, caller))
    assert most == 2


def test_no_faster_than_allowed(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    queue = open_queue(made, "slow", worker, rateLimits={"maxDispatchesPerSecond": 0.0001})
    for _ in range(3):
        buffer(daemon, queue, caller)
    worker.wait(1)
    wait_for(lambda: len(waiting(daemon, queue, caller)) == 2)
    assert len(worker.seen) == 1


def test_a_paused_queue_keeps_its_tasks(
    daemon: Daemon, made: Made, worker: Target, caller: str, engine: Engine
) -> None:
    queue = open_queue(made, "paused", worker, desiredState="PAUSED")
    buffer(daemon, queue, caller)
    assert len(waiting(daemon, queue, caller)) == 1
    assert worker.seen == []
    override = {"scheme": "HTTP", "host": HOST, "port": str(worker.port)}
    engine.update(QUEUE, queue, {}, {"name": "paused", "location": REGION, "httpTarget": {"uriOverride": override}})
    worker.wait(1)


def test_only_who_was_granted_both_rights_adds_tasks(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    queue = made.queue("guarded", worker, email(INVOKER))
    status, answer = buffer(daemon, queue, caller)
    assert (status, answer["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert "cloudtasks.tasks.create" in answer["error"]["message"]
    member = f"serviceAccount:{email(CALLER)}"
    made.make(QUEUE_GRANT, {"name": "guarded", "location": REGION, "role": ENQUEUER, "member": member})
    status, answer = buffer(daemon, queue, caller)
    assert status == 403
    assert "iam.serviceAccounts.actAs" in answer["error"]["message"]
    grant = {"role": "roles/iam.serviceAccountUser", "member": member}
    made.make(ACCOUNT_GRANT, {"serviceAccountId": f"projects/{PROJECT}/serviceAccounts/{email(INVOKER)}", **grant})
    assert buffer(daemon, queue, caller)[0] == 200
    stranger = identities_of(daemon).access_token(email("tasks-stranger"))
    assert buffer(daemon, queue, stranger)[0] == 403
    worker.wait(1)


def test_tokens_that_are_none_are_refused(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    queue = open_queue(made, "closed", worker)
    identities = identities_of(daemon)
    identity_token = identities.identity_token(email(CALLER), "cloudtasks")
    forged = caller[:-1] + ("0" if caller[-1] != "0" else "1")
    for token in ("", "ya29.local.", "nonsense", forged, identity_token, identities.access_token(email("gone-for"))):
        status, answer = buffer(daemon, queue, token)
        assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED"), token
    assert worker.seen == []


def test_tasks_are_created_with_a_request_of_their_own(daemon: Daemon, made: Made, worker: Target, caller: str) -> None:
    queue, _ = made.make(QUEUE, {"name": "plain", "location": REGION})
    made.may_enqueue(email(CALLER), queue, email(INVOKER))
    port = google_port(daemon)
    request = {
        "url": f"http://{HOST}:{worker.port}/own?a=1",
        "httpMethod": "PUT",
        "body": "aGVsbG8=",
        "headers": {"X-A": "b"},
    }
    task = {"httpRequest": {**request, "oidcToken": {"serviceAccountEmail": email(INVOKER)}}}
    status, shown = call(port, "POST", f"/v2/{queue}/tasks", {"task": task}, token=caller)
    assert status == 200, shown
    assert "body" not in shown["httpRequest"]
    seen = worker.wait(1)[0]
    assert (seen.method, seen.path, seen.body, seen.headers["x-a"]) == ("PUT", "/own?a=1", b"hello", "b")
    later = {"httpRequest": request, "scheduleTime": "2100-01-01T00:00:00Z"}
    for bad, words in (
        ({"httpRequest": {**request, "url": "ftp://x"}}, "http://"),
        ({"httpRequest": {**request, "body": "***"}}, "Base64"),
        ({"httpRequest": {**request, "httpMethod": "BREW"}}, "http_method"),
        ({**task, "dispatchDeadline": "3600s"}, "1800s"),
        ({**task, "name": "elsewhere"}, "formatted"),
        ({**task, "name": f"{queue}/tasks/a b"}, "only letters"),
        (later, "30 days"),
        ({"pullMessage": {}}, "http_request"),
    ):
        status, answer = call(port, "POST", f"/v2/{queue}/tasks", {"task": bad}, token=caller)
        assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
        assert words in answer["error"]["message"]
    stranger = {"httpRequest": {**request, "oidcToken": {"serviceAccountEmail": email("tasks-stranger")}}}
    assert call(port, "POST", f"/v2/{queue}/tasks", {"task": stranger}, token=caller)[0] == 403
    assert buffer(daemon, queue, caller)[1]["error"]["status"] == "FAILED_PRECONDITION"  # no target to buffer for


def test_a_deleted_name_stays_taken(engine: Engine, made: Made, worker: Target) -> None:
    queue = made.queue("taken", worker, email(INVOKER))
    made.made.remove((QUEUE, queue))
    engine.delete(QUEUE, queue)
    with pytest.raises(Refused, match=r"existed too recently.*7 days.*random end"):
        made.queue("taken", worker, email(INVOKER))


def test_what_a_queue_names_must_be_there(made: Made, worker: Target) -> None:
    with pytest.raises(Refused, match=r"Service account nobody@.* does not exist"):
        made.queue("hopeful", worker, email("nobody"))
    grant = {"name": "nowhere", "location": REGION, "role": ENQUEUER, "member": "serviceAccount:a@b.c"}
    with pytest.raises(Refused, match=r"Queue .*nowhere does not exist"):
        made.make(QUEUE_GRANT, grant)


def test_tasks_outlive_the_daemon(own_daemon: Daemon) -> None:
    own_daemon.start()
    engine = own_daemon.engine()
    with pytest.raises(Refused, match="Cloud Tasks API has not been used"):
        engine.create(QUEUE, {"name": "early", "location": REGION})
    declare_api(engine, "cloudtasks")
    made = Made(engine)
    made.account(CALLER)
    made.account(INVOKER)
    gone = Target()
    gone.close()
    with target() as worker:
        asked = threading.Event()

        def hang(_request: object) -> int:
            asked.set()
            return 200 if released.wait(30) else 500

        released = threading.Event()
        worker.status = hang
        queue = open_queue(made, "lasting", worker, retryConfig=QUICK)
        token = identities_of(own_daemon).access_token(email(CALLER))
        assert buffer(own_daemon, queue, token, {"job": 7})[0] == 200
        assert asked.wait(30)
        own_daemon.stop(signal.SIGKILL)  # in the middle of a dispatch
        released.set()
        own_daemon.start()
        assert worker.wait(2)[1].body == b'{"job": 7}'
        wait_for(lambda: not waiting(own_daemon, queue, token))  # and the token is still good
