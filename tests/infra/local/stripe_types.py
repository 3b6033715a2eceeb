"""What stripe-python says of the API: the parameters of each call and the fields of each object, for its version."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any

import stripe
from stripe import params as P
from stripe._request_options import RequestOptions

from infra.local.cloud.vendors.stripe.params import Fields, Param

OPTIONS = frozenset(RequestOptions.__annotations__) | {"expand"}
"""What the library itself takes from the parameters, and what every call has."""
FOREIGN = {"Mapping": Mapping, "StripeContext": object}
"""What the types of options name from a module of the library's own."""
CALLS: Mapping[str, Any] = {
    "POST /v1/products": P.ProductCreateParams,
    "POST /v1/products/{id}": P.ProductUpdateParams,
    "DELETE /v1/products/{id}": P.ProductDeleteParams,
    "GET /v1/products": P.ProductListParams,
    "GET /v1/products/{id}": P.ProductRetrieveParams,
    "POST /v1/prices": P.PriceCreateParams,
    "POST /v1/prices/{id}": P.PriceUpdateParams,
    "GET /v1/prices": P.PriceListParams,
    "GET /v1/prices/{id}": P.PriceRetrieveParams,
    "POST /v1/customers": P.CustomerCreateParams,
    "POST /v1/customers/{id}": P.CustomerUpdateParams,
    "DELETE /v1/customers/{id}": P.CustomerDeleteParams,
    "GET /v1/customers": P.CustomerListParams,
    "GET /v1/customers/{id}": P.CustomerRetrieveParams,
    "GET /v1/customers/{customer}/payment_methods": P.CustomerPaymentMethodListParams,
    "POST /v1/payment_methods": P.PaymentMethodCreateParams,
    "GET /v1/payment_methods": P.PaymentMethodListParams,
    "GET /v1/payment_methods/{id}": P.PaymentMethodRetrieveParams,
    "POST /v1/payment_methods/{id}/attach": P.PaymentMethodAttachParams,
    "POST /v1/payment_methods/{id}/detach": P.PaymentMethodDetachParams,
    "POST /v1/checkout/sessions": P.checkout.SessionCreateParams,
    "POST /v1/checkout/sessions/{id}": P.checkout.SessionUpdateParams,
    "POST /v1/checkout/sessions/{id}/expire": P.checkout.SessionExpireParams,
    "GET /v1/checkout/sessions": P.checkout.SessionListParams,
    "GET /v1/checkout/sessions/{id}": P.checkout.SessionRetrieveParams,
    "GET /v1/checkout/sessions/{id}/line_items": P.checkout.SessionLineItemListParams,
    "POST /v1/subscriptions": P.SubscriptionCreateParams,
    "POST /v1/subscriptions/{id}": P.SubscriptionUpdateParams,
    "DELETE /v1/subscriptions/{id}": P.SubscriptionCancelParams,
    "POST /v1/subscriptions/{id}/resume": P.SubscriptionResumeParams,
    "GET /v1/subscriptions": P.SubscriptionListParams,
    "GET /v1/subscriptions/{id}": P.SubscriptionRetrieveParams,
    "POST /v1/subscription_items": P.SubscriptionItemCreateParams,
    "POST /v1/subscription_items/{id}": P.SubscriptionItemUpdateParams,
    "DELETE /v1/subscription_items/{id}": P.SubscriptionItemDeleteParams,
    "GET /v1/subscription_items": P.SubscriptionItemListParams,
    "GET /v1/subscription_items/{id}": P.SubscriptionItemRetrieveParams,
    "POST /v1/subscription_schedules": P.SubscriptionScheduleCreateParams,
    "POST /v1/subscription_schedules/{id}": P.SubscriptionScheduleUpdateParams,
    "POST /v1/subscription_schedules/{id}/release": P.SubscriptionScheduleReleaseParams,
    "POST /v1/subscription_schedules/{id}/cancel": P.SubscriptionScheduleCancelParams,
    "GET /v1/subscription_schedules": P.SubscriptionScheduleListParams,
    "GET /v1/subscription_schedules/{id}": P.SubscriptionScheduleRetrieveParams,
    "GET /v1/invoices": P.InvoiceListParams,
    "GET /v1/invoices/{id}": P.InvoiceRetrieveParams,
    "GET /v1/invoices/{id}/lines": P.InvoiceLineItemListParams,
    "POST /v1/invoices/{id}/pay": P.InvoicePayParams,
    "POST /v1/invoices/{id}/finalize": P.InvoiceFinalizeInvoiceParams,
    "POST /v1/invoices/{id}/void": P.InvoiceVoidInvoiceParams,
    "POST /v1/invoices/{id}/mark_uncollectible": P.InvoiceMarkUncollectibleParams,
    "GET /v1/invoice_payments": P.InvoicePaymentListParams,
    "GET /v1/charges": P.ChargeListParams,
    "GET /v1/charges/{id}": P.ChargeRetrieveParams,
    "GET /v1/payment_intents": P.PaymentIntentListParams,
    "GET /v1/payment_intents/{id}": P.PaymentIntentRetrieveParams,
    "POST /v1/refunds": P.RefundCreateParams,
    "GET /v1/refunds": P.RefundListParams,
    "GET /v1/refunds/{id}": P.RefundRetrieveParams,
    "GET /v1/disputes": P.DisputeListParams,
    "GET /v1/disputes/{id}": P.DisputeRetrieveParams,
    "POST /v1/billing_portal/configurations": P.billing_portal.ConfigurationCreateParams,
    "POST /v1/billing_portal/configurations/{id}": P.billing_portal.ConfigurationUpdateParams,
    "GET /v1/billing_portal/configurations": P.billing_portal.ConfigurationListParams,
    "GET /v1/billing_portal/configurations/{id}": P.billing_portal.ConfigurationRetrieveParams,
    "POST /v1/billing_portal/sessions": P.billing_portal.SessionCreateParams,
    "POST /v1/webhook_endpoints": P.WebhookEndpointCreateParams,
    "POST /v1/webhook_endpoints/{id}": P.WebhookEndpointUpdateParams,
    "DELETE /v1/webhook_endpoints/{id}": P.WebhookEndpointDeleteParams,
    "GET /v1/webhook_endpoints": P.WebhookEndpointListParams,
    "GET /v1/webhook_endpoints/{id}": P.WebhookEndpointRetrieveParams,
    "GET /v1/events": P.EventListParams,
    "GET /v1/events/{id}": P.EventRetrieveParams,
}
CLASSES: Mapping[str, Any] = {
    "billing_portal.configuration": stripe.billing_portal.Configuration,
    "billing_portal.session": stripe.billing_portal.Session,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "item": stripe.LineItem,
    "line_item": stripe.InvoiceLineItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "price": stripe.Price,
    "product": stripe.Product,
    "refund": stripe.Refund,
    "subscription": stripe.Subscription,
    "subscription_item": stripe.SubscriptionItem,
    "subscription_schedule": stripe.SubscriptionSchedule,
    "webhook_endpoint": stripe.WebhookEndpoint,
}


