"""A stand-in of Turso's Platform API: groups, databases, tokens, usage. Behind it is a real sqld for each group.

Served below /v1/organizations/{org}: POST/GET groups, GET/DELETE groups/{group}, POST/GET databases, GET/DELETE
databases/{db}, GET databases/{db}/usage, GET/PATCH databases/{db}/configuration, POST databases/{db}/auth/tokens.
Errors are `{"error"}`. A database's hostname is `NAME.localhost:PORT`: sqld takes the namespace from the first label.
Its size limit and what is blocked are sqld's own affair, which enforces them.

Deleting a group deletes its databases, as on Turso ("destroy a group and all of its databases"): databases of users are
runtime data that no program declares, and `make destroy` must leave none.

Left out: any organization is taken as existing, and names are unique across all of them; locations, replicas, seeds,
token rotation, archiving, quotas of the plan, group tokens, the other members of a configuration.
"""

from __future__ import annotations

import asyncio
import re
import uuid

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud import web
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import AlreadyExists, CloudError, NotFound
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors import sqld
from infra.local.cloud.vendors.sqld import Sqld

SECTION = "turso"
TOKEN = "local"  # noqa: S105  a public word: who may call is decided by `peers`
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
FLAGS = ("block_reads", "block_writes", "delete_protection")
CONFIGURATION: Json = {"size_limit": "", **dict.fromkeys(FLAGS, False)}
"""What a new database has, and one of an earlier version of this program."""
SIZE = re.compile(r"(\d+(b|kb|mb|gb))?")
EXPIRATION = re.compile(r"(\d+[smhdw])+")


