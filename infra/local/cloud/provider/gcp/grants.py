"""Google IAM: single grants on the project or a bucket, secret, account or Cloud Run service; and who may do what."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import Denied, NotFound
from infra.local.cloud.provider.gcp.names import etag, project_of, short
from infra.local.cloud.provider.gcp.projects import need_account
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.runtime.functions import Functions
from infra.local.cloud.store import Record

EVERYONE = "allUsers"
ACCESSOR = "roles/secretmanager.secretAccessor"
INVOKER = "roles/run.invoker"
ACT_AS = "roles/iam.serviceAccountUser"
OWNERS = frozenset({"roles/owner"})
COVERS = {
    "roles/logging.logWriter": frozenset({"roles/logging.admin", "roles/editor"}),
    "roles/artifactregistry.writer": frozenset(
        {"roles/artifactregistry.repoAdmin", "roles/artifactregistry.admin", "roles/editor"}
    ),
    "roles/storage.objectViewer": frozenset(
        {"roles/storage.objectUser", "roles/storage.objectAdmin", "roles/storage.admin"}
    ),
    "roles/storage.objectCreator": frozenset(
        {"roles/storage.objectUser", "roles/storage.objectAdmin", "roles/storage.admin"}
    ),
    "roles/storage.objectUser": frozenset({"roles/storage.objectAdmin", "roles/storage.admin"}),
    ACCESSOR: frozenset({"roles/secretmanager.admin"}),
    "roles/cloudtasks.enqueuer": frozenset({"roles/cloudtasks.admin", "roles/cloudtasks.editor", "roles/editor"}),
    ACT_AS: frozenset({"roles/editor"}),
}
"""Role -> roles that include it. All other roles are taken by their name alone; custom roles cover nothing."""
MEMBER = (
    r"allUsers|allAuthenticatedUsers|(user|group|serviceAccount|deleted:serviceAccount):[^@\s]+@[^@\s]+"
    r"|domain:\S+|principal(Set)?://\S+|project(Owner|Editor|Viewer):\S+"
)


class Grant(Kind):
    """One role for one member on one thing. Everything about it replaces it."""

    on: ClassVar[str]

    def check(self, checks: Checks) -> None:
        checks.required("role", "member", self.on)
        checks.text("role", r"(projects/[^/]+/|organizations/[^/]+/)?roles/[A-Za-z0-9_.]+", "expected roles/NAME")
        checks.text(
            "member",
            MEMBER,
            'invalid value for member (IAM members must have one of the values outlined here: "allUsers", '
            '"serviceAccount:EMAIL", "user:EMAIL", ...)',
        )
        if checks.get("condition") is not None:
            checks.refuse("condition", "the local cloud does not evaluate IAM conditions")

    def identify(self, args: Json) -> str | None:
        if not all(args.get(key) for key in (self.on, "role", "member")):
            return None
        return f"{self._target(args)}/{args['role']}/{args['member']}"

    def create(self, args: Json) -> Made:
        identity = self.identify(args)
        assert identity is not None
        return Made(id=identity, outputs={"etag": etag(self._target(args)), **self._extra(args)})

    def _target(self, args: Json) -> str:
        return str(args[self.on])

    def _extra(self, args: Json) -> Json:
        return {}


class SecretReading(Grant):
    """A grant by which functions may read secrets.

    Stricter than Google: deleting one that a live function needs is refused. Google deletes it, and the function dies
    at its next start; a rehearsal should show that at once.
    """

    def delete(self, record: Record) -> None:
        keep_functions_running(self.cloud, record)


class ProjectGrant(SecretReading):
    """A role on the whole project."""

    token = "gcp:projects/iAMMember:IAMMember"  # noqa: S105  a name, no secret
    on = "project"
    replaces = frozenset({"project", "role", "member", "condition"})

    def _target(self, args: Json) -> str:
        return project_of(args)


class BucketGrant(Grant):
    """A role on one bucket."""

    token = "gcp:storage/bucketIAMMember:BucketIAMMember"  # noqa: S105  a name, no secret
    on = "bucket"
    replaces = frozenset({"bucket", "role", "member", "condition"})

    def _target(self, args: Json) -> str:
        return f"b/{args['bucket']}"


class SecretGrant(SecretReading):
    """A role on one secret."""

    token = "gcp:secretmanager/secretIamMember:SecretIamMember"  # noqa: S105  a name, no secret
    on = "secretId"
    replaces = frozenset({"project", "secretId", "role", "member", "condition"})

    def create(self, args: Json) -> Made:
        name = self._target(args)
        if self.cloud.store.get("gcp:secretmanager/secret:Secret", name) is None:
            raise NotFound(
                f"Error 404: Secret [{name}] not found: name it by the `secret_id` or `id` output of its Secret, so "
                "that it is made first."
            )
        return super().create(args)

    def _target(self, args: Json) -> str:
        return f"projects/{project_of(args)}/secrets/{short(args['secretId'])}"

    def _extra(self, args: Json) -> Json:
        return {"project": project_of(args)}


class ServiceGrant(Grant):
    """A role on the Cloud Run service under a function: as run.invoker, it says who may call.

    Left out: run.invoker on the whole project.
    """

    token = "gcp:cloudrunv2/serviceIamMember:ServiceIamMember"  # noqa: S105  a name, no secret
    on = "name"
    replaces = frozenset({"project", "location", "name", "role", "member", "condition"})

    def create(self, args: Json) -> Made:
        functions = self.cloud.store.of("gcp:cloudfunctionsv2/function:Function")
        if not any(record.state["name"] == short(args["name"]) for record in functions):
            raise NotFound(
                f"Error 404: Resource '{args['name']}' of kind 'SERVICE' in region '{args.get('location')}' in project "
                f"'{project_of(args)}' does not exist: name it by the `name` output of its function."
            )
        made = super().create(args)
        if args["role"] == INVOKER:
            Functions(self.cloud).add_invoker(short(args["name"]), str(args["member"]))
        return made

    def delete(self, record: Record) -> None:
        name, member = short(record.args["name"]), str(record.args["member"])
        if record.args["role"] == INVOKER and member not in invokers(self.cloud, name, without=record):
            Functions(self.cloud).remove_invoker(name, member)

    def _target(self, args: Json) -> str:
        return f"projects/{project_of(args)}/locations/{args.get('location')}/services/{short(args['name'])}"

    def _extra(self, args: Json) -> Json:
        return {"project": project_of(args)}


class AccountGrant(Grant):
    """A role on one service account: as roles/iam.serviceAccountUser, who may have others act as it."""

    token = "gcp:serviceaccount/iAMMember:IAMMember"  # noqa: S105  a name, no secret
    on = "serviceAccountId"
    replaces = frozenset({"serviceAccountId", "role", "member", "condition"})

    def check(self, checks: Checks) -> None:
        super().check(checks)
        checks.text(
            "serviceAccountId",
            r"projects/[^/]+/serviceAccounts/[^@/]+@[^@/]+",
            "expected projects/PROJECT/serviceAccounts/EMAIL: the `name` output of the Account",
        )

    def create(self, args: Json) -> Made:
        need_account(self, short(args["serviceAccountId"]))
        return super().create(args)


def may_act_as(cloud: Cloud, address: str, account: str) -> bool:
    """Whether a service account may have requests made as another one. Nobody may as itself without a grant."""
    grants = [grant for grant in cloud.store.of(AccountGrant.token) if short(grant.args["serviceAccountId"]) == account]
    return holds(cloud, address, ACT_AS, also=grants)


def invokers(cloud: Cloud, name: str, without: Record | None = None) -> list[str]:
    """The members who may call a function."""
    return [
        str(grant.args["member"])
        for grant in cloud.store.of(ServiceGrant.token)
        if grant.args["role"] == INVOKER and short(grant.args["name"]) == name and grant != without
    ]


def holds(
    cloud: Cloud,
    address: str,
    role: str,
    *,
    bucket: str = "",
    secret: str = "",
    also: Sequence[Record] = (),
    without: Record | None = None,
) -> bool:
    """Whether a service account holds a role on the project, on the bucket or secret that is named, or by `also`."""
    enough = {role} | COVERS.get(role, frozenset()) | OWNERS
    grants = [*cloud.store.of(ProjectGrant.token), *also]
    if bucket:
        grants += [grant for grant in cloud.store.of(BucketGrant.token) if grant.args["bucket"] == bucket]
    if secret:
        grants += [grant for grant in cloud.store.of(SecretGrant.token) if short(grant.args["secretId"]) == secret]
    return any(
        grant.args["role"] in enough and grant.args["member"] in (f"serviceAccount:{address}", EVERYONE)
        for grant in grants
        if grant != without
    )


def need_secret(cloud: Cloud, function: str, address: str, secret: str, without: Record | None = None) -> None:
    """Refuse as Cloud Run does.

    Raises:
        Denied: the identity may not read the secret that the function names.
    """
    if not holds(cloud, address, ACCESSOR, secret=secret, without=without):
        raise Denied(
            f"Could not create or update Cloud Run service {function}: Permission denied on secret: {secret} for "
            f"Revision service account {address}. The service account used must be granted the 'Secret Manager "
            f"Secret Accessor' role ({ACCESSOR}) at the secret, project or higher level. Declare a "
            f"secretmanager.SecretIamMember for {secret} with member serviceAccount:{address}, and let function "
            f"{function} depend on it."
        )


def keep_functions_running(cloud: Cloud, grant: Record) -> None:
    """Refuse to delete a grant on secrets that a live function needs.

    Raises:
        Denied: naming function, secret and identity.
    """
    for function in cloud.store.of("gcp:cloudfunctionsv2/function:Function"):
        service = function.state["serviceConfig"]
        for variable in service.get("secretEnvironmentVariables") or []:
            secret, address = short(variable["secret"]), service["serviceAccountEmail"]
            needed = holds(cloud, address, ACCESSOR, secret=secret)
            if needed and not holds(cloud, address, ACCESSOR, secret=secret, without=grant):
                raise Denied(
                    f"The grant of {grant.args['role']} to {address} is still needed: function "
                    f"{function.state['name']} reads secret {secret} with it (variable {variable['key']}) and would "
                    "not start again. Google would let you; the local cloud does not. Put the grant back, or take "
                    "the secret out of the function first."
                )
