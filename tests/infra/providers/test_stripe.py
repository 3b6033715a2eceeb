from __future__ import annotations

from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from infra.providers import forms
from infra.providers.provider import MemorygraphProvider
from tests.infra.providers.conftest import Start
from tests.infra.providers.engine import Failed
from tests.infra.providers.stripe_double import Stripe
from tests.infra.providers.vendor import Vendor
from tests.infra.wire import UNKNOWN, is_secret, plain, secret, struct

PRODUCT, PRICE = "memorygraph:stripe:Product", "memorygraph:stripe:Price"
PORTAL, WEBHOOK = "memorygraph:stripe:PortalConfiguration", "memorygraph:stripe:WebhookEndpoint"
MARKS = {"stack": "memorygraph.dev"}
INPUTS: dict[str, dict[str, Any]] = {
    PRODUCT: {
        "name": "MemoryGraph Pro",
        "description": "10,000 memories",
        "statementDescriptor": "MEMORYGRAPH",
        "metadata": {**MARKS, "plan": "pro"},
    },
    PRICE: {
        "product": "prod_1",
        "currency": "usd",
        "unitAmount": 800,
        "interval": "month",
        "lookupKey": "pro_8",
        "nickname": "Pro, monthly",
    },
    PORTAL: {
        "features": {
            "customer_update": {"enabled": True, "allowed_updates": ["address", "tax_id"]},
            "subscription_update": {"enabled": False},
        },
        "defaultReturnUrl": "https://memorygraph.dev/dashboard/billing",
        "businessProfile": {"privacy_policy_url": "https://memorygraph.dev/privacy"},
        "metadata": MARKS,
    },
    WEBHOOK: {
        "url": "https://api.memorygraph.dev/api/v1/webhooks/stripe",
        "events": ["invoice.paid", "customer.subscription.created"],
        "apiVersion": "2026-10-28.endive",
        "metadata": {**MARKS, "generation": "1"},
    },
}
CHANGES: list[tuple[str, str, Any, bool]] = [
    (PRODUCT, "name", "MemoryGraph Plus", False),
    (PRODUCT, "description", "20,000 memories", False),
    (PRODUCT, "statementDescriptor", "MEMORIES", False),
    (PRODUCT, "metadata", {"plan": "plus"}, False),
    (PRICE, "product", "prod_2", True),
    (PRICE, "currency", "eur", True),
    (PRICE, "unitAmount", 1000, True),
    (PRICE, "interval", "year", True),
    (PRICE, "lookupKey", "pro_8_usd", False),
    (PRICE, "nickname", "Pro", False),
    (PORTAL, "features", {"invoice_history": {"enabled": True}}, False),
    (PORTAL, "defaultReturnUrl", "https://memorygraph.dev/billing", False),
    (PORTAL, "businessProfile", {"headline": "MemoryGraph"}, False),
    (WEBHOOK, "url", "https://api.example.com/stripe", False),
    (WEBHOOK, "events", ["*"], False),
    (WEBHOOK, "apiVersion", "2026-09-30.endive", True),
    (WEBHOOK, "description", "ours", False),
]
KINDS = tuple(INPUTS)


@pytest.fixture
def stripe(api: Vendor) -> Stripe:
    return Stripe(api)


def held_id(stripe: Stripe) -> str:
    """Of what was made last."""
    return next(reversed(stripe.objects))


@pytest.mark.parametrize("token", KINDS)
def test_life(stripe: Stripe, start: Start, token: str) -> None:
    resource, inputs = start(token), INPUTS[token]
    held = resource.create(inputs)
    assert held.id == held_id(stripe)
    same = resource.diff(held, inputs)
    assert same.changes == same.DIFF_NONE
    assert resource.refresh(held) == held
    assert stripe.api.tokens == {"Bearer sk_test_hidden"}
    assert all(
        "json" not in headers.get("Content-Type", "") for headers in stripe.api.headers if "Idempotency-Key" in headers
    )
    resource.delete(held)
    assert not any(item.get("active") or "url" in item for item in stripe.objects.values())
    stripe.objects.clear()
    assert resource.refresh(held) is None
    resource.delete(held)  # gone already: done


@pytest.mark.parametrize(("token", "name", "value", "replaces"), CHANGES)
@pytest.mark.usefixtures("stripe")
def test_what_a_change_does(start: Start, token: str, name: str, value: Any, replaces: bool) -> None:  # noqa: FBT001  a table
    resource = start(token)
    held, new = resource.create(INPUTS[token]), {**INPUTS[token], name: value}
    diff = resource.diff(held, new)
    assert (list(diff.diffs), list(diff.replaces)) == ([name], [name] if replaces else [])
    assert not diff.deleteBeforeReplace
    if not replaces:
        found = resource.refresh(resource.update(held, new))
        assert found is not None
        assert list(resource.diff(found, new).diffs) == []
        assert list(resource.diff(found, INPUTS[token]).diffs) == [name]


