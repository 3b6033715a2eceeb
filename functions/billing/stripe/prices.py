"""The ids of prices, which Stripe makes, by the lookup keys, which we declare."""

from __future__ import annotations

from billing.stripe.calls import Calls
from billing.stripe.reading import understood
from core.logs import LOGGER
from core.problems import Internal
from declarations import Plan


async def price_of(calls: Calls, plan: Plan) -> str:
    """The price for which the plan is sold now.

    Raises:
        Internal: Stripe has none of that name; the operator is told.
    """
    name = plan.lookup_key
    found = await calls.ask(
        lambda stripe: stripe.v1.prices.list_async({"lookup_keys": [name], "active": True, "limit": 1})
    )
    with understood():
        if found["data"]:
            return str(found["data"][0]["id"])
    LOGGER.critical("Stripe has no active price with the lookup key %s: run `pulumi up`, which makes it.", name)
    raise Internal("This plan cannot be bought at the moment, by a fault on our side. We are told; try again later.")
