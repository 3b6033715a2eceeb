"""What the handlers of this function have to work with."""

from __future__ import annotations

from dataclasses import dataclass

from billing.service import BillingService
from billing.webhooks import WebhookService
from core.ports import Clock


@dataclass(frozen=True, slots=True)
class Services:
    """One for the process; each call of a service says who asks."""

    clock: Clock
    billing: BillingService
    webhooks: WebhookService
