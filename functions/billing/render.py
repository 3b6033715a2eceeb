"""Domain -> wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from billing.model import Checkout
from memories.render import iso

if TYPE_CHECKING:
    from billing import answers


def checkout_body(page: Checkout) -> answers.CheckoutBody:
    """POST /billing/checkout."""
    return {"id": page.id, "url": page.url, "expires_at": iso(page.expires_at)}
