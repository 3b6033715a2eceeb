"""A stand-in of Cloud Tasks' REST API, v2 and v2beta3: buffering and creating HTTP tasks, listing and reading them.

The caller must hold roles/cloudtasks.enqueuer on the queue and, since the queue or the task names an identity for its
requests, roles/iam.serviceAccountUser on that account (Google's documentation asks that of "the caller" without
saying of which call; here it is asked of each).

Left out: App Engine tasks, OAuth tokens for targets, purge, run and delete of tasks, names that stay taken after a
task is done (an hour or more at Google), gRPC.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.provider.gcp import tasks as queue_kinds
from infra.local.cloud.provider.gcp.grants import may_act_as
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record
from infra.local.cloud.vendors.google.answers import Failed, Handler, caller, lacks
from infra.local.cloud.vendors.google.delivery import seconds
from infra.local.cloud.vendors.google.identities import Identities
from infra.local.cloud.vendors.google.queues import Queues

TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
LARGEST_BYTES = 100 << 10
FURTHEST_SECONDS = 30 * 86400
METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")


class TaskApi:
    """`projects/*/locations/*/queues/*/tasks`."""

    def __init__(self, cloud: Cloud, identities: Identities, queues: Queues) -> None:
        self._cloud = cloud
        self._identities = identities
        self._queues = queues

    def routes(self) -> list[tuple[str, str, Handler]]:
        queue = "projects/{project}/locations/{location}/queues/{queue}"
        return [
            (method, f"/{version}/{queue}/{rest}", handler)
            for version in ("v2", "v2beta3")
            for method, rest, handler in (
                ("POST", "tasks:buffer", self._buffer),
                ("POST", "tasks/{task}:buffer", self._buffer),
                ("POST", "tasks", self._create),
                ("GET", "tasks", self._list),
            )
        ]

    async def _buffer(self, request: Request) -> Response:
        """The body, whatever it is, becomes the body of the task's request."""
        _, name, queue = await self._open(request)
        if not (queue.args.get("httpTarget") or {}).get("uriOverride"):
            raise Failed(400, "Queue must have an HTTP target: set http_target.uri_override.", "FAILED_PRECONDITION")
        body = await request.body()
        kind = request.headers.get("content-type")
        sent: Json = {"body": base64.b64encode(body).decode(), "headers": {"Content-Type": kind} if kind else {}}
        made = await self._add(name, queue, request.path_params.get("task", ""), {"httpRequest": sent})
        return JSONResponse({"task": made})

    async def _create(self, request: Request) -> Response:
        email, name, queue = await self._open(request)
        asked = await _json(request)
        task = asked.get("task")
        if not isinstance(task, dict) or not isinstance(task.get("httpRequest"), dict):
            raise Failed(400, "Task.http_request must be set: this stand-in has HTTP tasks only.")
        wanted = str(task.get("name") or "")
        if wanted and not wanted.startswith(f"{name}/tasks/"):
            raise Failed(400, f"Task name must be formatted: {name}/tasks/<TASK_ID>.")
        token = task["httpRequest"].get("oidcToken") or {}
        await asyncio.to_thread(self._need_act_as, email, str(token.get("serviceAccountEmail") or ""))
        return JSONResponse(await self._add(name, queue, wanted.removeprefix(f"{name}/tasks/"), task))

    async def _list(self, request: Request) -> Response:
        _, name, _ = await self._open(request)
        tasks = await asyncio.to_thread(self._queues.tasks, name)
        return JSONResponse({"tasks": [_shown(name, key, task) for key, task in tasks.items()]})

    async def _open(self, request: Request) -> tuple[str, str, Record]:
        """The caller's email, the queue's name and its record, once the caller may add tasks."""
        email = await caller(request, self._identities)
        params = request.path_params
        name = f"projects/{params['project']}/locations/{params['location']}/queues/{params['queue']}"
        return email, name, await asyncio.to_thread(self._allowed, email, name)

    def _allowed(self, email: str, name: str) -> Record:
        if not queue_kinds.may_enqueue(self._cloud, email, name):
            raise lacks(
                "cloudtasks.tasks.create",
                name,
                f"Declare a cloudtasks.QueueIamMember with {queue_kinds.ENQUEUER} for serviceAccount:{email}.",
            )
        record = self._queues.find(name)
        if record is None:
            raise Failed(404, "Requested entity was not found.")
        token = (record.args.get("httpTarget") or {}).get("oidcToken") or {}
        self._need_act_as(email, str(token.get("serviceAccountEmail") or ""))
        return record

    def _need_act_as(self, email: str, account: str) -> None:
        if account and not may_act_as(self._cloud, email, account):
            raise lacks(
                "iam.serviceAccounts.actAs",
                account,
                f"Declare a serviceaccount.IAMMember with roles/iam.serviceAccountUser for serviceAccount:{email}.",
            )

    async def _add(self, name: str, queue: Record, task_id: str, task: Json) -> Json:
        task_id = task_id or str(secrets.randbits(63))
        if not TASK_ID.fullmatch(task_id):
            raise Failed(
                400,
                f'Task ID "{task_id[:80]}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or '
                "underscores (_). Task ID must between 1 and 500 characters.",
            )
        request = _checked(task["httpRequest"], needs_url=not (queue.args.get("httpTarget") or {}).get("uriOverride"))
        now = time.time()
        kept: Json = {
            "request": request,
            "created": now,
            "due": _due(task.get("scheduleTime"), now),
            "deadline": _deadline(task.get("dispatchDeadline")),
            "attempts": 0,
            "answers": 0,
            "first": 0.0,
            "last": "",
        }
        if not await self._queues.add(name, task_id, kept):
            raise Failed(409, "Requested entity already exists")
        return _shown(name, task_id, kept)


