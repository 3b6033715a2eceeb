"""A test bed that stands in for Stripe: `stripe.StripeClient(key, base_addresses={"api": url})` works against it.

Version 2026-10-28.endive of the API, as far as subscriptions need it: products, prices, customers, cards, Checkout,
subscriptions with their items and schedules, invoices, charges, refunds, disputes, the customer portal, events and
signed webhooks; idempotency keys, `expand`, pages of lists, errors in Stripe's form. Pages for a person to pay at.
Time is this machine's until somebody moves it on; that, failures on request and what a bank or the dashboard would do
are under `/_local` (controls.py, disturbances.py), which Stripe does not have. The key is the word `local`.

What Stripe knows and this does not is refused with a sentence that says so, never passed over.

Simpler than Stripe: a renewal's invoice is final and charged at once instead of after an hour; a failed payment is
tried again after 3, 5 and 7 days, then the subscription ends (settings: controls.py); refused deliveries are tried
again within seconds; amounts carry no tax, fee or discount; intervals are counted from the anchor in UTC.

Left out: other modes of Checkout than `subscription`, other ways to pay than cards, 3-D Secure and setup intents,
promotion codes and coupons, tax, invoice items made by hand, previews, `pending_if_incomplete`, metered prices and
tiers, search, Connect, test clocks, restricted keys, limits on rate that nobody asked for, the API's version 2.
"""
