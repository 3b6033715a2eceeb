"""The settings of one project's Auth, by the names of the Management API (`config/auth`), with their defaults.

A field that is not here is refused with 400, so that a misspelt one is noticed; Supabase itself takes some of those
in silence. `INERT` are real ones that change nothing here.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from infra.local.cloud.errors import CloudError
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import templates

PROVIDERS = ("github", "google")
SECRET = re.compile(r"smtp_pass|external_\w+_secret|security_captcha_secret")
CAPTCHAS = ("hcaptcha", "turnstile")
WORDS = {bool: "a boolean", int: "an integer", str: "a string"}

DEFAULTS: Json = {
    "site_url": "http://localhost:3000",
    "uri_allow_list": "",
    "jwt_exp": 3600,
    "disable_signup": False,
    "external_email_enabled": True,
    **{f"external_{name}_enabled": False for name in PROVIDERS},
    **{f"external_{name}_{part}": "" for name in PROVIDERS for part in ("client_id", "secret")},
    "mailer_autoconfirm": False,
    "mailer_otp_exp": 3600,
    "mailer_otp_length": 6,
    "mailer_secure_email_change_enabled": True,
    "password_min_length": 6,
    "password_required_characters": "",
    "rate_limit_email_sent": 30,
    "rate_limit_otp": 30,
    "rate_limit_token_refresh": 150,
    "rate_limit_verify": 30,
    "refresh_token_rotation_enabled": True,
    "security_captcha_enabled": False,
    "security_captcha_provider": "hcaptcha",
    "security_captcha_secret": "",
    "security_refresh_token_reuse_interval": 10,
    "security_update_password_require_reauthentication": False,
    "sessions_inactivity_timeout": 0,
    "sessions_timebox": 0,
    "smtp_admin_email": "",
    "smtp_host": "",
    "smtp_max_frequency": 60,
    "smtp_pass": "",
    "smtp_port": "",
    "smtp_sender_name": "",
    "smtp_user": "",
    **{f"mailer_subjects_{kind}": template.subject for kind, template in templates.DEFAULTS.items()},
    **{f"mailer_templates_{kind}_content": template.content for kind, template in templates.DEFAULTS.items()},
}
INERT: Json = {
    "external_anonymous_users_enabled": False,
    "external_github_email_optional": False,
    "external_google_additional_client_ids": "",
    "external_google_email_optional": False,
    "external_google_skip_nonce_check": False,
    "external_phone_enabled": False,
    "mailer_allow_unverified_email_sign_ins": False,
    "mfa_totp_enroll_enabled": True,
    "mfa_totp_verify_enabled": True,
    "password_hibp_enabled": False,
    "rate_limit_anonymous_users": 30,
    "security_manual_linking_enabled": False,
    "sessions_single_per_user": False,
}
RANGES = {
    "jwt_exp": (1, 604_800),
    "mailer_otp_exp": (1, 86_400),
    "mailer_otp_length": (6, 10),
    "password_min_length": (6, 72),
    "rate_limit_email_sent": (1, 2**31 - 1),
    "rate_limit_otp": (1, 2**31 - 1),
    "rate_limit_token_refresh": (1, 2**31 - 1),
    "rate_limit_verify": (1, 2**31 - 1),
    "security_refresh_token_reuse_interval": (0, 2**31 - 1),
    "smtp_max_frequency": (0, 32_767),
    "sessions_inactivity_timeout": (0, 2**31 - 1),
    "sessions_timebox": (0, 2**31 - 1),
}
_KNOWN: Json = {**DEFAULTS, **INERT}


def complete(changed: Json) -> Json:
    """Every setting: what was changed, on top of the defaults."""
    return {**_KNOWN, **changed}


def shown(changed: Json) -> Json:
    """Every setting as GET shows it: of a secret, its SHA-256."""
    return {
        name: hashlib.sha256(value.encode()).hexdigest() if SECRET.fullmatch(name) and value else value
        for name, value in complete(changed).items()
    }


def check(asked: Json) -> Json:
    """What PATCH may store; null sets a field back to its default.

    Raises:
        CloudError: a field is unknown, of the wrong type, out of range, or a template that cannot be filled in.
    """
    faults = [fault for name, value in asked.items() if value is not None and (fault := _fault(name, value))]
    faults += [
        f"property {name} should not exist" for name, value in asked.items() if value is None and name not in _KNOWN
    ]
    if faults:
        raise CloudError("; ".join(faults))
    return asked


def _fault(name: str, value: Any) -> str | None:
    if name not in _KNOWN:
        return f"property {name} should not exist"
    kind = type(_KNOWN[name])
    if type(value) is not kind:
        return f"{name} must be {WORDS[kind]}"
    if name in RANGES:
        least, most = RANGES[name]
        return None if least <= value <= most else f"{name} must be from {least} to {most}"
    if name == "site_url" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S+", value):
        return "site_url must be a URL"
    if name == "security_captcha_provider" and value not in CAPTCHAS:
        return f"security_captcha_provider must be one of the following values: {', '.join(CAPTCHAS)}"
    if name == "smtp_port" and value and not (value.isdigit() and int(value) < 65_536):
        return "smtp_port must be a port number"
    if name.startswith(("mailer_subjects_", "mailer_templates_")):
        return templates.fault(name, value)
    return None
