"""Controls of what is sent and of what fails: deliveries of events, and calls of the API."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import Any

from starlette.requests import Request

from infra.local.cloud.vendors.stripe.calls import Route, needed, whole
from infra.local.cloud.vendors.stripe.delivery import Deliveries
from infra.local.cloud.vendors.stripe.errors import invalid
from infra.local.cloud.vendors.stripe.faults import Fault, Faults
from infra.local.cloud.vendors.stripe.world import DELIVERY, World

Json = dict[str, Any]


class Disturbances:
    """The routes, by method and path."""

    def __init__(self, world: World, deliveries: Deliveries, faults: Faults) -> None:
        self._world = world
        self._deliveries = deliveries
        self._faults = faults

    def routes(self) -> list[Route]:
        base = "/_local"
        return [
            ("GET", f"{base}/deliveries", self._list_deliveries),
            ("POST", f"{base}/deliveries/mode", self._set_mode),
            ("POST", f"{base}/deliveries/release", self._release),
            ("POST", f"{base}/deliveries/settle", self._settle),
            ("POST", f"{base}/deliveries/resend", self._resend),
            ("GET", f"{base}/faults", self._list_faults),
            ("POST", f"{base}/faults", self._add_fault),
            ("DELETE", f"{base}/faults", self._clear_faults),
        ]

    async def _list_deliveries(self, _request: Request, _asked: Json) -> Json:
        found = []
        for delivery in self._world.store.all(DELIVERY):
            event = self._world.store.get(delivery["event"]) or {}
            found.append({**delivery, "type": event.get("type"), "object_id": event["data"]["object"]["id"]})
        return {"deliveries": found, "mode": asdict(self._deliveries.mode)}

    async def _set_mode(self, _request: Request, asked: Json) -> Json:
        """{hold, shuffle, duplicate, drop: [types]}: those that are sent are changed."""
        mode = self._deliveries.mode
        for name, value in asked.items():
            if not hasattr(mode, name) or not isinstance(value, type(getattr(mode, name))):
                raise invalid(f"{name} is none of hold, shuffle (true or false), duplicate (a number), drop (types).")
            setattr(mode, name, value)
        self._deliveries.wake()
        return asdict(mode)

    async def _release(self, _request: Request, asked: Json) -> Json:
        """{order?: oldest | newest | shuffled, duplicate?: 0, only?: [types]}: send what is held, one after another,
        and answer when each was tried; the mode stays."""
        waiting = self._deliveries.waiting()
        only = asked.get("only")
        events = {item["id"]: self._world.known(item["event"])["type"] for item in waiting}
        ids = [item["id"] for item in waiting if only is None or events[item["id"]] in only]
        order = asked.get("order", "oldest")
        if order == "newest":
            ids.reverse()
        elif order == "shuffled":
            random.shuffle(ids)
        await self._deliveries.release([id for id in ids for _ in range(1 + whole(asked, "duplicate", 0))])
        return {"sent": [events[id] for id in ids]}

    async def _settle(self, _request: Request, asked: Json) -> Json:
        """{seconds: 5}: wait until everything was taken."""
        settled = await self._deliveries.settled(float(asked.get("seconds", 5)))
        return {"settled": settled, "waiting": len(self._deliveries.waiting())}

    async def _resend(self, _request: Request, asked: Json) -> Json:
        """{event}: send an event once more to every endpoint that it was for."""
        event = self._world.named("event", str(needed(asked, "event")))
        found = [item["id"] for item in self._world.store.find(DELIVERY, event=event["id"])]
        await self._deliveries.release(found)
        return {"sent": len(found)}

    async def _list_faults(self, _request: Request, _asked: Json) -> Json:
        return {"faults": [asdict(fault) for fault in self._faults.waiting]}

    async def _add_fault(self, _request: Request, asked: Json) -> Json:
        """See `faults.Fault`."""
        try:
            fault = Fault(**asked)
        except TypeError:
            names = ", ".join(Fault.__dataclass_fields__)
            raise invalid(f"A fault has a path, and perhaps of these: {names}.") from None
        self._faults.waiting.append(fault)
        return asdict(fault)

    async def _clear_faults(self, _request: Request, _asked: Json) -> Json:
        """Nothing fails any more, and what hangs goes on."""
        self._faults.clear()
        return {}
