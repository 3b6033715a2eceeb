"""Cloudflare: the Worker that answers on api.DOMAIN, signs each request and hands it to its function.

The Worker's code knows no route, function or limit; it gets them as bindings, made from the declarations here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_cloudflare as cloudflare

from declarations import Function
from infra.components.domain import Domain
from infra.components.function import FunctionService
from infra.config import StackConfig

WORKER = Path(__file__).resolve().parents[1] / "edge" / "worker.js"
COMPATIBILITY_DATE = "2026-10-01"
PATIENCE_SECONDS = 5
"""How much longer than a function's own timeout the Worker waits for it."""


class Edge(pulumi.ComponentResource):
    """It outputs nothing."""

    def __init__(
        self,
        name: str,
        config: StackConfig,
        domain: Domain,
        services: Mapping[str, FunctionService],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("memorygraph-cloud:components:Edge", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        worker = cloudflare.WorkersScript(
            "worker",
            account_id=config.cloudflare_account_id,
            script_name=f"{config.name}-edge",
            main_module=WORKER.name,
            content=WORKER.read_text(encoding="utf-8"),
            compatibility_date=COMPATIBILITY_DATE,
            bindings=_bindings(services),
            opts=child,
        )
        cloudflare.WorkersScriptSubdomain(
            "no-workers-dev",  # one public address, not two
            account_id=config.cloudflare_account_id,
            script_name=worker.script_name,
            enabled=False,
            previews_enabled=False,
            opts=child,
        )
        cloudflare.WorkersCustomDomain(
            "api-domain",
            account_id=config.cloudflare_account_id,
            hostname=config.api_host,
            service=worker.script_name,
            zone_id=domain.id,
            # Cloudflare has one owner for a host name: the new one can come only after the old one has gone.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.register_outputs({})


def routes(functions: Sequence[Function]) -> str:
    """JSON text: [[method, path, function], ...] in declared order; the first match wins."""
    table = [[route.method, route.path, function.name] for function in functions for route in function.routes]
    return json.dumps(table, separators=(",", ":"))  # a variable of a Worker holds 5 KB


def secret_name(function: str) -> str:
    """The Worker's binding with the secret that signs requests to one function."""
    return f"EDGE_SECRET_{function.upper().replace('-', '_')}"


def _bindings(services: Mapping[str, FunctionService]) -> list[cloudflare.WorkersScriptBindingArgs]:
    functions = [service.function for service in services.values()]
    timeout = max(function.sizing.timeout_seconds for function in functions) + PATIENCE_SECONDS
    origins = pulumi.Output.all(**{name: service.url for name, service in services.items()})
    plain: dict[str, pulumi.Input[str]] = {
        "ROUTES": routes(functions),
        "ORIGINS": origins.apply(lambda urls: json.dumps(urls, sort_keys=True)),
        "TIMEOUT_SECONDS": str(timeout),
    }
    return [
        *(cloudflare.WorkersScriptBindingArgs(type="plain_text", name=name, text=text) for name, text in plain.items()),
        *(
            cloudflare.WorkersScriptBindingArgs(type="secret_text", name=secret_name(name), text=service.edge_secret)
            for name, service in services.items()
        ),
    ]
