"""What the fields of the billing function mean, where the words of the others do not say it."""

FIELDS = {
    "cancel_at": "When the subscription ends; null: it goes on.",
    "Billing.customer": "Whether it has ever bought something, so that there is a portal to open.",
    "disputed": "Whether a bank is asking a payment back.",
    "grace_until": "A payment is due, and until then the plan goes on; null: nothing is due.",
    "Billing.members": "How many people are in it.",
    "move": "Whether its memories are on the way to where the plan keeps them.",
    "next_at": "When the next plan begins; null: the plan goes on.",
    "next_plan": "What comes when the period ends; null: the same.",
    "Billing.note": "What the change means for others in the workspace.",
    "Move.note": "Why they stay where they are, or null.",
    "period_end": "Until when it is paid for; null: nothing is.",
    "price_usd": "Dollars a month; of a plan that is paid by seat, for each.",
    "received": "True.",
    "Billing.seats": "How many people are paid for; where nothing is, how many there are.",
    "CheckoutOpen.seats": "Of a plan that is paid by seat: how many people are in the workspace, as you know it. It is "
    "refused when it is not so. Absent: as many as there are.",
    "Move.state": "`none`; `waiting`; `moving`; `stays`: they do not fit, and `note` says what that means.",
    "Billing.status": "Of the subscription, by Stripe's names, such as `active` or `past_due`; null: there is none.",
    "subscription": "Whether the plan is paid for.",
    "Move.to": "Where they move: `postgres` or `sqlite`.",
    "CheckoutOpen.plan": "The plan to buy.",
    "PlanChange.plan": "The plan to have.",
    "url": "The address of the page.",
}