@pytest.mark.parametrize("token", KINDS)
def test_drift_is_seen_and_mended(stripe: Stripe, start: Start, token: str) -> None:
    resource, inputs = start(token), INPUTS[token]
    held = resource.create(inputs)
    item = stripe.objects[held.id]
    item["metadata"] = {**item["metadata"], "by-hand": "not ours"}
    changes: dict[str, dict[str, Any]] = {
        PRODUCT: {"name": "Sold out", "active": False},
        PRICE: {"nickname": "Cheap", "active": False},
        PORTAL: {"features": {**item.get("features", {}), "subscription_update": {"enabled": True}}, "active": False},
        WEBHOOK: {"enabled_events": ["invoice.paid"], "status": "disabled"},
    }
    item |= changes[token]
    found = resource.refresh(held)
    assert found is not None
    drifted = {PRODUCT: "name", PRICE: "nickname", PORTAL: "features", WEBHOOK: "events"}[token]
    assert set(resource.diff(found, inputs).diffs) == {drifted, "active"}
    mended = resource.refresh(resource.update(found, inputs))
    assert mended == held
    assert stripe.objects[held.id]["metadata"]["by-hand"] == "not ours"


@pytest.mark.parametrize("token", [PORTAL, WEBHOOK])
def test_the_order_of_a_list_is_nothing(stripe: Stripe, start: Start, token: str) -> None:
    resource = start(token)
    held = resource.create(INPUTS[token])
    item = stripe.objects[held.id]
    if token == WEBHOOK:
        item["enabled_events"].reverse()
    else:
        item["features"]["customer_update"]["allowed_updates"].reverse()
        item["features"]["invoice_history"] = {"enabled": False}  # Stripe tells more than was asked
    assert resource.refresh(held) == held


def test_metadata_that_is_no_longer_declared_is_removed(stripe: Stripe, start: Start) -> None:
    resource = start(PRODUCT)
    held = resource.create(INPUTS[PRODUCT])
    stripe.objects[held.id]["metadata"]["theirs"] = "x"
    resource.update(held, {**INPUTS[PRODUCT], "metadata": {"plan": "pro"}})
    assert stripe.objects[held.id]["metadata"] == {"plan": "pro", "theirs": "x"}


@pytest.mark.parametrize("token", [PRODUCT, PRICE, PORTAL])
def test_import(stripe: Stripe, start: Start, token: str) -> None:
    resource = start(token)
    held = resource.create(INPUTS[token])
    found = resource.take_over(held.id)
    assert found is not None
    assert list(resource.diff(found, INPUTS[token]).diffs) == []
    assert resource.take_over("prod_unknown") is None
    assert stripe.objects


def test_a_change_of_what_is_gone_says_what_to_do(stripe: Stripe, start: Start) -> None:
    resource = start(PRODUCT)
    held = resource.create(INPUTS[PRODUCT])
    stripe.objects.clear()
    with pytest.raises(Failed, match=f"Stripe has no product {held.id}: run `pulumi up --refresh`"):
        resource.update(held, {**INPUTS[PRODUCT], "name": "x"})


class TestProduct:
    def test_one_that_had_a_price_is_archived_and_taken_up_again(self, stripe: Stripe, start: Start) -> None:
        product, price = start(PRODUCT), start(PRICE)
        held = product.create(INPUTS[PRODUCT])
        sold = price.create({**INPUTS[PRICE], "product": held.id})
        price.delete(sold)
        product.delete(held)
        assert not stripe.objects[held.id]["active"]
        again = product.create({**INPUTS[PRODUCT], "name": "MemoryGraph Pro 2"})
        assert again.id == held.id
        assert stripe.objects[held.id]["active"]
        assert stripe.objects[held.id]["name"] == "MemoryGraph Pro 2"
        assert price.create({**INPUTS[PRICE], "product": held.id}).id == sold.id
        assert stripe.objects[sold.id]["active"]

    def test_what_an_interrupted_update_left_is_taken_up(self, stripe: Stripe, start: Start) -> None:
        product = start(PRODUCT)
        first = product.create(INPUTS[PRODUCT])
        for number in range(3):  # more than one page of others
            product.create({**INPUTS[PRODUCT], "metadata": {"plan": f"other-{number}"}})
        assert product.create(INPUTS[PRODUCT]).id == first.id
        assert len(stripe.objects) == 4

    def test_one_that_is_sold_is_not_taken_over_silently(self, stripe: Stripe, start: Start) -> None:
        product = start(PRODUCT)
        held = product.create(INPUTS[PRODUCT])
        start(PRICE).create({**INPUTS[PRICE], "product": held.id})
        with pytest.raises(Failed, match=f"pulumi import {PRODUCT} NAME {held.id}"):
            product.create(INPUTS[PRODUCT])
        assert len(stripe.of("prod")) == 1

    def test_nothing_is_known_by_its_name_alone(self, stripe: Stripe, start: Start) -> None:
        product = start(PRODUCT)
        inputs = {"name": "MemoryGraph Pro", "description": "x"}
        assert product.create(inputs).id != product.create(inputs).id
        assert len(stripe.of("prod")) == 2


