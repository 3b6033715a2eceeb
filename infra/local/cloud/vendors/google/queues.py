"""What is in the queues, and its dispatch: in order of time, within rate and concurrency, until the target takes it.

A task is kept in the store until its target answered 2xx or its attempts are used up, so that it outlives a restart;
one that was under way then is sent again, as Cloud Tasks may do. A queue's configuration is read at each dispatch.

Left out: bursts above the rate, and the slowing down when a target answers 429 or 503.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record
from infra.local.cloud.vendors.google.delivery import Attempt, Backoff, Delivery, Outcome, seconds

QUEUE = "gcp:cloudtasks/queue:Queue"
SECTION = "google_tasks"
RATE = 500.0
CONCURRENCY = 1000
DEADLINE_SECONDS = 600.0
"""How long a target may take to answer, unless a task says otherwise; a buffered one cannot."""
LIVES_SECONDS = 31 * 86400
LOOK_SECONDS = 1.0  # how often a queue that waits looks at its configuration
log = logging.getLogger(__name__)


class Queues:
    """The tasks of all queues. A task is a plain object: see `TaskApi` for its members."""

    def __init__(self, cloud: Cloud, delivery: Delivery) -> None:
        self._cloud = cloud
        self._delivery = delivery
        self._lanes: dict[str, Lane] = {}

    def bring_back(self) -> None:
        """Go on with what an earlier daemon left."""
        for queue in self._cloud.store.section(SECTION):
            self._lane(queue)

    def find(self, name: str) -> Record | None:
        return self._cloud.store.get(QUEUE, name)

    def tasks(self, queue: str) -> dict[str, Json]:
        """The tasks of a queue by id."""
        found: dict[str, Json] = self._cloud.store.section(SECTION).get(queue, {})
        return found

    async def add(self, queue: str, task_id: str, task: Json) -> bool:
        """Keep a task and dispatch it when it is due; False when there is one of this id."""
        added = False

        def change(section: Json) -> None:
            nonlocal added
            tasks = section.setdefault(queue, {})
            added = task_id not in tasks
            tasks.setdefault(task_id, task)

        await asyncio.to_thread(self._cloud.store.edit, SECTION, change)
        self._lane(queue).look()
        return added

    async def stop(self) -> None:
        for lane in self._lanes.values():
            await lane.stop()
        self._lanes.clear()

    def _lane(self, queue: str) -> Lane:
        if queue not in self._lanes:
            self._lanes[queue] = Lane(queue, self._cloud, self._delivery)
        return self._lanes[queue]


class Lane:
    """The dispatch of one queue."""

    def __init__(self, queue: str, cloud: Cloud, delivery: Delivery) -> None:
        self._queue = queue
        self._cloud = cloud
        self._delivery = delivery
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._next_at = 0.0  # monotonic: when the rate allows the next dispatch
        self._run = asyncio.create_task(self._dispatch(), name=f"queue {queue}")

    def look(self) -> None:
        self._changed.set()

    async def stop(self) -> None:
        tasks = [self._run, *self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _dispatch(self) -> None:
        while True:
            self._changed.clear()
            try:
                wait = self._start_due()
            except Exception:  # a fault of ours must not end the queue
                log.exception("dispatching %s failed", self._queue)
                wait = LOOK_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)

    def _start_due(self) -> float | None:
        """Start what is due and allowed; seconds until it is worth looking again, None when only a change can help."""
        record = self._cloud.store.get(QUEUE, self._queue)
        tasks: dict[str, Json] = self._cloud.store.section(SECTION).get(self._queue, {})
        waiting: list[tuple[float, str]] = sorted(
            (task["due"], key) for key, task in tasks.items() if key not in self._under_way
        )
        if record is None or not waiting:
            return None
        limits = record.args.get("rateLimits") or {}
        rate = float(limits.get("maxDispatchesPerSecond") or RATE)
        most = int(limits.get("maxConcurrentDispatches") or CONCURRENCY)
        if record.args.get("desiredState") == "PAUSED":
            return LOOK_SECONDS
        for due, key in waiting:
            now = time.monotonic()
            if due > time.time():
                return min(due - time.time(), LOOK_SECONDS)
            if len(self._under_way) >= most:
                return LOOK_SECONDS
            if self._next_at > now:
                return self._next_at - now
            self._next_at = now + 1 / rate
            task = asyncio.create_task(self._attempt(record, key, tasks[key]))
            self._under_way[key] = task
        return None

    async def _attempt(self, record: Record, key: str, task: Json) -> None:
        try:
            outcome = await self._delivery.send(attempt_of(record, key, task))
            await asyncio.to_thread(self._settle, record, key, outcome)
        except Exception:
            log.exception("task %s of %s failed", key, self._queue)
        finally:
            self._under_way.pop(key, None)
            self._changed.set()

    def _settle(self, record: Record, key: str, outcome: Outcome) -> None:
        backoff = backoff_of(record)

        def change(section: Json) -> None:
            tasks = section.get(self._queue, {})
            task = tasks.get(key)
            if task is None:
                return
            now = time.time()
            task["attempts"] += 1
            task["answers"] += 1 if outcome.status else 0
            task["first"] = task["first"] or now
            over = backoff.is_over(task["attempts"], now - task["first"]) or now - task["created"] > LIVES_SECONDS
            if outcome.good or over:
                del tasks[key]
            else:
                task["due"] = now + backoff.pause(task["attempts"])
                task["last"] = str(outcome)
            if not outcome.good:
                log.warning("task %s of %s: %s%s", key, self._queue, outcome, "; given up" if over else "")

        self._cloud.store.edit(SECTION, change)


def backoff_of(record: Record) -> Backoff:
    """The retry configuration of a queue, with Google's defaults."""
    config = record.args.get("retryConfig") or {}
    return Backoff(
        least=seconds(config.get("minBackoff"), 0.1),
        most=seconds(config.get("maxBackoff"), 3600.0),
        doublings=int(config.get("maxDoublings", 16)),
        attempts=int(config.get("maxAttempts", 100)),
        seconds=seconds(config.get("maxRetryDuration"), 0.0),
    )


