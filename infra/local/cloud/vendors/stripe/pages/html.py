"""The frame around every page, and how amounts are written."""

from __future__ import annotations

from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from infra.local.cloud.vendors.stripe import forms

Json = dict[str, Any]
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#1a1a2e}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.4rem;text-align:left;border-bottom:1px solid #ddd}"
    "button{font:inherit;padding:.5rem 1rem;margin:.2rem .4rem .2rem 0;cursor:pointer}form{margin:.6rem 0}"
    ".note{color:#555}.trouble{color:#a00;font-weight:600}"
)


def frame(title: str, *parts: str, status: int = 200, trouble: str = "") -> Response:
    """A whole page. `parts` are HTML; `trouble` is text."""
    alarm = f'<p class="trouble" role="alert">{escape(trouble)}</p>' if trouble else ""
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>'
        f'<h1>{escape(title)}</h1><p class="note">A test bed of the local cloud: no card is charged, nothing is '
        f"Stripe's.</p>{alarm}{''.join(parts)}</main></body></html>"
    )
    return HTMLResponse(page, status, HEADERS)


def button(action: str, label: str, **fields: str) -> str:
    """A form of one button, which posts `action` and the fields to the page's own address."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    return f'<form method="post">{hidden}<button name="action" value="{escape(action)}">{escape(label)}</button></form>'


def link(url: str, label: str) -> str:
    return f'<p><a href="{escape(url)}">{escape(label)}</a></p>'


def money(cents: int, currency: str) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) / 100:.2f} {currency.upper()}"


def price_words(price: Json, product: Json) -> str:
    """Such as `Pro: 8.00 USD a month`."""
    recurring = price["recurring"]
    count = recurring["interval_count"]
    every = f"a {recurring['interval']}" if count == 1 else f"every {count} {recurring['interval']}s"
    return f"{product['name']}: {money(price['unit_amount'], price['currency'])} {every}"


def see(url: str) -> Response:
    """303 to an address."""
    return RedirectResponse(url, 303, {"Cache-Control": "no-store"})


async def posted(request: Request) -> dict[str, str]:
    """The fields of a form. Raises StripeError: it is none."""
    found = forms.decode((await request.body()).decode("utf-8", "replace"))
    return {name: value for name, value in found.items() if isinstance(value, str)}
