"""Names and labels as Google makes them, used by several kinds."""

from __future__ import annotations

import hashlib

from infra.local.cloud.cloud import PROJECT
from infra.local.cloud.errors import CloudError
from infra.local.cloud.provider.wire import Json

DEFAULT_COMPUTE = "100000000001-compute@developer.gserviceaccount.com"
"""The account that Google takes when none is named. It has no role in a new organization, so nothing works with it."""


def project_of(args: Json) -> str:
    """The project of a resource: its own, else the provider's.

    Raises:
        CloudError: it is not the local cloud's.
    """
    project = str(args.get("project") or PROJECT)
    if project != PROJECT:
        raise CloudError(f"Permission denied on resource project {project}: the local cloud has only {PROJECT}.")
    return project


def email(account_id: str) -> str:
    return f"{account_id}@{PROJECT}.iam.gserviceaccount.com"


def short(reference: str) -> str:
    """The last part of a resource name: `s` of `projects/p/secrets/s`, and of `s`."""
    return reference.rpartition("/")[2]


def labels(args: Json) -> Json:
    """What Google shows beside `labels`."""
    effective = {"goog-pulumi-provisioned": "true", **(args.get("labels") or {})}
    return {"pulumiLabels": effective, "effectiveLabels": effective}


def etag(*parts: object) -> str:
    """A stable opaque text."""
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:12]
