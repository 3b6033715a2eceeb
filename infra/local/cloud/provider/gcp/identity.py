"""Google IAM: workload identity pools and their providers, by which another issuer's tokens are believed.

Nobody's token is exchanged here: what is rehearsed is what Google refuses of a declaration.
"""

from __future__ import annotations

import re
import time
from typing import ClassVar

from infra.local.cloud.cloud import PROJECT_NUMBER
from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.provider.gcp.names import project_of
from infra.local.cloud.provider.gcp.projects import need_api
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

DELETED = "google_deleted_pools"
HELD_SECONDS = 30 * 86400
GITHUB = "https://token.actions.githubusercontent.com"
ID = r"(?!gcp-)[a-z0-9-]{4,32}"
DISPLAY_MOST, DESCRIPTION_MOST, CONDITION_MOST, MAPPINGS_MOST = 32, 256, 4096, 50
# Source: https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers


class _Held(Kind):
    """Deleted, its id stays taken for 30 days."""

    defaults: ClassVar[Json] = {"disabled": False, "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        for path, most in (("displayName", DISPLAY_MOST), ("description", DESCRIPTION_MOST)):
            if len(str(checks.get(path) or "")) > most:
                checks.refuse(path, f"{path} must be at most {most} characters")

    def create(self, args: Json) -> Made:
        need_api(self, "iam.googleapis.com", "Identity and Access Management (IAM)")
        identity = self.identify(args)
        assert identity is not None
        deleted = self.cloud.store.section(DELETED).get(identity)
        if deleted is not None and time.time() - deleted < HELD_SECONDS:
            raise CloudError(
                f"Error 409: Requested entity already exists: {identity}. It was deleted less than 30 days ago, and "
                "its id is held for so long. Give it another id, or undelete it (gcloud iam workload-identity-pools "
                "undelete, or providers undelete) and import it."
            )
        return self._made(identity, args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(record.id, args)

    def delete(self, record: Record) -> None:
        self.cloud.store.edit(DELETED, lambda section: section.update({record.id: int(time.time())}))

    def _made(self, identity: str, args: Json) -> Made:
        name = identity.replace(f"projects/{project_of(args)}/", f"projects/{PROJECT_NUMBER}/", 1)
        return Made(id=identity, outputs={"name": name, "project": project_of(args), "state": "ACTIVE"})


class Pool(_Held):
    """A pool. Left out: managed identities of workloads on Google (`mode`)."""

    token = "gcp:iam/workloadIdentityPool:WorkloadIdentityPool"  # noqa: S105  a name, no secret
    replaces = frozenset({"workloadIdentityPoolId", "project", "mode"})

    def check(self, checks: Checks) -> None:
        super().check(checks)
        checks.required("workloadIdentityPoolId")
        checks.text("workloadIdentityPoolId", ID, "4 to 32 of [a-z0-9-]; the prefix gcp- is Google's own")
        if checks.get("mode") not in (None, "FEDERATION_ONLY"):
            checks.refuse("mode", "the local cloud federates only")

    def identify(self, args: Json) -> str | None:
        pool = args.get("workloadIdentityPoolId")
        return f"projects/{project_of(args)}/locations/global/workloadIdentityPools/{pool}" if pool else None


class PoolProvider(_Held):
    """An issuer that a pool believes. Left out: AWS, SAML, X.509; and CEL, of which only the claims' names are read."""

    token = "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"  # noqa: S105  a name, no secret
    replaces = frozenset({"workloadIdentityPoolId", "workloadIdentityPoolProviderId", "project"})

    def check(self, checks: Checks) -> None:
        super().check(checks)
        checks.required("workloadIdentityPoolId", "workloadIdentityPoolProviderId")
        checks.text("workloadIdentityPoolProviderId", ID, "4 to 32 of [a-z0-9-]; the prefix gcp- is Google's own")
        for other in ("aws", "saml", "x509"):
            if checks.get(other) is not None:
                checks.refuse(other, "the local cloud has OIDC only")
        checks.required("oidc")
        checks.text("oidc.issuerUri", r"https://[^\s?#]+", "an issuer begins with https:// and has no query")
        self._check_mapping(checks)
        self._check_condition(checks)

    @staticmethod
    def _check_mapping(checks: Checks) -> None:
        mapping = checks.get("attributeMapping")
        if mapping is None:
            if "attributeMapping" not in checks.inputs:
                checks.refuse("attributeMapping", "An OIDC provider must map google.subject (for GitHub assertion.sub)")
            return
        if not mapping.get("google.subject"):
            checks.refuse("attributeMapping", "must map google.subject (for GitHub assertion.sub)")
        if len(mapping) > MAPPINGS_MOST:
            checks.refuse("attributeMapping", f"{len(mapping)} attributes: at most {MAPPINGS_MOST}")
        for name in mapping:
            if name not in ("google.subject", "google.groups") and not re.fullmatch(
                r"attribute\.[a-z0-9_]{1,100}", name
            ):
                checks.refuse(f"attributeMapping.{name}", "expected google.subject, google.groups or attribute.NAME")

    @staticmethod
    def _check_condition(checks: Checks) -> None:
        if checks.get("oidc.issuerUri") != GITHUB:
            return
        condition = checks.get("attributeCondition")
        if condition is None and checks.inputs.get("attributeCondition") is not None:
            return  # not known yet
        if not condition or "assertion." not in str(condition):
            checks.refuse(
                "attributeCondition",
                "Error 400: The attribute condition must reference one of the provider's claims: GitHub's issuer is "
                "everybody's, so say which repository (assertion.repository_id == 'NUMBER' && ...)",
            )
        elif len(str(condition)) > CONDITION_MOST:
            checks.refuse("attributeCondition", f"at most {CONDITION_MOST} characters")

    def identify(self, args: Json) -> str | None:
        pool, provider = args.get("workloadIdentityPoolId"), args.get("workloadIdentityPoolProviderId")
        if not pool or not provider:
            return None
        return f"projects/{project_of(args)}/locations/global/workloadIdentityPools/{pool}/providers/{provider}"

    def create(self, args: Json) -> Made:
        identity = self.identify(args)
        assert identity is not None
        if self.cloud.store.get(Pool.token, identity.partition("/providers/")[0]) is None:
            raise NotFound(
                f"Error 404: Requested entity was not found: pool {args['workloadIdentityPoolId']}. Name it by the "
                "`workload_identity_pool_id` output of the pool, so that it is made first."
            )
        return super().create(args)
