"""Cloudflare Workers: a script, its workers.dev address (which is off), and the hostname that leads to it."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, ClassVar

from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.provider.cloudflare.zones import DOMAIN, Zone
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.runtime.worker import CUSTOM_DOMAIN, SCRIPT, Code, Workers
from infra.local.cloud.store import Record

MADE = "2026-01-01T00:00:00Z"
SCRIPT_NAME = r"[a-z0-9_][a-z0-9_-]{0,62}"
BINDINGS = {"plain_text": "text", "secret_text": "text", "json": "json"}
LARGEST_TEXT_BYTES = 5 << 10  # Cloudflare's limit for one variable
LARGEST_SCRIPT_BYTES = 3 << 20  # of the free plan, compressed there


class Script(Kind):
    """A Worker written as an ES module."""

    token = SCRIPT
    replaces = frozenset({"accountId", "scriptName"})

    def check(self, checks: Checks) -> None:
        checks.required("accountId", "scriptName", "mainModule")
        checks.text(
            "scriptName", SCRIPT_NAME, "a script name has 1 to 63 lower-case letters, digits, dashes, underscores"
        )
        checks.text("compatibilityDate", r"\d{4}-\d{2}-\d{2}", "expected a date such as 2026-10-01")
        sources = [key for key in ("content", "contentFile") if key in checks.inputs]
        if len(sources) != 1:
            checks.refuse("content", "exactly one of `content`, `content_file` must be specified")
        if "contentFile" in checks.inputs:
            checks.required("contentSha256")
        content = checks.get("content")
        if content is not None and len(str(content).encode()) > LARGEST_SCRIPT_BYTES:
            checks.refuse("content", "Your Worker exceeded the size limit of 3 MiB")
        bindings = checks.get("bindings")
        for number, binding in enumerate(bindings if isinstance(bindings, list) else []):
            _check_binding(checks, f"bindings[{number}]", binding)
        names = [item.get("name") for item in bindings or [] if isinstance(item, dict)]
        for name in {name for name in names if names.count(name) > 1}:
            checks.refuse("bindings", f"Binding name '{name}' already in use")

    def identify(self, args: Json) -> str | None:
        name = args.get("scriptName")
        return str(name) if name else None

    def create(self, args: Json) -> Made:
        return self._deploy(args)

    def update(self, record: Record, args: Json) -> Made:
        return self._deploy(args)

    def delete(self, record: Record) -> None:
        Workers(self.cloud).delete(record.id)

    async def bring_back(self, record: Record) -> None:
        Workers(self.cloud).bring_back(_code(record.args))

    def _deploy(self, args: Json) -> Made:
        code = _code(args)
        Workers(self.cloud).deploy(code)
        return Made(
            id=code.name,
            outputs={
                "etag": hashlib.sha256(code.content.encode()).hexdigest(),
                "handlers": ["fetch"],
                "hasAssets": False,
                "hasModules": True,
                "createdOn": MADE,
                "modifiedOn": MADE,
                "startupTimeMs": 1,
                "usageModel": "standard",
                "compatibilityFlags": list(code.compatibility_flags),
            },
        )


class ScriptSubdomain(Kind):
    """Whether a script answers on workers.dev too. It never does here; the setting is only kept."""

    token = "cloudflare:index/workersScriptSubdomain:WorkersScriptSubdomain"  # noqa: S105  a name, no secret
    replaces = frozenset({"accountId", "scriptName"})
    defaults: ClassVar[Json] = {"previewsEnabled": False}

    def check(self, checks: Checks) -> None:
        checks.required("accountId", "scriptName", "enabled")

    def identify(self, args: Json) -> str | None:
        name = args.get("scriptName")
        return str(name) if name else None

    def create(self, args: Json) -> Made:
        _need_script(self, str(args["scriptName"]))
        return Made(id=str(args["scriptName"]))


class CustomDomain(Kind):
    """The hostname of a script: from now on GET /addresses names the script's address."""

    token = CUSTOM_DOMAIN
    replaces = frozenset({"accountId", "hostname", "service", "environment", "zoneId", "zoneName"})
    defaults: ClassVar[Json] = {"environment": "production"}

    def check(self, checks: Checks) -> None:
        checks.required("accountId", "hostname", "service")
        checks.text("hostname", DOMAIN, "not a valid hostname; expected one such as api.example.com, in lower case")
        if not checks.inputs.get("zoneId") and not checks.inputs.get("zoneName"):
            checks.refuse("zoneId", "one of `zone_id`, `zone_name` must be specified")

    def identify(self, args: Json) -> str | None:
        hostname = args.get("hostname")
        return hashlib.md5(str(hostname).encode(), usedforsecurity=False).hexdigest() if hostname else None

    def taken(self, args: Json) -> str:
        return (
            f"Error 100117: Hostname '{args['hostname']}' already has externally managed DNS records: it leads to "
            "another script; remove that first."
        )

    def create(self, args: Json) -> Made:
        return self._connect(args)

    def update(self, record: Record, args: Json) -> Made:
        return self._connect(args)

    def _connect(self, args: Json) -> Made:
        hostname, service = str(args["hostname"]), str(args["service"])
        _need_script(self, service)
        zone = self._zone(args)
        if hostname != zone.args["name"] and not hostname.endswith(f".{zone.args['name']}"):
            raise CloudError(f"Error 100116: {hostname} is not in the zone {zone.args['name']}.")
        digest = str(self.identify(args))
        return Made(id=digest, outputs={"certId": digest, "zoneId": zone.id, "zoneName": zone.args["name"]})

    def _zone(self, args: Json) -> Record:
        for record in self.cloud.store.of(Zone.token):
            if (
                args.get("zoneId", record.id) == record.id
                and args.get("zoneName", record.args["name"]) == record.args["name"]
            ):
                return record
        raise NotFound(
            f"Error 7003: no zone {args.get('zoneId') or args.get('zoneName')}: use the `id` output of a Zone."
        )


