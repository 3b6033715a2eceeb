"""The local cloud's half of the guard against the wrong cloud, and the functions by which the program knows it.

A stack for a real project or with a real token is refused before anything is declared: someone attached the local cloud
to it by mistake.
"""

from __future__ import annotations

from infra.cloud import LOCAL_ACCESS_TOKEN, LOCAL_RANGES
from infra.local.cloud.cloud import PROJECT
from infra.local.cloud.errors import CloudError
from infra.local.cloud.provider.wire import UNKNOWN, Json

EXPECTED = {
    "gcp": {"project": PROJECT},
    "cloudflare": {"apiToken": "local"},
    "upstash": {"email": "local@localhost", "apiKey": "local"},
}
SECRET_KEYS = frozenset({"apiToken", "apiKey"})
DEFAULT_REGION = "us-east4"


def package_of(urn: str) -> str:
    """`gcp` from the URN of a provider (`...::pulumi:providers:gcp::name`)."""
    return urn.split("::")[2].rpartition(":")[2]


def refusals(package: str, config: Json) -> dict[str, str]:
    """Property -> why this provider configuration is not for the local cloud."""
    if package not in EXPECTED:
        return {"": f"The local cloud serves {', '.join(EXPECTED)}; it is attached as {package!r}."}
    found = {}
    for key, expected in EXPECTED[package].items():
        value = config.get(key)
        if value not in (expected, UNKNOWN):
            shown = "something else" if key in SECRET_KEYS or value is None else repr(value)
            found[key] = (
                f"This is the local cloud, which takes only {package}:{key} = {expected!r}, but the stack gives "
                f"{shown}. If the stack is for the real cloud, unset PULUMI_DEBUG_PROVIDERS; otherwise select the "
                "local stack. Nothing was changed."
            )
    return found


def invoke(token: str, config: Json) -> Json:
    """Answer a function call of the program. `config` is Google's provider configuration.

    Raises:
        CloudError: the function is not known here.
    """
    if token == "gcp:organizations/getClientConfig:getClientConfig":  # noqa: S105  a name, no secret
        region = config.get("region") or DEFAULT_REGION
        return {
            "id": f"projects/{PROJECT}/regions/{region}/zones/",
            "project": PROJECT,
            "region": region,
            "zone": config.get("zone") or "",
            "accessToken": LOCAL_ACCESS_TOKEN,
            "defaultLabels": {},
        }
    if token == "cloudflare:index/getIpRanges:getIpRanges":  # noqa: S105  a name, no secret
        return {
            "etag": "local",
            "ipv4Cidrs": list(LOCAL_RANGES),
            "ipv6Cidrs": [],
            "jdcloudCidrs": [],
        }
    raise CloudError(
        f"The local cloud does not know the function {token}. Add it to infra/local/cloud/provider/attach.py."
    )
