"""The configuration of the stack `local`: what an operator would set with `pulumi config set`, for the local cloud.

Its credentials are the word "local", which opens nothing anywhere (infra/config/), so they stand in plain text. Only
the password of its mail server opens something: that server, on this machine. The file lies in LOCAL_ROOT;
PULUMI_OPTION_CONFIG_FILE points Pulumi at it. Pulumi itself adds the line `encryptionsalt`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping

from infra.local.places import Places, make_private, write_private
from infra.local.trouble import Trouble

STACK = "local"

LOCAL_CONFIG: Mapping[str, str] = {
    "cloud": "local",
    "domain": "memorygraph.localhost",
    "cloudflareAccountId": "local",
    "supabaseOrganization": "local",
    "tursoOrganization": "local",
    "gcp:project": "memorygraph-local",
    "gcp:region": "us-east4",
    "cloudflare:apiToken": "local",
    "upstash:email": "local@localhost",
    "upstash:apiKey": "local",
    "memorygraph:supabaseToken": "local",
    "memorygraph:tursoToken": "local",
    "memorygraph:stripeToken": "local",
    "operatorEmail": "operator@memorygraph.localhost",
    "billingAccount": "000000-000000-000000",
    "githubRepositoryId": "123456789",
}
"""Key -> value; a key without a namespace is the project's. `ADDRESSES` are added at each start."""

ADDRESSES: Mapping[str, str] = {
    "memorygraph:supabaseApi": "supabase_api",
    "memorygraph:tursoApi": "turso_api",
    "memorygraph:stripeApi": "stripe_api",
    "googleApi": "google_api",
    "smtpHost": "smtp_host",
    "smtpPort": "smtp_port",
    "smtpUser": "smtp_user",
    "smtpPassword": "smtp_password",
}
"""Key -> what the daemon calls it."""


def project(places: Places) -> str:
    """The project's name, from Pulumi.yaml."""
    match = re.search(r"^name:\s*([\w.-]+)\s*$", (places.repo / "Pulumi.yaml").read_text(), re.MULTILINE)
    if match is None:
        raise Trouble("Pulumi.yaml has no `name`. Restore it (git checkout Pulumi.yaml).")
    return match[1]


def config(places: Places, addresses: Mapping[str, str | None]) -> dict[str, str]:
    """The whole configuration by full key. `addresses` is what the daemon answers to GET /addresses."""
    values = {**LOCAL_CONFIG}
    for key, address in ADDRESSES.items():
        value = addresses.get(address)
        if not value:
            raise Trouble(f"The local cloud does not say where it serves {address}. See `make logs`.")
        values[key] = value
    if places.rotation.exists():
        values["rotation"] = places.rotation.read_text()
    name = project(places)
    return {key if ":" in key else f"{name}:{key}": value for key, value in values.items()}


def write(places: Places, values: Mapping[str, str]) -> None:
    """Write Pulumi.local.yaml, keeping what else Pulumi has put there; and, once, the passphrase of the state."""
    head = _foreign_lines(places.stack_config.read_text()) if places.stack_config.exists() else []
    lines = [f"  {key}: {json.dumps(value)}" for key, value in sorted(values.items())]
    write_private(places.stack_config, "\n".join([*head, "config:", *lines, ""]))
    if not places.passphrase.exists():
        write_private(places.passphrase, secrets.token_urlsafe(32) + "\n")
    for folder in (places.state, places.home):
        make_private(folder)


def _foreign_lines(text: str) -> list[str]:
    """The top-level entries but `config`, e.g. `encryptionsalt`."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line and not line[0].isspace():
            inside = line.startswith("config:")
        if line.strip() and not inside:
            kept.append(line)
    return kept