class TestPrice:
    def test_another_amount_is_another_price_and_the_old_one_keeps_its_name(self, stripe: Stripe, start: Start) -> None:
        price = start(PRICE)
        old = price.create(INPUTS[PRICE])
        new = price.create({**INPUTS[PRICE], "unitAmount": 1000, "lookupKey": "pro_10"})
        price.delete(old)
        assert {item["lookup_key"]: (item["unit_amount"], item["active"]) for item in stripe.of("price")} == {
            "pro_8": (800, False),
            "pro_10": (1000, True),
        }
        # And back: who still pays it never lost it.
        assert price.create(INPUTS[PRICE]).id == old.id
        assert stripe.objects[new.id]["active"]

    def test_a_key_goes_over_within_one_product(self, stripe: Stripe, start: Start) -> None:
        price = start(PRICE)
        old = price.create(INPUTS[PRICE])
        new = price.create({**INPUTS[PRICE], "unitAmount": 1000})
        assert new.id != old.id
        assert stripe.objects[old.id]["lookup_key"] is None
        assert stripe.objects[new.id]["lookup_key"] == "pro_8"

    def test_the_key_of_another_product_that_is_sold_is_left_alone(self, stripe: Stripe, start: Start) -> None:
        price = start(PRICE)
        other = price.create(INPUTS[PRICE])
        mine = price.create({**INPUTS[PRICE], "product": "prod_2", "lookupKey": "mine"})
        refused = rf"'pro_8' belongs to {other.id}, which Stripe's product prod_1 sells"
        with pytest.raises(Failed, match=refused):
            price.create({**INPUTS[PRICE], "product": "prod_2"})
        with pytest.raises(Failed, match=refused):
            price.update(mine, {**INPUTS[PRICE], "product": "prod_2"})
        assert stripe.objects[other.id]["lookup_key"] == "pro_8"
        stripe.objects[other.id]["active"] = False
        assert price.create({**INPUTS[PRICE], "product": "prod_2"}).id not in (other.id, mine.id)

    def test_what_is_not_known_at_preview_is_not_checked(self, stripe: Stripe, start: Start) -> None:
        price = start(PRICE)
        assert price.check({**INPUTS[PRICE], "product": UNKNOWN}) == {}
        assert plain(price.preview({**INPUTS[PRICE], "product": UNKNOWN}))["product"] == UNKNOWN
        assert stripe.api.calls == []


class TestPortal:
    def test_one_that_was_left_is_taken_up(self, stripe: Stripe, start: Start) -> None:
        portal = start(PORTAL)
        held = portal.create(INPUTS[PORTAL])
        portal.delete(held)
        assert not stripe.objects[held.id]["active"]
        assert portal.create(INPUTS[PORTAL]).id == held.id
        assert stripe.objects[held.id]["active"]

    def test_the_accounts_default_is_left(self, stripe: Stripe, start: Start) -> None:
        portal = start(PORTAL)
        held = portal.create(INPUTS[PORTAL])
        stripe.objects[held.id]["is_default"] = True
        portal.delete(held)
        assert stripe.objects[held.id]["active"]


