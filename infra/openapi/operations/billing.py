"""What each handler of `declarations.BILLING` takes and answers, in its order."""

from __future__ import annotations

from billing import answers, schemas
from core.problems import Conflict, Forbidden, Invalid, NotFound, PaymentRequired, TooManyRequests
from infra.openapi.examples import billing as examples
from infra.openapi.operation import Answer, Operation, Tag

_OWNER = "You do not own the workspace, it was an API key that asked, or no plans are sold here."
_PAYS = "It pays for no plan"
_NOW = Answer(text="What it has and pays for now.", body=answers.BillingBody, example=examples.BILLING)

OPERATIONS: dict[str, Operation] = {
    "read_billing": Operation(
        tag=Tag.BILLING,
        summary="What the workspace pays for",
        problems={Forbidden: "Only its owner and admins may see that; an API key needs the scope `account`."},
        answers={200: Answer(text="What it has and pays for.", body=answers.BillingBody, example=examples.BILLING)},
    ),
    "open_checkout": Operation(
        tag=Tag.BILLING,
        summary="Buy a plan",
        text="Opens a page at Stripe, where it is paid for; an earlier one ends. The plan begins when Stripe tells us "
        "of the payment, a few seconds later.",
        takes=schemas.CheckoutOpen,
        example=examples.ORDER,
        person=True,
        problems={
            Forbidden: _OWNER,
            Conflict: "It pays for a plan already: change that. Or the `Idempotency-Key` was used for another request, "
            "or for a page that is over.",
            TooManyRequests: "Too many pages were opened within the hour, or a limit of calls is reached.",
        },
        answers={201: Answer(text="The page.", body=answers.CheckoutBody, example=examples.CHECKOUT)},
    ),
    "open_portal": Operation(
        tag=Tag.BILLING,
        summary="See invoices, change how to pay",
        text="Opens a page at Stripe.",
        person=True,
        problems={Forbidden: _OWNER, Conflict: "It has never paid for anything."},
        answers={201: Answer(text="The page, for one visit.", body=answers.PortalBody, example=examples.PORTAL)},
    ),
    "change_plan": Operation(
        tag=Tag.BILLING,
        summary="Change the plan",
        text="To a larger one at once, and what is left of the period is paid at once. To a smaller one, or to `free`, "
        "when the period ends. To the one that it has: what was planned is taken back.",
        takes=schemas.PlanChange,
        example={"plan": "pro"},
        person=True,
        problems={
            PaymentRequired: "The payment failed; nothing was changed.",
            Forbidden: _OWNER,
            Conflict: f"{_PAYS} that could be changed, or a payment is due first. Or the `Idempotency-Key` was used "
            "for another request.",
        },
        answers={
            200: Answer(
                text="What it has and pays for now. `note` says what that means for others in it.",
                body=answers.BillingBody,
                example=examples.PLANNED,
            )
        },
    ),
    "keep_plan": Operation(
        tag=Tag.BILLING,
        summary="Keep the plan after all",
        text="Takes back what was planned for the end of the period.",
        person=True,
        problems={Forbidden: _OWNER, Conflict: f"{_PAYS}."},
        answers={200: _NOW},
    ),
    "receive_event": Operation(
        tag=Tag.BILLING,
        summary="Stripe's webhook",
        text="For Stripe only. What happened is asked of Stripe; an event only says where to look.",
        special_body="Delivery",
        example=examples.EVENT,
        signed=True,
        problems={
            Invalid: "It is not signed by Stripe, is older than five minutes, or is no event. Nothing was done.",
            NotFound: "No webhooks are received here.",
        },
        answers={
            200: Answer(text="It was handled, now or before.", body=answers.ReceivedBody, example={"received": True})
        },
    ),
}
