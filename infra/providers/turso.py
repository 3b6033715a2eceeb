"""memorygraph:turso:Group: a group of databases, in one location. The databases in it are made at run time."""

from __future__ import annotations

from typing import Any

from infra.providers.api import Api, ApiError
from infra.providers.kind import Found, Input, Kind, Log, ProviderError
from infra.providers.properties import Properties


class Group(Kind):
    """A group is its organization, name and location; another one of these is another group.

    Deleting it deletes every database in it: that is why the program protects it. Import id: ORGANIZATION/NAME.
    """

    token = "memorygraph:turso:Group"  # noqa: S105  the type's name
    inputs = (
        Input(name="organization", replaces=True),
        Input(name="name", replaces=True),
        Input(name="location", replaces=True),
    )
    outputs = ()
    delete_before_replace = True  # the new group usually has the old one's name

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        organization, name = inputs["organization"], inputs["name"]
        id = f"{organization}/{name}"
        try:
            self._api.post("organizations", organization, "groups", body={"name": name, "location": inputs["location"]})
        except ApiError as error:
            if error.status != 409:
                raise
            # An update that was cut off may have made it; then it is empty and where we want it.
            existing = self._get(organization, name)
            if existing is None or _location(existing) != inputs["location"] or self._databases(organization, name):
                raise ProviderError(
                    f"Turso already has a group {name!r} in {organization!r}, and it is in use or elsewhere. "
                    f"Take it over with: pulumi import {self.token} group {id}"
                ) from None
            log("found the group that an earlier, interrupted update had made")
        return id, {}

    def read(self, id: str, inputs: Properties, outputs: Properties, log: Log) -> Found | None:  # noqa: ARG002  the interface
        organization, _, name = id.partition("/")
        if not name:
            raise ProviderError(f"{id!r} is not the id of a Turso group: it is ORGANIZATION/NAME.")
        group = self._get(organization, name)
        if group is None:
            return None
        return Found(id, {"organization": organization, "name": name, "location": _location(group)}, {})

    def delete(self, id: str, old: Properties, log: Log) -> None:  # noqa: ARG002  the interface
        try:
            self._api.delete("organizations", old["organization"], "groups", old["name"])
        except ApiError as error:
            if error.status != 404:
                raise

    def _get(self, organization: str, name: str) -> dict[str, Any] | None:
        try:
            answer = self._api.get("organizations", organization, "groups", name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        group: dict[str, Any] = answer["group"]
        return group

    def _databases(self, organization: str, name: str) -> list[Any]:
        answer = self._api.get("organizations", organization, "databases", group=name)
        return list(answer.get("databases") or [])


def _location(group: dict[str, Any]) -> str:
    return str(group.get("primary") or (group.get("locations") or [""])[0])
