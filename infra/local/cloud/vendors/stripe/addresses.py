"""Where a webhook's address is on this machine: the names that the stack gives its Worker have no DNS here."""

from __future__ import annotations

from urllib.parse import urlsplit

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.runtime import worker
from infra.local.cloud.vendors.stripe.delivery import Resolve


def resolver(cloud: Cloud) -> Resolve:
    """An address whose host is a Worker's custom domain leads to that Worker's port; any other stays as it is."""

    def resolve(url: str) -> str:
        parts = urlsplit(url)
        hosts = {domain.args.get("hostname") for domain in cloud.store.of(worker.CUSTOM_DOMAIN)}
        edge = worker.edge_url(cloud)
        if edge is None or parts.hostname not in hosts:
            return url
        query = f"?{parts.query}" if parts.query else ""
        return f"{edge}{parts.path}{query}"

    return resolve
