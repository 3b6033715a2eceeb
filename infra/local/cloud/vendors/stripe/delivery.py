"""Sending events to webhook endpoints: signed, concurrently, in no order that one may count on, until taken.

An endpoint has 10 s to answer 2xx. Otherwise the delivery is tried again: at Stripe for three days at growing
distances, here at once at first (PAUSES, by the wall's clock, the last one over and over) and for three days too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.adapters.http1 import HttpClient, HttpError, HttpRefused, HttpTimeout
from infra.local.cloud.vendors.stripe.clock import DAY
from infra.local.cloud.vendors.stripe.world import DELIVERY, VERSION, World

Json = dict[str, Any]
TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 5.0
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
GIVE_UP_SECONDS = 3 * DAY
CONCURRENT = 10
KEPT = 1_000
LOOK_SECONDS = 60.0
log = logging.getLogger(__name__)
Resolve = Callable[[str], str]


@dataclass(kw_only=True)
class Mode:
    """How deliveries are disturbed. `hold`: none is sent. `shuffle`: not in their order. `duplicate`: so many more
    times each. `drop`: types of events that are lost."""

    hold: bool = False
    shuffle: bool = False
    duplicate: int = 0
    drop: list[str] = field(default_factory=list)


def signature(secret: str, body: bytes, at: int) -> str:
    """The header `Stripe-Signature`."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


class Deliveries:
    """Sends what waits, as long as it runs. `resolve` says where an address is on this machine."""

    def __init__(self, world: World, resolve: Resolve) -> None:
        self.mode = Mode()
        self._world = world
        self._resolve = resolve
        self._woken = asyncio.Event()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(CONCURRENT)
        self._client = HttpClient(connections_per_origin=CONCURRENT)

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        try:
            while True:
                self._woken.clear()
                if not self.mode.hold:
                    for delivery in self._due():
                        self._start([delivery["id"]])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), self._pause())
        finally:
            for task in self._sending.values():
                task.cancel()
            await asyncio.gather(*self._sending.values(), return_exceptions=True)
            await self._client.close()

    def waiting(self) -> list[Json]:
        """What was not taken yet, the oldest first."""
        return [item for item in self._world.store.all(DELIVERY) if item["state"] == "pending"]

    async def release(self, ids: Sequence[str]) -> None:
        """Send these one after another, in this order, whatever the mode says."""
        for id in ids:
            await self._send(id)

    async def settled(self, seconds: float) -> bool:
        """Whether nothing waits any more, after at most so long."""
        end = time.monotonic() + seconds
        while self.waiting() or self._sending:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.02)
        return True

    def _due(self) -> list[Json]:
        now = time.time()
        found = [item for item in self.waiting() if item["next_at"] <= now and item["id"] not in self._sending]
        if self.mode.shuffle:
            random.shuffle(found)
        return found

    def _pause(self) -> float:
        if self.mode.hold:
            return LOOK_SECONDS
        times = [item["next_at"] for item in self.waiting() if item["id"] not in self._sending]
        return max(0.01, min(min(times, default=0.0) - time.time(), LOOK_SECONDS)) if times else LOOK_SECONDS

    def _start(self, ids: Sequence[str]) -> None:
        for id in ids:
            task = asyncio.create_task(self._place(id))
            self._sending[id] = task
            task.add_done_callback(lambda _, id=id: self._done(id))  # type: ignore[misc]  # mypy cannot infer it

    def _done(self, id: str) -> None:
        self._sending.pop(id, None)
        self.wake()

    async def _place(self, id: str) -> None:
        async with self._places:
            if self.mode.shuffle:
                await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311  not a secret
            for _ in range(1 + self.mode.duplicate):
                await self._send(id)

    async def _send(self, id: str) -> None:
        store = self._world.store
        delivery = store.get(id)
        event = store.get(delivery["event"]) if delivery is not None else None
        endpoint = store.get(delivery["endpoint"]) if delivery is not None else None
        if delivery is None or event is None or endpoint is None:
            return
        if event["type"] in self.mode.drop:
            self._note(id, 0, "dropped, as somebody asked for", state="dropped")
            return
        shown = {**self._world.show(event), "api_version": endpoint["api_version"] or VERSION}
        body = json.dumps(shown, indent=2).encode()
        status, reason = await self._post(endpoint, body)
        self._note(id, status, reason)

    async def _post(self, endpoint: Json, body: bytes) -> tuple[int, str]:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(endpoint["_secret"], body, int(time.time())),
        }
        try:
            answer = await self._client.request(
                "POST",
                self._resolve(endpoint["url"]),
                body,
                headers,
                timeout=TIMEOUT_SECONDS,
                connect_timeout=CONNECT_SECONDS,
                retry=False,
            )
        except HttpTimeout:
            return 0, f"no answer within {TIMEOUT_SECONDS:g} s"
        except HttpRefused:
            return 0, "the endpoint refuses connections"
        except (HttpError, ValueError, OSError):
            return 0, "the endpoint's answer is not HTTP, or its URL is none"
        return answer.status, ""

    def _note(self, id: str, status: int, reason: str, *, state: str = "") -> None:
        store, now = self._world.store, time.time()
        with store.transaction():
            delivery = store.get(id)
            if delivery is None:
                return
            good = 200 <= status < 300
            taken = delivery["state"] == "delivered"
            delivery["attempts"] += 1
            delivery["first_at"] = delivery["first_at"] or now
            delivery.update(status=status, reason=reason, last_at=now)
            if state or good or taken:
                delivery["state"] = state or "delivered"
            elif now - delivery["first_at"] > GIVE_UP_SECONDS:
                delivery["state"] = "failed"
            else:
                delivery["next_at"] = now + PAUSES[min(delivery["attempts"], len(PAUSES)) - 1]
            event = store.get(delivery["event"])
            if event is not None and not taken and delivery["state"] != "pending":
                event["pending_webhooks"] -= 1
            self._forget()
        if reason and delivery["state"] == "pending":
            log.info("the webhook %s was not taken: %s", delivery["endpoint"], reason)

    def _forget(self) -> None:
        done = [item["id"] for item in self._world.store.all(DELIVERY) if item["state"] != "pending"]
        for id in done[:-KEPT]:
            self._world.store.remove(id)