class Turso:
    """The groups and databases of the local cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._order = asyncio.Lock()  # creating and deleting are checked and done in one go

    def application(self) -> Starlette:
        base = "/v1/organizations/{org}"
        group, database = f"{base}/groups/{{group}}", f"{base}/databases/{{database}}"
        return web.application(
            [
                ("POST", f"{base}/groups", self._create_group),
                ("GET", f"{base}/groups", self._list_groups),
                ("GET", group, self._read_group),
                ("DELETE", group, self._delete_group),
                ("POST", f"{base}/databases", self._create_database),
                ("GET", f"{base}/databases", self._list_databases),
                ("GET", database, self._read_database),
                ("DELETE", database, self._delete_database),
                ("GET", f"{database}/usage", self._read_usage),
                ("GET", f"{database}/configuration", self._read_configuration),
                ("PATCH", f"{database}/configuration", self._change_configuration),
                ("POST", f"{database}/auth/tokens", self._create_token),
            ],
            TOKEN,
            lambda message: {"error": message},
        )

    def bring_back(self) -> None:
        """Start the servers of an earlier run."""
        for name, group in self._part("groups").items():
            Sqld(self._cloud, name, group["private_key"]).bring_back()

    async def _create_group(self, request: Request) -> Response:
        asked = await web.body(request)
        name = _name(asked, "group")
        location = asked.get("location")
        if not isinstance(location, str) or not location:
            raise CloudError("group location is required")
        async with self._order:
            if name in self._part("groups"):
                raise AlreadyExists("group already exists")
            group: Json = {"uuid": str(uuid.uuid4()), "name": name, "location": location, "private_key": sqld.new_key()}
            server = Sqld(self._cloud, name, group["private_key"])
            try:
                await server.create()
                await self._keep("groups", name, group)
            except BaseException:
                await server.delete()
                raise
        return JSONResponse({"group": self._shown_group(group)})

    async def _list_groups(self, _request: Request) -> Response:
        return JSONResponse({"groups": [self._shown_group(group) for group in self._part("groups").values()]})

    async def _read_group(self, request: Request) -> Response:
        return JSONResponse({"group": self._shown_group(self._group(request.path_params["group"]))})

    async def _delete_group(self, request: Request) -> Response:
        async with self._order:
            group = self._group(request.path_params["group"])
            await self._server(group).delete()
            for database in self._part("databases").values():
                if database["group"] == group["name"]:
                    await self._forget("databases", database["name"])
            await self._forget("groups", group["name"])
        return JSONResponse({"group": self._shown_group(group)})

    async def _create_database(self, request: Request) -> Response:
        asked = await web.body(request)
        name = _name(asked, "database")
        async with self._order:
            if name in self._part("databases"):
                raise AlreadyExists(f"database with name {name} already exists")
            group = self._group(str(asked.get("group", "")))
            configuration = _configuration(asked, CONFIGURATION)
            await self._server(group).create_database(name)
            await self._server(group).configure(name, configuration)
            database: Json = {"id": str(uuid.uuid4()), "name": name, "group": group["name"], **configuration}
            await self._keep("databases", name, database)
        shown = self._shown_database(database)
        return JSONResponse({"database": {key: shown[key] for key in ("DbId", "Hostname", "Name")}})

    async def _list_databases(self, request: Request) -> Response:
        group = request.query_params.get("group")
        found = [item for item in self._part("databases").values() if group is None or item["group"] == group]
        return JSONResponse({"databases": [self._shown_database(database) for database in found]})

    async def _read_database(self, request: Request) -> Response:
        return JSONResponse({"database": self._shown_database(self._database(request))})

    async def _delete_database(self, request: Request) -> Response:
        async with self._order:
            database = self._database(request)
            if _configuration({}, database)["delete_protection"]:
                raise CloudError(f"database {database['name']} has delete protection enabled")
            await self._server(self._group(database["group"])).delete_database(database["name"])
            await self._forget("databases", database["name"])
        return JSONResponse({"database": database["name"]})

    async def _read_usage(self, request: Request) -> Response:
        database = self._database(request)
        stats = await self._server(self._group(database["group"])).usage(database["name"])
        usage = {
            "rows_read": stats.get("rows_read_count", 0),
            "rows_written": stats.get("rows_written_count", 0),
            "storage_bytes": stats.get("storage_bytes_used", 0),
        }
        return JSONResponse({"database": {"uuid": database["id"], "instances": [], "total": usage, "usage": usage}})

    async def _read_configuration(self, request: Request) -> Response:
        return JSONResponse(_shown_configuration(self._database(request)))

    async def _change_configuration(self, request: Request) -> Response:
        asked = await web.body(request)
        async with self._order:
            database = self._database(request)
            changed = {**database, **_configuration(asked, database)}
            await self._server(self._group(database["group"])).configure(database["name"], changed)
            await self._keep("databases", database["name"], changed)
        return JSONResponse(_shown_configuration(changed))

    async def _create_token(self, request: Request) -> Response:
        database = self._database(request)
        group = self._group(database["group"])
        authorization = request.query_params.get("authorization", "full-access")
        if authorization not in ("full-access", "read-only"):
            raise CloudError("authorization must be full-access or read-only")
        seconds = _seconds(request.query_params.get("expiration", "never"))
        writable = authorization == "full-access"
        jwt = sqld.token(group["private_key"], database["name"], writable=writable, seconds=seconds)
        return JSONResponse({"jwt": jwt})

    def _part(self, name: str) -> Json:
        part = self._cloud.store.section(SECTION).get(name, {})
        assert isinstance(part, dict)
        return part

    async def _keep(self, part: str, name: str, value: Json) -> None:
        def change(section: Json) -> None:
            section.setdefault(part, {})[name] = value

        await asyncio.to_thread(self._cloud.store.edit, SECTION, change)

    async def _forget(self, part: str, name: str) -> None:
        def change(section: Json) -> None:
            section.setdefault(part, {}).pop(name, None)

        await asyncio.to_thread(self._cloud.store.edit, SECTION, change)

    def _group(self, name: str) -> Json:
        group = self._part("groups").get(name)
        if not isinstance(group, dict):
            raise NotFound("group not found")
        return group

    def _database(self, request: Request) -> Json:
        name = request.path_params["database"]
        database = self._part("databases").get(name)
        if not isinstance(database, dict):
            raise NotFound(f"could not find database with name {name}: record not found")
        return database

    def _server(self, group: Json) -> Sqld:
        return Sqld(self._cloud, group["name"], group["private_key"])

    def _shown_group(self, group: Json) -> Json:
        return {
            "name": group["name"],
            "uuid": group["uuid"],
            "primary": group["location"],
            "locations": [group["location"]],
            "version": "v0.24.32",
            "archived": False,
            "delete_protection": False,
        }

    def _shown_database(self, database: Json) -> Json:
        group = self._group(database["group"])
        configuration = _configuration({}, database)
        return {
            "Name": database["name"],
            "DbId": database["id"],
            "Hostname": f"{database['name']}.localhost:{self._server(group).port}",
            "group": group["name"],
            "primaryRegion": group["location"],
            "regions": [group["location"]],
            "type": "logical",
            "block_reads": configuration["block_reads"],
            "block_writes": configuration["block_writes"],
            "archived": False,
            "sleeping": False,
        }


def _name(asked: Json, what: str) -> str:
    name = asked.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise CloudError(f"{what} name must be 1 to 64 lower-case letters, digits and dashes")
    return name


def _configuration(asked: Json, held: Json) -> Json:
    """What is held, changed as asked. Raises CloudError for a value that is none."""
    found = {name: asked.get(name, held.get(name, value)) for name, value in CONFIGURATION.items()}
    if not isinstance(found["size_limit"], str) or not SIZE.fullmatch(found["size_limit"]):
        raise CloudError(f"invalid size_limit {found['size_limit']}: use a size such as 64mb")
    if not all(isinstance(found[name], bool) for name in FLAGS):
        raise CloudError(f"{', '.join(FLAGS)} must be true or false")
    return found


def _shown_configuration(database: Json) -> Json:
    return _configuration({}, database) | {"allow_attach": False}


def _seconds(expiration: str) -> int | None:
    if expiration == "never":
        return None
    if not EXPIRATION.fullmatch(expiration):
        raise CloudError(f"invalid expiration {expiration}: use never, or a duration such as 2w or 1d12h")
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhdw])", expiration))
