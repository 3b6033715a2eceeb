"""The guard against the wrong cloud: a stack for the real cloud never meets the local one, nor the other way round.

The stack says `cloud: local` or `cloud: real`; the providers that are attached say, by what they answer, which cloud
they are. The local cloud has its own half of this guard: it refuses a project or a token that is not its own.
"""

from __future__ import annotations

import pulumi

from infra.config import Cloud

LOCAL_PROJECT = "memorygraph-local"
LOCAL_ACCESS_TOKEN = "local-cloud"  # noqa: S105  a public marker: the answer by which the local cloud is known
LOCAL_RANGES = ("127.0.0.0/8",)


class WrongCloud(pulumi.RunError):
    """The stack and the attached providers disagree; nothing was declared."""


def check(cloud: Cloud) -> None:
    """Ask Google's and Cloudflare's providers where they are. Call before the first resource is declared.

    Raises:
        WrongCloud: one of them is not in the cloud that the stack is for.
    """
    # Imported here: the daemon of the local cloud reads the constants above, and these two take seconds to import.
    import pulumi_cloudflare as cloudflare
    import pulumi_gcp as gcp

    client = gcp.organizations.get_client_config()
    ranges = cloudflare.get_ip_ranges()
    local = {
        "gcp": client.access_token == LOCAL_ACCESS_TOKEN,
        "cloudflare": tuple(ranges.ipv4_cidrs or ()) == LOCAL_RANGES,
    }
    wrong = [name for name, is_local in local.items() if is_local is not (cloud is Cloud.LOCAL)]
    if not wrong:
        return
    names = " and ".join(wrong)
    if cloud is Cloud.REAL:
        raise WrongCloud(
            f"This stack is for the real cloud, but the {names} provider is the local one: unset "
            "PULUMI_DEBUG_PROVIDERS, or select the local stack. Nothing was changed."
        )
    raise WrongCloud(
        f"This stack is for the local cloud, but the {names} provider reaches the real one: start the local cloud "
        "with `make up` and use its environment, .local/pulumi.env. Nothing was changed."
    )