def _need_script(kind: Kind, name: str) -> None:
    if kind.cloud.store.get(Script.token, name) is None:
        raise NotFound(
            f"Error 10007: This Worker does not exist on your account: {name}. Name it by the `script_name` output "
            "of its WorkersScript, so that it is made first."
        )


def _code(args: Json) -> Code:
    return Code(
        name=str(args["scriptName"]),
        module=str(args["mainModule"]),
        content=_content(args),
        compatibility_date=str(args.get("compatibilityDate") or "2026-01-01"),
        compatibility_flags=tuple(args.get("compatibilityFlags") or ()),
        bindings=tuple(args.get("bindings") or ()),
    )


def _content(args: Json) -> str:
    if "content" in args:
        return str(args["content"])
    path = Path(str(args["contentFile"]))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CloudError(f"Reading the script {path} failed: {error.strerror}.") from None
    if hashlib.sha256(content).hexdigest() != args["contentSha256"]:
        raise CloudError(f"content_sha256 does not match {path}: compute it from the file, and run the command again.")
    return content.decode()


def _check_binding(checks: Checks, path: str, binding: Any) -> None:
    kind = binding.get("type") if isinstance(binding, dict) else None
    if kind not in BINDINGS:
        checks.refuse(path, f"{kind!r}: the local cloud has the binding types {', '.join(BINDINGS)}")
        return
    name, key = binding.get("name"), BINDINGS[kind]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", name):
        checks.refuse(path, f"{name!r}: a binding name must be a valid JavaScript identifier")
    elif not isinstance(binding.get(key), str):
        checks.refuse(path, f"{name}: a {kind} binding needs `{key}`, a text")
    elif len(binding[key].encode()) > LARGEST_TEXT_BYTES:
        checks.refuse(path, f"{name}: Text binding is too large: at most 5 KiB")