def _checked(request: Json, *, needs_url: bool) -> Json:
    url, method = str(request.get("url") or ""), str(request.get("httpMethod") or "")
    if (needs_url or url) and not re.match(r"https?://[^/\s]+", url):
        raise Failed(400, "HttpRequest.url is required and must begin with 'http://' or 'https://'.")
    if method and method not in METHODS:
        raise Failed(400, f"HttpRequest.http_method: {method} is none of {', '.join(METHODS)}.")
    if request.get("oauthToken"):
        raise Failed(400, "This stand-in has OIDC tokens for targets only.")
    try:
        size = len(base64.b64decode(request.get("body") or "", validate=True))
    except (binascii.Error, TypeError, ValueError):
        raise Failed(400, "Invalid value at 'task.http_request.body': Base64 decoding failed") from None
    if size > LARGEST_BYTES:
        raise Failed(400, f"Task size too large: the limit is {LARGEST_BYTES} bytes.")
    return request


def _due(text: Any, now: float) -> float:
    if not text:
        return now
    try:
        due = datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        raise Failed(400, "Invalid value at 'task.schedule_time': expected RFC 3339 time") from None
    if due - now > FURTHEST_SECONDS:
        raise Failed(400, "The task.schedule_time is too far in the future. Schedule time must be at most 30 days.")
    return max(due, now)


def _deadline(text: Any) -> str:
    if text and not 15 <= seconds(text, 0.0) <= 1800:
        raise Failed(400, "Task.dispatch_deadline must be between 15s and 1800s for HTTP tasks.")
    return str(text or "")


def _shown(name: str, task_id: str, task: Json) -> Json:
    request = {key: value for key, value in task["request"].items() if key != "body"}  # the view BASIC
    shown = {
        "name": f"{name}/tasks/{task_id}",
        "httpRequest": request,
        "scheduleTime": _time(task["due"]),
        "createTime": _time(task["created"]),
        "dispatchDeadline": task["deadline"] or "600s",
        "dispatchCount": task["attempts"],
        "responseCount": task["answers"],
        "view": "BASIC",
    }
    return {**shown, "lastAttempt": {"responseStatus": {"message": task["last"]}}} if task["last"] else shown


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


async def _json(request: Request) -> Json:
    try:
        value = json.loads(await request.body())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Failed(400, "Invalid JSON payload received.")
    return value
