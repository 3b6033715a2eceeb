"""What stands before the routes that cost something: how often one address of a client may ask, and the captcha.

*Rates* (rates.py). Auth counts by the address that its gateway passes on in X-Forwarded-For, and not at all when none
came: so on this machine only who sends that header meets the limits.

*Captcha.* A token is judged as Turnstile judges it for its test secrets, which need no network. With any other secret
Auth would ask Cloudflare, which this stand-in cannot: it answers as Auth does when nobody can be asked.

    1x0000000000000000000000000000000AA   every token passes
    2x0000000000000000000000000000000AA   none does
    3x0000000000000000000000000000000AA   each was used before
    any other, or hCaptcha                500

Source: https://developers.cloudflare.com/turnstile/troubleshooting/testing/
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from starlette.requests import Request

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import callers, reading
from infra.local.cloud.vendors.auth.errors import AuthError
from infra.local.cloud.vendors.auth.project import Project

ADDRESS_HEADER = "x-forwarded-for"
PASSES, FAILS, SPENT = (f"{number}x0000000000000000000000000000000AA" for number in (1, 2, 3))
VERDICTS = {
    "": "missing-input-secret",
    PASSES: "",
    FAILS: "invalid-input-response",
    SPENT: "timeout-or-duplicate",
}
"""By secret: the error code of Turnstile's; empty: the token is good."""
UNASKED = ("pkce", "refresh_token")
"""Grants of /token that ask for no captcha: whoever has one has passed it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Guard:
    """`rate` is the setting that limits a route; `captcha`: it asks for one, where captchas are on."""

    rate: str
    captcha: bool = False


GUARDS = {
    ("POST", "/signup"): Guard(rate="rate_limit_otp", captcha=True),
    ("POST", "/recover"): Guard(rate="rate_limit_otp", captcha=True),
    ("POST", "/resend"): Guard(rate="rate_limit_otp", captcha=True),
    ("POST", "/token"): Guard(rate="rate_limit_token_refresh", captcha=True),
    ("GET", "/verify"): Guard(rate="rate_limit_verify"),
    ("POST", "/verify"): Guard(rate="rate_limit_verify"),
    ("PUT", "/user"): Guard(rate="rate_limit_otp"),
}


async def check(project: Project, request: Request, method: str, path: str) -> None:
    """Let a request pass to its route.

    Raises:
        AuthError: 400 without a good captcha; 429 from an address that asks too often.
    """
    guard = GUARDS.get((method, path))
    if guard is None:
        return
    settings = project.settings
    if guard.captcha and settings["security_captcha_enabled"] and not _is_spared(project, request, path):
        await _need_token(request)
        _judge(settings)
    address = request.headers.get(ADDRESS_HEADER, "").partition(",")[0].strip()
    if address:
        project.rates.spend(path, address, settings[guard.rate])


def _is_spared(project: Project, request: Request, path: str) -> bool:
    if path == "/token" and request.query_params.get("grant_type") in UNASKED:
        return True
    try:
        callers.check_admin(project, request)
    except AuthError:
        return False
    return True


async def _need_token(request: Request) -> None:
    security = reading.mapping(await reading.body(request), "gotrue_meta_security") or {}
    if not reading.text(security, "captcha_token").strip():
        raise _failed("no captcha_token found")


def _judge(settings: Json) -> None:
    """Raises: AuthError: no token is good, or nobody can tell."""
    secret = settings["security_captcha_secret"].strip()
    verdict = VERDICTS.get(secret) if settings["security_captcha_provider"] == "turnstile" else None
    if verdict is None:
        log.error("captchas are judged for Turnstile's test secrets only: set security_captcha_secret to %s", PASSES)
        raise AuthError(500, "unexpected_failure", "captcha verification process failed")
    if verdict:
        raise _failed(verdict)


def _failed(why: str) -> AuthError:
    return AuthError(400, "captcha_failed", f"captcha protection: request disallowed ({why})")
