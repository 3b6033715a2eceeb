"""memorygraph:supabase:AuthSettings: how people sign in to a Supabase project, and the keys that our programs need.

Settings go by their names in the Management API (`config/auth`); secret ones apart, so that the state holds them
encrypted. Nobody can read those back: a secret that was changed by hand is not noticed. A setting that is no longer
declared stays as it is.

Tokens are signed with ES256: while a project signs with its old shared secret, its JWKS is empty and nobody could
verify them. A key that is made here stands by first and is put in use then, as Supabase has it.
"""

from __future__ import annotations

import re
from typing import Any

from infra.providers.api import Api, ApiError
from infra.providers.kind import Found, Input, Kind, Log, Output, ProviderError
from infra.providers.properties import Properties, is_unknown
from infra.providers.supabase import find_project

ALGORITHM = "ES256"
SECRET = re.compile(r"smtp_pass|external_\w+_secret|hook_\w+_secrets|security_captcha_secret|sms_\w+_(?:secret|token)")
KEY_NAME = "default"  # the name of the API keys that a project comes with


class _Settings(Input):
    """A map of settings: texts, numbers and booleans. `secret` says which of the two maps it is."""

    def fault(self, value: Any) -> str | None:
        fault = super().fault(value)
        if fault or not isinstance(value, dict):
            return fault
        for name, item in value.items():
            if not is_unknown(item) and not isinstance(item, str | int | float | bool):
                return f"{self.name}: {name} must be a text, a number or a boolean"
            if not self.secret and SECRET.fullmatch(name):
                return f"{self.name}: {name} is a secret: put it into `secrets`, so that it is encrypted"
        return None


class AuthSettings(Kind):
    """Import id: the project's ref. The first update after an import sets everything that is declared."""

    token = "memorygraph:supabase:AuthSettings"  # noqa: S105  the type's name
    inputs = (
        Input(name="project", replaces=True),
        _Settings(name="settings", kind=dict, required=False),
        _Settings(name="secrets", kind=dict, required=False, secret=True),
    )
    outputs = (
        Output(name="apiUrl"),
        Output(name="issuer"),
        Output(name="publishableKey"),
        Output(name="secretKey", secret=True),
    )

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        return inputs["project"], self._apply(inputs["project"], inputs, log)

    def read(self, id: str, inputs: Properties, outputs: Properties, log: Log) -> Found | None:  # noqa: ARG002  the interface
        project = find_project(self._api, id)
        if project is None:
            return None
        now = self._api.get("projects", id, "config", "auth")
        found: Properties = {**inputs, "project": id}
        if inputs.get("settings"):
            found["settings"] = {name: now.get(name) for name in inputs["settings"]}
        return Found(id, found, self._outputs(id, project))

    def update(self, id: str, old: Properties, inputs: Properties, log: Log) -> Properties:  # noqa: ARG002  the interface
        return self._apply(id, inputs, log)

    def delete(self, id: str, old: Properties, log: Log) -> None:  # noqa: ARG002  the interface
        log("the settings stay as they are; they go with the project")

    def _apply(self, ref: str, inputs: Properties, log: Log) -> Properties:
        project = find_project(self._api, ref)
        if project is None:
            raise ProviderError(f"Supabase has no project {ref}: run `pulumi up --refresh`, which makes it anew.")
        self._sign(ref, log)
        wanted = {**(inputs.get("settings") or {}), **(inputs.get("secrets") or {})}
        if wanted:
            body = {name: _whole(value) for name, value in wanted.items()}
            self._api.patch("projects", ref, "config", "auth", body=body)
        return self._outputs(ref, project)

    def _sign(self, ref: str, log: Log) -> None:
        """See that an ES256 key is in use. What an interrupted update left standing by is taken."""
        path = ("projects", ref, "config", "auth", "signing-keys")
        keys = self._api.get(*path)["keys"]
        ours = [key for key in keys if key.get("algorithm") == ALGORITHM]
        if any(key["status"] == "in_use" for key in ours):
            return
        if not keys:
            self._begin_rotation(path)
        standby = next((key for key in ours if key["status"] == "standby"), None)
        if standby is None:
            standby = self._api.post(*path, body={"algorithm": ALGORITHM, "status": "standby"})
        self._api.patch(*path, standby["id"], body={"status": "in_use"})
        log(f"tokens are signed with the {ALGORITHM} key {standby['id']} from now on")

    def _begin_rotation(self, path: tuple[str, ...]) -> None:
        """List the shared secret as a key, which older projects need first; Supabase means to take this step away."""
        try:
            self._api.post(*path, "legacy", body={})
        except ApiError as error:
            if error.status not in (400, 404, 409):
                raise

    def _outputs(self, ref: str, project: dict[str, Any]) -> Properties:
        url = str(project.get("api_url") or f"https://{ref}.supabase.co")
        return {
            "apiUrl": url,
            "issuer": f"{url}/auth/v1",
            "publishableKey": self._key(ref, "publishable"),
            "secretKey": self._key(ref, "secret"),
        }

    def _key(self, ref: str, kind: str) -> str:
        """The API key of one kind; made when an older project has none."""
        path = ("projects", ref, "api-keys")
        for makes in (True, False):
            found = [key for key in self._api.get(*path, reveal="true") if key.get("type") == kind]
            found.sort(key=lambda key: bool(key.get("name") != KEY_NAME))
            if found:
                return str(found[0]["api_key"])
            if makes:
                self._api.post(*path, body={"type": kind, "name": KEY_NAME})
        raise ProviderError(f"Supabase project {ref} has no {kind} key: make one in its dashboard, under API keys.")


def _whole(value: Any) -> Any:
    """Numbers come from the engine with a fraction, which Supabase refuses."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
