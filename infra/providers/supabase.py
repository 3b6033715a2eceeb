"""memorygraph:supabase:Project: a project on Supabase, ready for connections.

Made through the Management API; the outputs are connection strings of its pooler. `supabase_auth.py` has Auth and keys.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from infra.providers import postgres
from infra.providers.api import Api, ApiError, Unreachable
from infra.providers.kind import Found, InitFailed, Input, Kind, Log, Output, ProviderError
from infra.providers.properties import Properties

FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.5, 5.0
PATIENCE_SECONDS = 600.0
TRANSACTION_PORT, SESSION_PORT = 6543, 5432
"""The pooler's two modes differ by port. A server with another port has no pooler, and one port for both."""

_DEAD = frozenset({"REMOVED", "GOING_DOWN", "INIT_FAILED"})  # one that never came up holds nothing
_FAILED = frozenset({"RESTORE_FAILED", "PAUSE_FAILED"})
_PAUSED = frozenset({"INACTIVE", "PAUSED"})


class Project(Kind):
    """Import id: the project's ref. The first update after an import sets the declared password."""

    token = "memorygraph:supabase:Project"  # noqa: S105  the type's name
    inputs = (
        Input(name="organization", replaces=True),
        Input(name="name"),
        Input(name="region", replaces=True),
        Input(name="databasePassword", secret=True),
    )
    outputs = (
        Output(name="ref"),
        Output(name="sessionUrl", secret=True, follows=("databasePassword",)),
        Output(name="transactionUrl", secret=True, follows=("databasePassword",)),
    )
    delete_before_replace = True  # the free plan has room for two projects

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        taken = self._named(inputs)
        if taken is not None:
            self._adopt(taken, inputs, log)
        ref = taken or self._make(inputs, log)
        try:
            self._wait(ref, log)
            return ref, self._addresses(ref, inputs["databasePassword"])
        except ProviderError as error:
            raise InitFailed(str(error), id=ref, outputs={"ref": ref}) from error

    def read(self, id: str, inputs: Properties, outputs: Properties, log: Log) -> Found | None:
        project = find_project(self._api, id)
        if project is None or project.get("status") in _DEAD:
            return None
        found: Properties = {
            "organization": project.get("organization_slug") or project["organization_id"],
            "name": project["name"],
            "region": project["region"],
        }
        password = inputs.get("databasePassword")
        if password is None:  # an import: no one can read the password back
            return Found(id, found, {"ref": id})
        found["databasePassword"] = password
        if project.get("status") in _PAUSED:
            log("the project is paused: restore it in Supabase's dashboard")
            return Found(id, found, {**outputs, "ref": id})
        return Found(id, found, self._addresses(id, password))

    def update(self, id: str, old: Properties, inputs: Properties, log: Log) -> Properties:
        self._wait(id, log)
        if old.get("name") != inputs["name"]:
            self._api.patch("projects", id, body={"name": inputs["name"]})
        if old.get("databasePassword") != inputs["databasePassword"]:
            self._api.patch("projects", id, "database", "password", body={"password": inputs["databasePassword"]})
        return self._addresses(id, inputs["databasePassword"])

    def delete(self, id: str, old: Properties, log: Log) -> None:  # noqa: ARG002  the interface
        try:
            self._api.delete("projects", id)
        except ApiError as error:
            if error.status != 404:
                raise

    def _make(self, inputs: Properties, log: Log) -> str:
        body = {
            "organization_id": inputs["organization"],
            "name": inputs["name"],
            "region": inputs["region"],
            "db_pass": inputs["databasePassword"],
        }
        try:
            made = self._api.post("projects", body=body)
        except Unreachable:
            # Nobody knows whether it was made. If it was, it has our name, and our password.
            ref = self._named(inputs)
            if ref is None:
                raise
            return ref
        log("Supabase is making the project")
        return _ref(made)

    def _named(self, inputs: Properties) -> str | None:
        """The ref of the project that has our name in our organization, if there is one."""
        for project in self._api.get("projects") or []:
            homes = (project.get("organization_id"), project.get("organization_slug"))
            if (
                project["name"] == inputs["name"]
                and inputs["organization"] in homes
                and project.get("status") not in _DEAD
            ):
                return _ref(project)
        return None

    def _adopt(self, ref: str, inputs: Properties, log: Log) -> None:
        """Go on with a project of an interrupted update: it is ours if our password, known to no one else, opens it."""
        self._wait(ref, log)
        url = self._addresses(ref, inputs["databasePassword"])["sessionUrl"]
        try:
            postgres.connect(url).close()
        except postgres.ConnectionFailed:
            raise ProviderError(
                f"Supabase already has a project {inputs['name']!r} in {inputs['organization']!r}, and it is not ours. "
                f"Take it over with: pulumi import {self.token} project {ref}"
            ) from None
        log("found the project that an earlier, interrupted update had made")

    def _wait(self, ref: str, log: Log) -> None:
        """Return when the project takes connections: minutes after it was made, at once later."""
        waited, pause, shown = 0.0, FIRST_POLL_SECONDS, ""
        while True:
            project = find_project(self._api, ref)
            status = "REMOVED" if project is None else str(project.get("status"))
            if status == "ACTIVE_HEALTHY":
                return
            if status in _DEAD | _FAILED:
                raise ProviderError(
                    f"Supabase project {ref} is {status}: remove it in the dashboard, then run `pulumi up --refresh`."
                )
            if status in _PAUSED:
                raise ProviderError(
                    f"Supabase project {ref} is paused (free projects pause after 7 quiet days): restore it in the "
                    "dashboard, then run `pulumi up` again."
                )
            if waited >= PATIENCE_SECONDS:
                raise ProviderError(
                    f"Supabase project {ref} is still {status} after {PATIENCE_SECONDS / 60:.0f} minutes: run "
                    "`pulumi up` again, it goes on from here."
                )
            if status != shown:
                log(f"waiting for the project: {status}")
                shown = status
            self._api.sleep(pause)
            waited += pause
            pause = min(pause * 2, LONGEST_POLL_SECONDS)

    def _addresses(self, ref: str, password: str) -> Properties:
        poolers = self._api.get("projects", ref, "config", "database", "pooler")
        primary = next((p for p in poolers if p.get("database_type", "PRIMARY") == "PRIMARY"), None)
        if primary is None:
            raise ProviderError(f"Supabase project {ref} has no connection pooler yet: run `pulumi up` again.")
        port = int(primary["db_port"])
        pooled = port in (TRANSACTION_PORT, SESSION_PORT)
        return {
            "ref": ref,
            "sessionUrl": _url(primary, password, SESSION_PORT if pooled else port),
            "transactionUrl": _url(primary, password, TRANSACTION_PORT if pooled else port),
        }


def find_project(api: Api, ref: str) -> dict[str, Any] | None:
    """The project as Supabase shows it; None when it is gone."""
    try:
        project: dict[str, Any] = api.get("projects", ref)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return project


def _ref(project: dict[str, Any]) -> str:
    return str(project.get("ref") or project["id"])


def _url(pooler: dict[str, Any], password: str, port: int) -> str:
    host, user, name = str(pooler["db_host"]), quote(str(pooler["db_user"]), safe=""), str(pooler["db_name"])
    mode = postgres.ssl_mode(host)
    return f"postgresql://{user}:{quote(password, safe='')}@{host}:{port}/{quote(name, safe='')}?sslmode={mode}"
