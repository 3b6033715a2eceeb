"""Settings that belong together: of Stripe, of the captcha, of the ways to sign in, of the workflows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from infra.config import stripe_keys
from infra.config.reader import LOCAL_TOKEN, Reader
from infra.config.settings import BY_KEY
from infra.config.stack import Captcha, Cloud, Profile, Repository, SignIn, StripeAccount
from infra.config.stripe_keys import Mode, mode

TURNSTILE_TEST_KEY = re.compile(r"[123]x0{20,}[A-F]{2}")
"""Source: https://developers.cloudflare.com/turnstile/troubleshooting/testing/"""

SIGN_IN = ("github", "google")
"""Who else may say who somebody is. Each is on when its app is configured."""

DECLARES, SELLS = "memorygraph:stripeToken", "stripeKey"
"""Keys of Stripe's: of this program, and of the functions."""


def sign_in(reader: Reader, cloud: Cloud) -> Mapping[str, SignIn]:
    """The OAuth apps, by name: of each, both of its values, or neither."""
    return MappingProxyType({name: app for name in SIGN_IN if (app := _app(reader, name, cloud))})


def _app(reader: Reader, name: str, cloud: Cloud) -> SignIn | None:
    client, secret = f"{name}ClientId", f"{name}ClientSecret"
    if not reader.get(client) and not reader.get(secret):
        return None
    return SignIn(client_id=reader.text(client), secret=reader.token(secret, cloud))


def repository(reader: Reader) -> Repository | None:
    """Whose workflows may act on the stack, if any."""
    number = reader.shaped("githubRepositoryId", r"[1-9]\d{0,19}", "a number (gh api repos/OWNER/NAME --jq .id)")
    # It stands in a condition that Google evaluates: nothing but letters gets there.
    environment = reader.shaped(
        "githubEnvironment", "[a-z][a-z0-9-]{0,39}", "a name in small letters", default="production"
    )
    if environment in ("preview", "drift"):
        fault = f"githubEnvironment is {environment!r}, whose runs may only read"
        reader.fault(fault, f"githubEnvironment {BY_KEY['githubEnvironment'].example}", None)
    return Repository(id=number, environment=environment) if number and environment else None


def captcha(reader: Reader, cloud: Cloud) -> Captcha | None:
    """The widget, if there is one: both of its values, or neither. Test keys let every program pass."""
    if not reader.get("captchaSiteKey") and not reader.get("captchaSecret"):
        return None
    site_key, held = reader.text("captchaSiteKey"), reader.token("captchaSecret", cloud)
    for fix, key in (("captchaSiteKey KEY", "captchaSiteKey"), ("--secret captchaSecret", "captchaSecret")):
        if cloud is Cloud.REAL and TURNSTILE_TEST_KEY.fullmatch(reader.get(key) or ""):
            reader.fault("A test key of Turnstile's was set, but cloud is real", fix, None)
    return Captcha(site_key=site_key, secret=held)


def stripe(reader: Reader, cloud: Cloud, profile: Profile) -> StripeAccount | None:
    """Stripe, unless `billing` is off: as it is by itself on a real stack without the paid plans of vendors."""
    sold = reader.flag("billing", default=cloud is Cloud.LOCAL or profile is Profile.PRODUCTION)
    keys = {name: key for name in (DECLARES, SELLS) if (key := reader.get(name)) and key != LOCAL_TOKEN}
    for what, fix in stripe_keys.faults(keys, local=cloud is Cloud.LOCAL, frugal=profile is Profile.FRUGAL):
        reader.fault(what, fix, None)
    if not sold:
        for name in keys:  # one that is left over is to be encrypted all the same
            reader.token(name, cloud)
        return None
    api = reader.url("memorygraph:stripeApi", cloud)
    token = reader.token(DECLARES, cloud)
    if cloud is Cloud.REAL or reader.get(SELLS):
        token = reader.token(SELLS, cloud)
    own = api == BY_KEY["memorygraph:stripeApi"].example
    return StripeAccount(api=None if own else api, key=token)


def nobody_pays(reader: Reader) -> bool:
    """Whether the program declares what is sold by a test key."""
    return mode(reader.get(DECLARES) or "") is Mode.TEST