class TestWebhook:
    def test_the_secret_is_kept_from_the_creation_on(self, stripe: Stripe, start: Start) -> None:
        webhook = start(WEBHOOK)
        held = webhook.create(INPUTS[WEBHOOK])
        assert is_secret(held.properties["secret"])
        assert held["secret"] == stripe.secrets[held.id]
        assert [name for name, value in held.properties.items() if is_secret(value)] == ["secret"]
        changed = webhook.update(held, {**INPUTS[WEBHOOK], "events": ["*"]})
        assert changed.properties["secret"] == held.properties["secret"]
        shown = webhook.update(held, {**INPUTS[WEBHOOK], "events": ["*"]}, preview=True)
        assert shown.properties["secret"] == held.properties["secret"]
        assert plain(webhook.preview(INPUTS[WEBHOOK])["secret"]) == UNKNOWN

    def test_it_cannot_be_imported(self, stripe: Stripe, start: Start) -> None:
        webhook = start(WEBHOOK)
        held = webhook.create(INPUTS[WEBHOOK])
        with pytest.raises(Failed, match=r"cannot be imported: Stripe told its secret once.*Delete it in Stripe's"):
            webhook.take_over(held.id)
        assert held.id in stripe.objects

    def test_one_whose_secret_nobody_knows_is_made_anew(self, stripe: Stripe, start: Start) -> None:
        webhook = start(WEBHOOK)
        lost = webhook.create(INPUTS[WEBHOOK])
        others = [
            webhook.create({**INPUTS[WEBHOOK], **different})
            for different in (
                {"metadata": {**MARKS, "generation": "2"}},
                {"url": "https://api.example.com/stripe"},
                {"apiVersion": "2026-09-30.endive"},
            )
        ]
        held = webhook.create(INPUTS[WEBHOOK])
        assert set(stripe.objects) == {held.id, *(other.id for other in others)}
        assert held["secret"] != lost["secret"]

    def test_an_answer_without_a_secret_leaves_nothing(self, stripe: Stripe, start: Start) -> None:
        post = "POST /v1/webhook_endpoints"

        def silent(body: Any) -> Any:
            status, made, *_ = stripe.answer(post, body)
            return status, {name: value for name, value in made.items() if name != "secret"}

        stripe.api.routes[post] = silent
        with pytest.raises(Failed, match="told no secret, so it was removed again"):
            start(WEBHOOK).create(INPUTS[WEBHOOK])
        assert stripe.objects == {}


class TestFailures:
    @pytest.mark.parametrize("token", KINDS)
    def test_a_lost_answer_makes_no_second_object(self, stripe: Stripe, start: Start, token: str) -> None:
        resource = start(token)
        stripe.lose_answers(2)
        held = resource.create(INPUTS[token])
        assert list(stripe.objects) == [held.id]
        keys = [headers["Idempotency-Key"] for headers in stripe.api.headers if "Idempotency-Key" in headers]
        assert (len(keys), len(set(keys))) == (3, 1)
        resource.update(held, INPUTS[token])
        assert stripe.api.headers[-1]["Idempotency-Key"] not in keys

    @pytest.mark.parametrize("token", KINDS)
    def test_an_update_that_was_given_up_is_finished_by_the_next(
        self, stripe: Stripe, start: Start, token: str
    ) -> None:
        """Made at Stripe, but no answer ever came: the next `up` does not make it twice."""
        resource = start(token)
        stripe.lose_answers(5)
        with pytest.raises(Failed, match="no answer from"):
            resource.create(INPUTS[token])
        assert len(stripe.objects) == 1
        held = resource.create(INPUTS[token])
        assert list(stripe.objects) == [held.id]

    def test_busy_and_broken_answers_are_tried_again(self, stripe: Stripe, start: Start, pauses: list[float]) -> None:
        post = "POST /v1/webhook_endpoints"
        stripe.api.first_fail(
            post,
            (429, {"error": {"message": "Too many requests"}}, {"Retry-After": "7"}),
            (500, {"error": {"message": "An unknown error occurred"}}),
            (409, {"error": {"message": "There is currently another in-progress request using this key"}}),
            (503, b"<html>"),
        )
        start(WEBHOOK).create(INPUTS[WEBHOOK])
        assert pauses == [7.0, 2.0, 4.0, 8.0]
        assert len(stripe.objects) == 1

    def test_it_gives_up_at_last_with_stripes_words(self, stripe: Stripe, start: Start, pauses: list[float]) -> None:
        refusal = {"error": {"message": "We are having trouble.", "type": "api_error"}}
        stripe.api.routes["POST /v1/prices"] = lambda _: (500, refusal)
        with pytest.raises(Failed, match=r"Stripe: POST /v1/prices answered 500 \(We are having trouble\.\)"):
            start(PRICE).create(INPUTS[PRICE])
        assert len(pauses) == 4

    def test_a_refusal_is_not_repeated(self, stripe: Stripe, start: Start, pauses: list[float]) -> None:
        stripe.api.routes["POST /v1/prices"] = lambda _: (400, {"error": {"message": "No such product: 'prod_1'"}})
        with pytest.raises(Failed, match=r"400 \(No such product: 'prod_1'\)"):
            start(PRICE).create(INPUTS[PRICE])
        assert pauses == []

    @pytest.mark.parametrize("token", KINDS)
    def test_a_delete_that_stripe_refuses_is_told(self, stripe: Stripe, start: Start, token: str) -> None:
        resource = start(token)
        held = resource.create(INPUTS[token])
        stripe.api.rest = lambda *_: (403, {"error": {"message": "not with this key"}})
        with pytest.raises(Failed, match="403"):
            resource.delete(held)

    def test_a_wrong_or_missing_key_says_how_to_set_it(self, stripe: Stripe, start: Start) -> None:
        stripe.api.rest = lambda *_: (401, {"error": {"message": "Invalid API Key provided: sk_test_***"}})
        for settings in ({}, {"stripeToken": ""}):
            with pytest.raises(Failed, match="pulumi config set --secret memorygraph:stripeToken") as failure:
                start(PRODUCT, **settings).create(INPUTS[PRODUCT])
            assert "hidden" not in str(failure.value)


