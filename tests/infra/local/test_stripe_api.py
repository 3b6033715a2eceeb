"""The stand-in of Stripe as its own library sees it: keys, errors, forms, lists, `expand`, idempotency, faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from tests.infra.local.stripe_bed import KEY, StripeBed
from tests.infra.local.stripe_shop import DAY, Shop, item

BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def bed() -> Iterator[StripeBed]:
    with StripeBed() as bed:
        yield bed


@pytest.fixture(scope="module")
def shop(bed: StripeBed) -> Shop:
    return Shop(bed)


# Who may call, and how one is refused


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk_test_wrong_key_1234"}, {"Authorization": "x"}])
def test_without_the_right_key_nothing_is_told(bed: StripeBed, headers: dict[str, str]) -> None:
    for path in ("/v1/products", "/v1/nothing", "/_local/state"):
        answer = bed.web.get(bed.url + path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")
        assert "wrong_key" not in answer.text


def test_the_library_raises_its_own_errors(shop: Shop) -> None:
    with pytest.raises(stripe.AuthenticationError):
        shop.bed.client("sk_test_x").v1.products.list()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.stripe.v1.customers.retrieve("cus_none")
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (404, "resource_missing", "id")
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req_")
    assert str(caught.value.user_message) == "No such customer: 'cus_none'"


def test_a_missing_object_in_a_parameter_is_400(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.checkout("cus_none")
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (400, "resource_missing", "customer")


@pytest.mark.parametrize(
    ("path", "form", "code", "param"),
    [
        ("checkout/sessions", {"mode": "subscription", "payment_method_types[0]": "card"}, "parameter_unknown",
         "payment_method_types"),
        ("products", {"name": "x", "nonsense": "1"}, "parameter_unknown", "nonsense"),
        ("prices", {"recurring[nonsense]": "1"}, "parameter_unknown", "recurring[nonsense]"),
        ("products", {}, "parameter_missing", "name"),
        ("products", {"name": ""}, "parameter_invalid_empty", "name"),
        ("prices", {"currency": "usd", "product": "p", "unit_amount": "ten"}, "parameter_invalid_integer",
         "unit_amount"),
        ("prices", {"currency": "usd", "product": "prod_none", "unit_amount": "1"}, "resource_missing", "product"),
        ("prices", {"tiers_mode": "volume"}, "standin_unsupported", "tiers_mode"),
        ("products", {"name": "x", "active": "yes"}, None, "active"),
        ("checkout/sessions", {"mode": "lease"}, None, "mode"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(
    bed: StripeBed, path: str, form: dict[str, str], code: str | None, param: str
) -> None:
    answer = bed.web.post(f"{bed.url}/v1/{path}", data=form, headers=BEARER)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error"), answer.text
    assert (error.get("code"), error["param"]) == (code, param)


def test_what_nobody_serves_is_404_and_another_version_400(bed: StripeBed) -> None:
    assert bed.web.get(f"{bed.url}/v1/payouts", headers=BEARER).status_code == 404
    answer = bed.web.get(f"{bed.url}/v1/products", headers={**BEARER, "Stripe-Version": "2019-01-01"})
    assert "Invalid Stripe API version" in answer.json()["error"]["message"]
    assert bed.web.get(f"{bed.url}/v1/products", headers=BEARER).headers["Stripe-Version"] == stripe.api_version


def test_basic_authorization_is_taken_as_by_curl(bed: StripeBed) -> None:
    assert bed.web.get(f"{bed.url}/v1/products", auth=(KEY, "")).status_code == 200


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the library's use of httpx
async def test_the_asynchronous_client_works(bed: StripeBed) -> None:
    http: Any = stripe.HTTPXClient()
    client = bed.client(http_client=http)
    made = await client.v1.products.create_async({"name": "Asynchronous"})
    found = await client.v1.products.retrieve_async(made.id)
    assert found.name == "Asynchronous"
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.products.retrieve_async("prod_none")
    await http.close_async()


# Objects


def test_metadata_is_merged_and_unset(shop: Shop) -> None:
    products = shop.stripe.v1.products
    made = products.create({"name": "x", "metadata": {"a": "1", "b": "2"}})
    assert products.update(made.id, {"metadata": {"b": "", "c": "3"}}).metadata.to_dict() == {"a": "1", "c": "3"}
    assert products.update(made.id, {"description": "d"}).metadata.to_dict() == {"a": "1", "c": "3"}
    assert products.update(made.id, {"metadata": ""}).metadata.to_dict() == {}


def test_a_product_is_deleted_unless_it_has_a_price(shop: Shop) -> None:
    products = shop.stripe.v1.products
    made = products.create({"name": "x", "id": "prod_own"})
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        products.create({"name": "y", "id": "prod_own"})
    assert products.delete(made.id).deleted
    with pytest.raises(stripe.InvalidRequestError, match="No such product"):
        products.retrieve(made.id)
    with pytest.raises(stripe.InvalidRequestError, match="user-created prices"):
        products.delete(shop.product.id)


def test_a_lookup_key_names_one_active_price(shop: Shop) -> None:
    prices = shop.stripe.v1.prices
    first = shop.price(100, lookup_key="the-key")
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        shop.price(200, lookup_key="the-key")
    second = shop.price(200, lookup_key="the-key", transfer_lookup_key=True)
    found = prices.list({"lookup_keys": ["the-key", "another"], "active": True}).data
    assert [price.id for price in found] == [second.id]
    assert prices.retrieve(first.id).lookup_key is None
    prices.update(second.id, {"active": False})
    third = shop.price(300, lookup_key="the-key")
    assert [price.id for price in prices.list({"lookup_keys": ["the-key"]}).data] == [third.id]


def test_the_amount_of_a_price_cannot_be_changed(shop: Shop) -> None:
    changed: Any = {"unit_amount": 1}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.stripe.v1.prices.update(shop.small.id, changed)
    assert caught.value.code == "parameter_unknown"


def test_a_deleted_customer_is_a_tombstone_and_has_nothing(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer)
    deleted = shop.stripe.v1.customers.delete(customer.id)
    assert (deleted.id, deleted.deleted) == (customer.id, True)
    assert shop.stripe.v1.customers.retrieve(customer.id).deleted
    assert shop.subscription(subscription.id).status == "canceled"
    assert customer.id not in {found.id for found in shop.stripe.v1.customers.list({"limit": 100}).data}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.checkout(customer.id)
    assert (caught.value.http_status, caught.value.code) == (400, "resource_missing")
    found = shop.stripe.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data
    assert [one.id for one in found] == [subscription.id]


def test_the_secret_of_a_webhook_is_told_once(shop: Shop) -> None:
    hooks = shop.stripe.v1.webhook_endpoints
    made = hooks.create({"url": "https://app.test/hook", "enabled_events": ["invoice.paid"], "metadata": {"a": "b"}})
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert "secret" not in hooks.retrieve(made.id)
    assert "secret" not in hooks.update(made.id, {"disabled": True, "url": "https://app.test/other"})
    assert hooks.retrieve(made.id).status == "disabled"
    assert [hook.url for hook in hooks.list().data] == ["https://app.test/other"]
    assert hooks.delete(made.id).deleted
    assert hooks.list().data == []
    with pytest.raises(stripe.InvalidRequestError, match="Invalid URL"):
        hooks.create({"url": "nowhere", "enabled_events": ["*"]})


def test_a_configuration_of_the_portal_is_updated_part_by_part(shop: Shop) -> None:
    configurations = shop.stripe.v1.billing_portal.configurations
    features: Any = {"invoice_history": {"enabled": True}, "subscription_cancel": {"enabled": True}}
    made = configurations.create({"features": features, "default_return_url": "https://app.test"})
    assert made.features.subscription_cancel.mode == "at_period_end"
    changed: Any = {"features": {"subscription_cancel": {"mode": "immediately"}}, "active": False}
    found = configurations.update(made.id, changed)
    assert (found.features.subscription_cancel.enabled, found.features.subscription_cancel.mode) == (
        True,
        "immediately",
    )
    assert found.features.invoice_history.enabled
    assert made.id not in {one.id for one in configurations.list({"active": True}).data}
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        shop.stripe.v1.billing_portal.sessions.create({"customer": shop.customer().id, "configuration": made.id})


# Lists and expansion


def test_lists_go_page_by_page_in_both_directions(shop: Shop) -> None:
    prices = shop.stripe.v1.prices
    product = shop.stripe.v1.products.create({"name": "Listed"}).id
    made = [shop.price(100 + number, product=product).id for number in range(5)]
    first = prices.list({"product": product, "limit": 2})
    assert ([price.id for price in first.data], first.has_more) == ([made[4], made[3]], True)
    second = prices.list({"product": product, "limit": 3, "starting_after": made[3]})
    assert ([price.id for price in second.data], second.has_more) == ([made[2], made[1], made[0]], False)
    back = prices.list({"product": product, "limit": 2, "ending_before": made[0]})
    assert ([price.id for price in back.data], back.has_more) == ([made[2], made[1]], True)
    assert [price.id for price in prices.list({"product": product, "limit": 2}).auto_paging_iter()] == made[::-1]
    with pytest.raises(stripe.InvalidRequestError, match="No such price"):
        prices.list({"starting_after": "price_none"})
    with pytest.raises(stripe.InvalidRequestError, match="less than or equal to 100"):
        prices.list({"limit": 101})


def test_ids_are_expanded_on_request_four_levels_deep(shop: Shop) -> None:
    subscription = shop.subscribe()
    plain = shop.subscription(subscription.id)
    assert isinstance(plain.latest_invoice, str)
    expand = ["latest_invoice.payments", "customer.invoice_settings.default_payment_method", "items.data.price.product"]
    found: Any = shop.stripe.v1.subscriptions.retrieve(subscription.id, {"expand": expand})
    assert found.latest_invoice.payments.data[0].status == "paid"
    assert found.customer.invoice_settings.default_payment_method.card.last4 == "4242"
    assert item(found).price.product.name == "Plan"
    for path in ("nonsense", "latest_invoice.payment_intent", "status", "latest_invoice.payments.data.payment.x"):
        with pytest.raises(stripe.InvalidRequestError):
            shop.stripe.v1.subscriptions.retrieve(subscription.id, {"expand": [path]})
    listed: Any = shop.stripe.v1.subscriptions.list({"limit": 1, "expand": ["data.latest_invoice"]})
    assert listed.data[0].latest_invoice.object == "invoice"


# Idempotency


def test_the_same_key_gives_the_same_answer(shop: Shop) -> None:
    headers = {**BEARER, "Idempotency-Key": "once"}
    first = shop.bed.web.post(f"{shop.bed.url}/v1/products", data={"name": "Once"}, headers=headers)
    again = shop.bed.web.post(f"{shop.bed.url}/v1/products", data={"name": "Once"}, headers=headers)
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"] != again.headers["Request-Id"]
    with pytest.raises(stripe.IdempotencyError) as caught:
        shop.stripe.v1.products.create({"name": "Twice"}, {"idempotency_key": "once"})
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        shop.stripe.v1.customers.create({"name": "Once"}, {"idempotency_key": "once"})


def test_a_refusal_is_given_again_but_not_that_of_a_wrong_parameter(shop: Shop) -> None:
    url, customer = f"{shop.bed.url}/v1/subscriptions", shop.customer(card=None)
    form = {"customer": customer.id, "items[0][price]": shop.small.id}
    headers = {**BEARER, "Idempotency-Key": "refused"}
    first = shop.bed.web.post(url, data=form, headers=headers)
    assert (first.status_code, first.json()["error"]["code"]) == (400, "resource_missing")
    method = shop.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    settings: Any = {"default_payment_method": method.id}
    shop.stripe.v1.customers.update(customer.id, {"invoice_settings": settings})
    again = shop.bed.web.post(url, data=form, headers=headers)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    mistaken = {**BEARER, "Idempotency-Key": "mistaken"}
    assert shop.bed.web.post(f"{shop.bed.url}/v1/products", data={"nam": "x"}, headers=mistaken).status_code == 400
    assert shop.bed.web.post(f"{shop.bed.url}/v1/products", data={"name": "x"}, headers=mistaken).status_code == 200


def test_a_key_is_forgotten_after_a_day(shop: Shop) -> None:
    def make() -> str:
        return shop.stripe.v1.products.create({"name": "Daily"}, {"idempotency_key": "daily"}).id

    first = make()
    shop.bed.local("POST", "advance", seconds=DAY - 60)
    assert make() == first
    shop.bed.local("POST", "advance", seconds=120)
    assert make() != first


def test_a_key_in_use_is_409(shop: Shop) -> None:
    shop.bed.local("POST", "faults", path="/v1/products", hang_seconds=60)
    headers = {**BEARER, "Idempotency-Key": "busy"}
    answers: list[httpx.Response] = []

    def ask() -> None:
        url = f"{shop.bed.url}/v1/products"
        answers.append(shop.bed.web.post(url, data={"name": "Busy"}, headers=headers, timeout=30))

    slow = threading.Thread(target=ask)
    slow.start()
    while shop.bed.local("GET", "faults")["faults"]:
        pass
    ask()
    shop.bed.local("DELETE", "faults")
    slow.join()
    assert [answer.status_code for answer in answers] == [409, 200]
    error = answers[0].json()["error"]
    assert (error["type"], error["code"]) == ("idempotency_error", "idempotency_key_in_use")


# Failures on request


@pytest.mark.parametrize(
    ("status", "error"), [(429, stripe.RateLimitError), (500, stripe.APIError), (503, stripe.APIError)]
)
def test_calls_fail_on_request(shop: Shop, status: int, error: type[stripe.StripeError]) -> None:
    shop.bed.local("POST", "faults", path="/v1/customers*", status=status, times=2)
    client = shop.bed.client(max_network_retries=0)
    for _ in range(2):
        with pytest.raises(error) as caught:
            client.v1.customers.list()
        assert caught.value.http_status == status
    client.v1.customers.list()


def test_an_answer_can_be_lost_though_the_work_is_done(shop: Shop) -> None:
    shop.bed.local("POST", "faults", path="/v1/products", method="POST", status=500, after=True)
    client = shop.bed.client(max_network_retries=0)
    with pytest.raises(stripe.APIError):
        client.v1.products.create({"name": "Lost"}, {"idempotency_key": "lost"})
    found = client.v1.products.create({"name": "Lost"}, {"idempotency_key": "lost"})
    assert [one.id for one in client.v1.products.list({"limit": 100}).data if one.name == "Lost"] == [found.id]


def test_the_library_tries_again_by_itself(shop: Shop) -> None:
    shop.bed.local("POST", "faults", path="/v1/products", method="POST", status=409, times=1)
    made = shop.bed.client(max_network_retries=1).v1.products.create({"name": "Retried"})
    assert made.name == "Retried"
