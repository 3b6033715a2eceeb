"""The stack's configuration: read once, into one frozen typed object.

Every mistake is named at once, each with a line that fixes it. Values that a vendor's own provider reads by itself
(`gcp:project`, `cloudflare:apiToken`, ...) are checked here too, because their own messages come one at a time.

    settings.py   every setting, as data: meaning, example, what holds without it
    stack.py      what the program gets
    reader.py     how one value is read; vendors.py: several that belong together
    loading.py    all of them
"""

from __future__ import annotations

from infra.config.loading import load
from infra.config.reader import is_loopback
from infra.config.stack import (
    Captcha,
    Cloud,
    ConfigError,
    Profile,
    Repository,
    SignIn,
    StackConfig,
    StripeAccount,
)
from infra.config.vendors import SIGN_IN

__all__ = [
    "SIGN_IN",
    "Captcha",
    "Cloud",
    "ConfigError",
    "Profile",
    "Repository",
    "SignIn",
    "StackConfig",
    "StripeAccount",
    "is_loopback",
    "load",
]
