"""What is declared at Stripe, and what functions are told of it."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pytest

from declarations import BILLING, PAID, PLANS_BY_PRICE, STRIPE_API_VERSION, STRIPE_EVENTS
from infra import config
from infra.components.billing import Billing
from tests.infra import program
from tests.infra.program import Graph
from tests.infra.wire import is_secret, plain

PATH = BILLING.path_of("receive_event")
OURS = "memorygraph-cloud:"


def declared(values: Mapping[str, str]) -> Graph:
    """The graph of the component alone; its values are the outputs."""

    def run() -> None:
        billing = Billing("billing", config.load(), webhook_path=PATH)
        for name in ("prices", "portal", "webhook_secret", "api_key", "api_url", "kinds"):
            pulumi.export(name, getattr(billing, name))

    return program.run(values, program.REAL_ANSWERS, function=run)


@pytest.fixture(scope="module")
def sold() -> Graph:
    return declared(program.REAL)


def test_each_paid_plan_has_a_product_and_the_price_by_which_functions_know_it(sold: Graph) -> None:
    assert len(sold.of("Product")) == len(sold.of("Price")) == len(PAID)
    for plan in PAID:
        product, price = sold.one("Product", f"{plan.name}-product"), sold.one("Price", f"{plan.name}-price")
        assert product["metadata"] == {"stack": "memorygraph.dev", "plan": plan.name}
        assert (price["product"], price["unitAmount"]) == (f"{plan.name}-product-id", plan.price_usd * 100)
        assert (price["currency"], price["interval"]) == ("usd", "month")
        assert PLANS_BY_PRICE[price["lookupKey"]] is plan
        assert plain(sold.outputs["prices"])[plan.name] == f"{plan.name}-price-id"


def test_customers_may_not_change_plan_or_seats_behind_our_back(sold: Graph) -> None:
    portal = sold.one("PortalConfiguration", "portal")
    enabled = {name for name, feature in portal["features"].items() if feature["enabled"]}
    assert enabled == {"customer_update", "invoice_history", "payment_method_update", "subscription_cancel"}
    assert portal["features"]["subscription_update"] == {"enabled": False}
    assert portal["features"]["subscription_cancel"]["mode"] == "at_period_end"
    assert "email" not in portal["features"]["customer_update"]["allowed_updates"]
    assert portal["defaultReturnUrl"] == "https://memorygraph.dev/dashboard/billing"
    assert sold.outputs["portal"] == "portal-id"


def test_stripe_tells_the_billing_function_what_it_must_know(sold: Graph) -> None:
    (webhook,) = sold.of("WebhookEndpoint")
    assert webhook["url"] == "https://api.memorygraph.dev/api/v1/webhooks/stripe"
    assert (webhook["events"], webhook["apiVersion"]) == (list(STRIPE_EVENTS), STRIPE_API_VERSION)
    assert sold.outputs["kinds"] == {"stripe-webhook": "passing"}


def test_secrets_are_secret(sold: Graph) -> None:
    for name, value in (("webhook_secret", "whsec_hidden-1"), ("api_key", "rk_test_hidden-stripe")):
        assert is_secret(sold.outputs[name])
        assert plain(sold.outputs[name]) == value


def test_a_rotation_has_two_endpoints_and_then_one() -> None:
    between = declared({**program.REAL, f"{OURS}rotation": '{"stripe-webhook": [2, 1]}'})
    assert plain(between.outputs["webhook_secret"]) == "whsec_hidden-2 whsec_hidden-1"
    first, second = (between.one("WebhookEndpoint", f"stripe-webhook-{number}") for number in (1, 2))
    assert first["url"] == second["url"]
    assert first["metadata"] != second["metadata"]  # by which an interrupted one is told from the other
    after = declared({**program.REAL, f"{OURS}rotation": '{"stripe-webhook": [2]}'})
    assert plain(after.outputs["webhook_secret"]) == "whsec_hidden-2"
    assert [webhook.name for webhook in after.of("WebhookEndpoint")] == ["stripe-webhook-2"]


def test_both_clouds_declare_the_same(sold: Graph) -> None:
    local = declared(program.LOCAL)
    assert set(local.resources) == set(sold.resources)
    assert local.one("WebhookEndpoint", "stripe-webhook-1")["url"] == f"http://api.memorygraph.localhost{PATH}"
    assert (local.outputs["api_url"], sold.outputs.get("api_url")) == ("http://127.0.0.1:20005", "")
    assert plain(local.outputs["api_key"]) == "local"


def test_where_nothing_is_sold_nothing_is_declared_and_no_secret_is_given() -> None:
    made: list[Billing] = []
    graph = program.run(
        {**program.REAL, f"{OURS}billing": "false"},
        program.REAL_ANSWERS,
        function=lambda: made.append(Billing("billing", config.load(), webhook_path=PATH)),
    )
    assert [resource.type for resource in graph.resources.values()] == ["memorygraph-cloud:components:Billing"]
    (billing,) = made
    assert (billing.webhook_secret, billing.api_key) == (None, None)
    assert (billing.portal, billing.api_url, billing.prices, billing.kinds) == ("", "", {}, {})
