"""Wire <-> domain of usage and the dashboard's figures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response

from accounts.asker import Asker
from accounts.render import dashboard_body, usage_body
from accounts.services import Services
from core.http import Call
from core.lazy import lazy
from declarations import KEYS_MOST
from memories.requests import queried

if TYPE_CHECKING:
    from accounts import schemas
else:
    schemas = lazy("accounts.schemas")


async def read_usage(call: Call, services: Services) -> Response:
    asked = queried(call, schemas.UsageRequest)
    return call.reply(usage_body(call.caller, await services.usage.read(call.caller, asked.days)))


async def read_dashboard(call: Call, services: Services) -> Response:
    described, usage = await asyncio.gather(
        services.accounts.describe(Asker.of(call.caller)), services.usage.read(call.caller, 1)
    )
    return call.reply(dashboard_body(call.caller, usage, described, KEYS_MOST))