def attempt_of(record: Record, key: str, task: Json) -> Attempt:
    """The request of a task, with what its queue lays over it."""
    request: Json = task["request"]
    target: Json = record.args.get("httpTarget") or {}
    token = target.get("oidcToken") or request.get("oidcToken") or {}
    overrides = {item["header"]["key"]: item["header"]["value"] for item in target.get("headerOverrides") or [] if item}
    headers = {
        "Content-Type": "application/octet-stream",
        **(request.get("headers") or {}),
        **overrides,
        "User-Agent": "Google-Cloud-Tasks",
        "X-CloudTasks-QueueName": str(record.args["name"]),
        "X-CloudTasks-TaskName": key,
        "X-CloudTasks-TaskRetryCount": str(task["attempts"]),
        "X-CloudTasks-TaskExecutionCount": str(task["answers"]),
        "X-CloudTasks-TaskETA": f"{task['due']:.6f}",
    }
    return Attempt(
        method=str(target.get("httpMethod") or request.get("httpMethod") or "POST"),
        url=overridden(str(request.get("url") or ""), target.get("uriOverride") or {}),
        headers=headers,
        body=base64.b64decode(request.get("body") or ""),
        email=str(token.get("serviceAccountEmail") or ""),
        audience=str(token.get("audience") or ""),
        deadline_seconds=seconds(task.get("deadline"), DEADLINE_SECONDS),
    )


def overridden(url: str, override: Json) -> str:
    """A task's URL under its queue's; without one of its own, the queue's alone."""
    if not override or (url and override.get("uriOverrideEnforceMode") == "IF_NOT_EXISTS"):
        return url
    parts = urlsplit(url)
    scheme = str(override.get("scheme") or parts.scheme or "HTTPS").lower()
    host = str(override.get("host") or parts.hostname or "")
    own: Any = parts.port if not override.get("host") else None
    port = override.get("port", own)
    path = str((override.get("pathOverride") or {}).get("path", parts.path))
    query = str((override.get("queryOverride") or {}).get("queryParams", parts.query))
    return urlunsplit((scheme, f"{host}:{port}" if port and int(port) else host, path or "/", query, ""))
