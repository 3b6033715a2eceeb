"""A stand-in of Supabase's Management API: projects, the address of their database, their Auth.

Served: POST/GET/DELETE /v1/projects, GET /v1/projects/{ref}, GET /v1/projects/{ref}/config/database/pooler, and what
`auth/management.py` lists. Statuses go from COMING_UP to ACTIVE_HEALTHY (or INIT_FAILED), errors are `{"message"}`.
Every project is a PostgreSQL server of its own, and an address of its own with Auth (`auth/`); as
https://REF.supabase.co cannot be had here, a project's JSON says where in a field of ours, `api_url`.

Left out: everything else (branches, storage, REST over tables), rate limits, pausing, regions, and the pooler itself:
both of its modes name the server's own port, and users have no `.ref` suffix.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import string
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.local.cloud import web
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.ports import HOST
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth.hosting import Hosting
from infra.local.cloud.vendors.auth.management import Management
from infra.local.cloud.vendors.auth.project import new_configuration
from infra.local.cloud.vendors.postgres import DATABASE, Postgres

SECTION = "supabase"
HIDDEN = frozenset({"admin_password", "auth"})
TOKEN = "local"  # noqa: S105  a public word: who may call is decided by `peers`
REGIONS = re.compile(r"(us|eu|ap|ca|sa|me|af)-[a-z]+-[0-9]")
log = logging.getLogger(__name__)


class Supabase:
    """The projects of the local cloud."""

    def __init__(self, cloud: Cloud, services: web.Services) -> None:
        self._cloud = cloud
        self._hosting = Hosting(cloud, services)
        self._tasks: set[asyncio.Task[None]] = set()

    def application(self) -> Starlette:
        project = "/v1/projects/{ref}"
        return web.application(
            [
                ("POST", "/v1/projects", self._create),
                ("GET", "/v1/projects", self._list),
                ("GET", project, self._read),
                ("DELETE", project, self._delete),
                ("GET", f"{project}/config/database/pooler", self._pooler),
                *Management(self).routes(),
            ],
            TOKEN,
            lambda message: {"message": message},
        )

    def bring_back(self) -> None:
        """Start the servers of an earlier run. A project that was still coming up then has failed."""
        for ref, project in self._cloud.store.edit(SECTION, _complete).items():
            if project["status"] == "ACTIVE_HEALTHY":
                self._server(ref, project).bring_back()
                self._hosting.bring_back(ref, partial(self.configuration, ref))
            elif project["status"] == "COMING_UP":
                self._set_status(ref, "INIT_FAILED")

    def close(self) -> None:
        self._hosting.close()

    def configuration(self, ref: str) -> Json:
        """What is kept of a project's Auth, see `auth.project.new_configuration`. Raises NotFound."""
        found: Json = self._named(ref)["auth"]
        return found

    def configure(self, ref: str, change: Callable[[Json], None]) -> None:
        """Change what is kept of a project's Auth, as one step. Raises NotFound, and what `change` raises."""

        def edit(section: Json) -> None:
            if ref not in section:
                raise NotFound("Project not found")
            change(section[ref]["auth"])

        self._cloud.store.edit(SECTION, edit)

    async def _create(self, request: Request) -> Response:
        asked = await web.body(request)
        organization = asked.get("organization_slug") or asked.get("organization_id")
        faults = [
            message
            for fault, message in (
                (not _text(organization), "organization_slug: Required"),
                (not _text(asked.get("name")), "name: Required"),
                (not _text(asked.get("db_pass")), "db_pass: Required"),
                (not REGIONS.fullmatch(str(asked.get("region"))), "region: Invalid enum value, such as us-east-1"),
            )
            if fault
        ]
        if faults:
            raise CloudError("; ".join(faults))
        ref = "".join(secrets.choice(string.ascii_lowercase) for _ in range(20))
        project: Json = {
            "id": ref,
            "ref": ref,
            "organization_id": organization,
            "organization_slug": organization,
            "name": asked["name"],
            "region": asked["region"],
            "created_at": datetime.now(UTC).isoformat(),
            "status": "COMING_UP",
            "admin_password": secrets.token_urlsafe(24),
            "auth": new_configuration(),
        }
        await asyncio.to_thread(self._cloud.store.edit, SECTION, lambda section: section.update({ref: project}))
        task = asyncio.create_task(self._come_up(ref, project, str(asked["db_pass"])))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return JSONResponse(self._shown(project), 201)

    async def _come_up(self, ref: str, project: Json, password: str) -> None:
        try:
            await self._server(ref, project).create(password)
            self._hosting.start(ref, partial(self.configuration, ref))
            self._set_status(ref, "ACTIVE_HEALTHY")
        except Exception as error:
            log.error("project %s failed: %s", ref, error)
            self._set_status(ref, "INIT_FAILED")

    async def _list(self, _request: Request) -> Response:
        return JSONResponse([self._shown(project) for project in self._cloud.store.section(SECTION).values()])

    async def _read(self, request: Request) -> Response:
        _, project = self._find(request)
        return JSONResponse(self._shown(project))

    async def _pooler(self, request: Request) -> Response:
        ref, project = self._find(request)
        port = self._server(ref, project).port
        shared: Json = {
            "identifier": ref,
            "database_type": "PRIMARY",
            "is_using_scram_auth": True,
            "db_user": "postgres",
            "db_host": HOST,
            "db_port": port,
            "db_name": DATABASE,
            "connection_string": f"postgresql://postgres:[YOUR-PASSWORD]@{HOST}:{port}/{DATABASE}",
            "default_pool_size": 15,
            "max_client_conn": 200,
        }
        return JSONResponse([{**shared, "pool_mode": mode} for mode in ("transaction", "session")])

    async def _delete(self, request: Request) -> Response:
        ref, project = self._find(request)
        await self._hosting.delete(ref)
        await self._server(ref, project).delete()
        await asyncio.to_thread(self._cloud.store.edit, SECTION, lambda section: section.pop(ref, None))
        return JSONResponse({"id": ref, "ref": ref, "name": project["name"]})

    def _find(self, request: Request) -> tuple[str, Json]:
        ref = request.path_params["ref"]
        return ref, self._named(ref)

    def _named(self, ref: str) -> Json:
        project: Json | None = self._cloud.store.section(SECTION).get(ref)
        if project is None:
            raise NotFound("Project not found")
        return project

    def _server(self, ref: str, project: Json) -> Postgres:
        return Postgres(self._cloud, ref, project["admin_password"])

    def _set_status(self, ref: str, status: str) -> None:
        def change(section: Json) -> None:
            if ref in section:
                section[ref]["status"] = status

        self._cloud.store.edit(SECTION, change)

    def _shown(self, project: Json) -> Json:
        shown = {key: value for key, value in project.items() if key not in HIDDEN}
        database = {"host": HOST, "version": "17", "postgres_engine": "17", "release_channel": "ga"}
        url = self._hosting.url(project["ref"])
        return {**shown, "database": database, **({"api_url": url} if url else {})}


def _complete(section: Json) -> None:
    """Give projects of a version without Auth what they lack."""
    for project in section.values():
        project.setdefault("auth", new_configuration())


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
