"""Wire <-> domain of API keys. The key itself is in one answer only: that of the request that made it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from starlette.responses import Response

from accounts.asker import Asker, known_id
from accounts.ports import NewKey
from accounts.services import Services
from core.http import Call
from core.lazy import lazy
from declarations import KEYS_MOST
from memories.validation import parse

if TYPE_CHECKING:
    from accounts import schemas
else:
    schemas = lazy("accounts.schemas")


async def list_keys(call: Call, services: Services) -> Response:
    keys = await services.keys.list_(Asker.of(call.caller))
    return call.reply({"keys": keys, "most": KEYS_MOST})


async def create_key(call: Call, services: Services) -> Response:
    body = parse(schemas.KeyCreate, await call.json())
    wanted = NewKey(
        id=str(uuid.uuid4()),
        name=body.name,
        scopes=body.scopes,
        project=body.project,
        calls_per_day=body.calls_per_day,
        expires_at=body.expires_at,
    )
    text, key = await services.keys.create(Asker.of(call.caller), wanted, body.expires_in_days)
    return call.reply({**key, "key": text}, 201)


async def rename_key(call: Call, services: Services) -> Response:
    body = parse(schemas.KeyRename, await call.json())
    return call.reply(await services.keys.rename(Asker.of(call.caller), _key_id(call), body.name))


async def rotate_key(call: Call, services: Services) -> Response:
    body = parse(schemas.KeyRotate, await call.json() if await call.body() else {})
    rotation = await services.keys.rotate(Asker.of(call.caller), _key_id(call), body.overlap_hours)
    answer = {**rotation.key, "key": rotation.text, "previous": rotation.previous}
    return call.reply({**answer, "holds_within_seconds": rotation.seconds}, 201)


async def revoke_key(call: Call, services: Services) -> Response:
    seconds = await services.keys.revoke(Asker.of(call.caller), _key_id(call))
    return call.reply({"revoked": True, "holds_within_seconds": seconds})


def _key_id(call: Call) -> str:
    return known_id(call.path["id"], "API key")
