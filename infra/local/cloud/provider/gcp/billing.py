"""Google Cloud Billing: budgets. They tell and cap nothing, here as there; no money is spent here."""

from __future__ import annotations

import uuid
from typing import ClassVar

from infra.local.cloud.cloud import PROJECT, PROJECT_NUMBER
from infra.local.cloud.errors import Denied
from infra.local.cloud.provider.gcp.monitoring import need_channels
from infra.local.cloud.provider.gcp.projects import need_api
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

ACCOUNT = "000000-000000-000000"
CURRENCY = "USD"
"""What the local cloud's billing account is charged in."""


class Budget(Kind):
    """A budget of the local billing account. Left out: custom periods, Pub/Sub topics, filters but by project."""

    token = "gcp:billing/budget:Budget"  # noqa: S105  a name, no secret
    replaces = frozenset({"billingAccount"})
    defaults: ClassVar[Json] = {"ownershipScope": "OWNERSHIP_SCOPE_UNSPECIFIED", "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("billingAccount", "amount")
        checks.text(
            "billingAccount",
            r"(billingAccounts/)?[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}",
            "Request contains an invalid argument: expected the ID of a billing account, 0A1B2C-3D4E5F-6A7B8C",
        )
        if len(str(checks.get("displayName") or "")) > 60:
            checks.refuse("displayName", "display_name must be at most 60 characters")
        self._check_amount(checks)
        for place, rule in enumerate(checks.get("thresholdRules") or ()):
            share = rule.get("thresholdPercent")
            if not isinstance(share, int | float) or not 0 < share <= 10:
                checks.refuse(
                    f"thresholdRules[{place}].thresholdPercent", f"{share!r}: a share of the amount, 0.9 for 90%"
                )
        for place, project in enumerate(checks.get("budgetFilter.projects") or ()):
            if project == f"projects/{PROJECT}":
                checks.refuse(
                    f"budgetFilter.projects[{place}]",
                    f"{project}: Google answers with the project's number, and every later preview shows a change; "
                    f"name it by number, projects/{PROJECT_NUMBER}",
                )
            elif project != f"projects/{PROJECT_NUMBER}":
                checks.refuse(f"budgetFilter.projects[{place}]", f"{project}: there is no such project in this account")

    @staticmethod
    def _check_amount(checks: Checks) -> None:
        if checks.inputs.get("amount") is None or checks.get("amount") is None:
            return
        amounts = [key for key in ("specifiedAmount", "lastPeriodAmount") if checks.get(f"amount.{key}") is not None]
        if len(amounts) != 1:
            checks.refuse("amount", "exactly one of `specified_amount, last_period_amount` must be specified")
        checks.text("amount.specifiedAmount.units", r"\d{1,12}", "whole units of the currency, as text")
        currency = checks.get("amount.specifiedAmount.currencyCode")
        if currency not in (None, CURRENCY):
            checks.refuse(
                "amount.specifiedAmount.currencyCode",
                f"{currency}: Request contains an invalid argument: the currency must be the billing account's "
                f"({CURRENCY}): leave it out, and it is",
            )

    def create(self, args: Json) -> Made:
        need_api(self, "billingbudgets.googleapis.com", "Cloud Billing Budget")
        if str(args["billingAccount"]).rpartition("/")[2] != ACCOUNT:
            raise Denied(
                f"Error 403: The caller does not have permission on billing account {args['billingAccount']}: the "
                f"local cloud has only {ACCOUNT}. On Google, whoever runs `pulumi up` needs roles/billing.costsManager "
                "on the account; a person's own credentials need gcp:userProjectOverride and gcp:billingProject as "
                "well."
            )
        return self._made(str(uuid.uuid4()), args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(record.id.rpartition("/")[2], args)

    def _made(self, name: str, args: Json) -> Made:
        need_channels(self.cloud, (args.get("allUpdatesRule") or {}).get("monitoringNotificationChannels") or ())
        return Made(id=f"billingAccounts/{ACCOUNT}/budgets/{name}", outputs={"name": name})
