"""Whether plans are sold here at all, and by whom deliveries of webhooks may be signed: what the two secrets say."""

from __future__ import annotations

from core.settings import Secret

_SIGNING = "whsec_"
"""How each of Stripe's signing secrets begins. Anything else would be a secret that everybody knows."""


def sells(api_key: Secret) -> bool:
    """Whether there is a key to sell with."""
    return bool(api_key.reveal())


def signing_secrets(held: Secret) -> list[Secret]:
    """The secrets, current and previous, of a value that holds them with a space between. None: no webhook is taken."""
    return [Secret(one) for one in held.reveal().split() if one.startswith(_SIGNING)]