@pytest.mark.parametrize(
    ("token", "inputs", "faults"),
    [
        (PRODUCT, {"name": "", "statementDescriptor": "1<" * 12}, {"name", "description", "statementDescriptor"}),
        (PRODUCT, {"name": "x", "description": "x", "metadata": {"a[b]": "", "c": 3}}, {"metadata"}),
        (
            PRICE,
            {"currency": "USD", "unitAmount": 8.5, "interval": "monthly", "lookupKey": "x" * 201},
            {"product", "currency", "unitAmount", "interval", "lookupKey"},
        ),
        (PRICE, {**INPUTS[PRICE], "unitAmount": 0, "product": "", "amount": 3}, {"unitAmount", "product", "amount"}),
        (
            PORTAL,
            {"features": {"magic": {"enabled": True}}, "defaultReturnUrl": "http://example.com"},
            {"features", "defaultReturnUrl"},
        ),
        (
            PORTAL,
            {"features": {"invoice_history": {}}, "businessProfile": {"url": "x"}},
            {"features", "businessProfile"},
        ),
        (
            WEBHOOK,
            {"url": "ftp://example.com", "events": ["paid", "invoice.paid", "invoice.paid"], "apiVersion": "latest"},
            {"url", "events", "apiVersion"},
        ),
        (WEBHOOK, {**INPUTS[WEBHOOK], "events": []}, {"events"}),
    ],
)
def test_check_names_everything_that_is_wrong(
    start: Start, token: str, inputs: dict[str, Any], faults: set[str]
) -> None:
    assert set(start(token).check(inputs)) == faults


def test_one_inputs_mistakes_are_named_together(start: Start) -> None:
    found = start(WEBHOOK).check({**INPUTS[WEBHOOK], "events": ["paid", "a.b", "a.b", 3]})
    assert found["events"].split("; ") == [
        "events: 'paid' is no event, e.g. invoice.paid",
        "events: 3.0 is no event, e.g. invoice.paid",
        "events: a.b is listed twice",
    ]


def test_the_local_cloud_may_be_told(start: Start) -> None:
    webhook = {**INPUTS[WEBHOOK], "url": "http://api.memorygraph.localhost/api/v1/webhooks/stripe"}
    assert start(WEBHOOK).check(webhook) == {}


@pytest.mark.parametrize("address", ["http://127.0.0.1:20005", "https://stripe.example.com"])
def test_a_live_key_goes_to_stripe_only(address: str) -> None:
    def faults(key: str, **address: str) -> list[Any]:
        request = provider_pb2.CheckRequest(news=struct({"stripeToken": secret(key), **address}))
        return list(MemorygraphProvider().CheckConfig(request).failures)

    (fault,) = faults("rk_live_hidden", stripeApi=address)
    assert (fault.property, "hidden" in fault.reason) == ("stripeToken", False)
    assert faults("rk_test_hidden", stripeApi=address) == []
    assert faults("rk_live_hidden") == faults("rk_live_hidden", stripeApi="https://api.stripe.com/") == []


def test_a_form_says_what_the_values_say() -> None:
    values = {"a": {"b": [True, None], "c": 8.0}, "d": [], "e": "ü&", "f": 1.5, "g": [{"h": False}]}
    assert forms.encode(values).decode() == (
        "a%5Bb%5D%5B0%5D=true&a%5Bb%5D%5B1%5D=&a%5Bc%5D=8&d=&e=%C3%BC%26&f=1.5&g%5B0%5D%5Bh%5D=false"
    )
