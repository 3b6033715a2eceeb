"""Google: APIs of the project and service accounts."""

# ruff: noqa: ARG002  a kind is given more than each one needs

from __future__ import annotations

import uuid
from typing import ClassVar

from infra.local.cloud.errors import CloudError
from infra.local.cloud.provider.gcp.names import email, project_of
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

BOOTSTRAPPED = frozenset({"iam.googleapis.com", "logging.googleapis.com", "storage.googleapis.com"})
"""Switched on in every new project, or by the operator's bootstrap; all others must be declared before they are
used."""


class Service(Kind):
    """An API of the project. It is on as soon as it is declared; Google takes a while."""

    token = "gcp:projects/service:Service"  # noqa: S105  a name, no secret
    replaces = frozenset({"service", "project"})
    defaults: ClassVar[Json] = {"disableOnDestroy": False, "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("service")
        checks.text(
            "service", r"[a-z0-9.-]+\.(googleapis\.com|cloud\.goog)", "expected a service such as run.googleapis.com"
        )

    def identify(self, args: Json) -> str:
        return f"{project_of(args)}/{args.get('service')}"

    def create(self, args: Json) -> Made:
        return Made(id=self.identify(args), outputs={"project": project_of(args)})


def need_api(kind: Kind, api: str, title: str) -> None:
    """Refuse as Google does while an API is off.

    Raises:
        CloudError: SERVICE_DISABLED.
    """
    if api in BOOTSTRAPPED or any(record.state["service"] == api for record in kind.cloud.store.of(Service.token)):
        return
    raise CloudError(
        f"Error 403: {title} API has not been used in this project before or it is disabled (SERVICE_DISABLED). "
        f"Declare gcp.projects.Service for {api}, and let this resource depend on it."
    )


class Account(Kind):
    """A service account."""

    token = "gcp:serviceaccount/account:Account"  # noqa: S105  a name, no secret
    replaces = frozenset({"accountId", "project"})
    defaults: ClassVar[Json] = {"disabled": False, "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("accountId")
        checks.text(
            "accountId",
            r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])",
            "account_id must be 6 to 30 lower-case letters, digits and dashes, start with a letter and end without a "
            "dash "
            '("account_id" doesn\'t match regexp "^[a-z](?:[-a-z0-9]{4,28}[a-z0-9])$")',
        )
        display = checks.get("displayName")
        if display is not None and len(str(display)) > 100:
            checks.refuse("displayName", "display_name must be at most 100 characters")

    def identify(self, args: Json) -> str:
        return f"projects/{project_of(args)}/serviceAccounts/{email(args['accountId'])}" if "accountId" in args else ""

    def create(self, args: Json) -> Made:
        address = email(args["accountId"])
        return Made(
            id=self.identify(args),
            outputs={
                "email": address,
                "member": f"serviceAccount:{address}",
                "name": self.identify(args),
                "project": project_of(args),
                "uniqueId": str(uuid.uuid4().int)[:21],
            },
        )

    def update(self, record: Record, args: Json) -> Made:
        return Made(id=record.id)


def need_account(kind: Kind, address: str) -> None:
    """Refuse as Google does when a service account does not exist.

    Raises:
        CloudError: naming it.
    """
    if not any(record.state["email"] == address for record in kind.cloud.store.of(Account.token)):
        raise CloudError(
            f"Error 400: Service account {address} does not exist. Declare gcp.serviceaccount.Account for it and use "
            "its `email` output, so that it is made first."
        )