def unknown_here(theirs: Any, ours: Fields) -> list[str]:
    """What the library knows and we do not honour, each as `a[b][][c]`; nothing below what is listed itself."""
    return sorted(_differences(theirs, ours, ours_more=False))


def unknown_there(theirs: Any, ours: Fields) -> list[str]:
    """What we honour and the library does not know."""
    return sorted(_differences(theirs, ours, ours_more=True))


def _differences(theirs: Any, ours: Fields, path: str = "", *, ours_more: bool) -> Iterator[str]:
    hints = typing.get_type_hints(theirs, localns=FOREIGN)
    known = {name: kind for name, kind in hints.items() if path or name not in OPTIONS}
    for name in (ours.keys() - known.keys()) if ours_more else (known.keys() - ours.keys()):
        yield f"{path}[{name}]" if path else name
    for name in known.keys() & ours.keys():
        spot = f"{path}[{name}]" if path else name
        inner, below = _group(ours[name], spot)
        for group in _groups(known[name]) if inner else ():
            yield from _differences(group, inner, below, ours_more=ours_more)


def _group(param: Param, spot: str) -> tuple[Fields, str]:
    if param.kind == "many" and param.item is not None:
        return _group(param.item, f"{spot}[]")
    return (param.fields if param.kind == "group" else {}), spot


def _groups(kind: Any) -> list[Any]:
    """The typed dictionaries within a type."""
    if typing.is_typeddict(kind):
        return [kind]
    return [group for part in typing.get_args(kind) for group in _groups(part)]


def is_nullable(kind: Any) -> bool:
    """Whether None is a value of a type."""
    if typing.get_origin(kind) in (typing.Union, UnionType):
        return type(None) in typing.get_args(kind)
    return kind is type(None)
